import { type Grant, grantWords, type Role } from '../domain/access.ts';
import { OutageError } from '../domain/outage.ts';
import { formatDuration } from '../domain/units.ts';
import { personBody } from '../protocol/chat-api.ts';
import { loadCertificateAuthority } from './certificate-authority.ts';
import { type EngineConfig, readEngineConfig } from './config.ts';
import { foldersOf, writePersonCredentials } from './installation.ts';
import { unlinkPerson } from './people/console-session.ts';
import { codeLifeMs, makeLinkCode } from './people/linking.ts';
import { appendAudit } from './store/audit.ts';
import { removeAuthenticator } from './store/authenticators.ts';
import type { Database } from './store/database.ts';
import { openStore, type Store } from './store/open.ts';
import { activeAdmins, addPerson, findPerson, listPersons, setDisabled, setGrants } from './store/people.ts';

/** What an administrator does with persons on the engine's host, also when nobody can sign in. */
const by = { who: 'administrator on the engine host', via: 'engine host' } as const;

export type PersonOrder = {
  readonly name: string;
  readonly role?: Role | undefined;
  readonly machine?: string | undefined;
  readonly tag?: string | undefined;
};

/**
 * Adds a person, or a role to one who is there; prints a link code and where the person's certificate is.
 *
 * @throws OutageError when the name or the role is not good
 */
export async function addPersonOnHost(configFile: string, order: PersonOrder): Promise<void> {
  const config = await readEngineConfig(configFile);
  const { name } = parseOrder(order);
  const certificateAuthority = await loadCertificateAuthority(foldersOf(config).certificateAuthority);
  if (certificateAuthority === undefined) {
    throw wrong(`add ${name}: the engine was never started here`, 'Start the engine once, then add people.');
  }
  const { person, code, forMs } = await withStore(config, (store) => store.write((db) => addWithCode(db, order)));
  const file = await writePersonCredentials(config, { certificateAuthority, nowMs: Date.now() }, name);
  console.log(`${name}: ${person.grants.map(grantWords).join(', ') || 'no role yet'}`);
  console.log(`in chat:      /dr link ${code}      (works once, within ${formatDuration(forMs)})`);
  console.log(`in terminal:  ${file} and the files it names; this host renews them, copies live a week`);
}

/** Prints everybody: roles, chat users, on-call place. */
export async function printPersons(configFile: string): Promise<void> {
  const config = await readEngineConfig(configFile);
  for (const person of await withStore(config, (store) => store.read(listPersons))) {
    const facts = [
      person.grants.map(grantWords).join(', ') || 'no role',
      ...person.links.map(({ surface, user }) => `${surface} ${user}`),
      person.hasAuthenticator ? 'authenticator' : 'no authenticator',
      ...(person.onCallPosition === null ? [] : [`on call ${person.onCallPosition + 1}`]),
      ...(person.disabledAtMs === null ? [] : ['DISABLED']),
    ];
    console.log(`${person.name.padEnd(16)} ${facts.join(' · ')}`);
  }
}

export type PersonChange = 'disable' | 'enable' | 'unlink' | 'reset-authenticator';

const changes: Record<PersonChange, { readonly words: string; change(db: Database, name: string): Promise<void> }> = {
  disable: {
    words: 'is disabled: every command is refused from now on',
    change: (db, name) => setDisabled(db, name, true),
  },
  enable: { words: 'is enabled', change: (db, name) => setDisabled(db, name, false) },
  unlink: {
    words: 'is linked to no chat user any more, and signed out of the web console everywhere',
    change: (db, name) => unlinkPerson(db, name, ['slack', 'teams']),
  },
  'reset-authenticator': {
    words: 'has no authenticator any more and may set one up; they are signed out of the web console everywhere',
    change: removeAuthenticator,
  },
};

/** Changes a person who is there; approvals and the audit trail go on to name them. @throws OutageError for the last admin */
export async function changePersonOnHost(configFile: string, name: string, kind: PersonChange): Promise<void> {
  const config = await readEngineConfig(configFile);
  const { words, change } = changes[kind];
  await withStore(config, (store) =>
    store.write(async (db) => {
      if ((await findPerson(db, name)) === undefined)
        throw wrong(`there is no person ${name}`, '`person list` names all.');
      if (kind === 'disable' && (await activeAdmins(db)).every((admin) => admin === name)) {
        throw wrong(`${name} is the only admin`, 'Make another person admin of everything first.');
      }
      await appendAudit(db, { ...by, what: 'person', target: name, detail: kind });
      await change(db, name);
    }),
  );
  console.log(`${name} ${words}.`);
}

async function addWithCode(db: Database, order: PersonOrder) {
  const { name, role } = order;
  const before = await findPerson(db, name);
  const grants = role === undefined ? [] : [{ role, scope: scopeOf(order) }];
  const detail = grants.map(grantWords).join(', ') || 'link code and certificate';
  await appendAudit(db, { ...by, what: 'person', target: name, detail });
  await addPerson(db, name, by.who);
  await setGrants(db, name, [...(before?.grants ?? []), ...grants], by.who);
  const person = await findPerson(db, name);
  const made = await makeLinkCode(db, { kind: 'person', person: name });
  if (person === undefined || made.kind !== 'code')
    throw new Error('broken invariant: a person of the terminal gets a code');
  return { person, code: made.code, forMs: codeLifeMs };
}

function scopeOf({ machine, tag }: PersonOrder): Grant['scope'] {
  if (machine !== undefined) return { kind: 'machine', name: machine };
  return tag === undefined ? { kind: 'everything' } : { kind: 'tag', tag };
}

function parseOrder(order: PersonOrder): { readonly name: string } {
  if (order.machine !== undefined && order.tag !== undefined) {
    throw wrong('a role counts for one machine or for one tag', 'Add the person twice: each adds a role.');
  }
  const parsed = personBody.safeParse({ name: order.name });
  if (parsed.success) return parsed.data;
  throw wrong(`\`${order.name}\` is no name for a person`, '1 to 63 small letters, digits, dots, dashes.');
}

function wrong(message: string, nextStep: string): OutageError {
  return new OutageError(message, { retryable: false, nextStep });
}

async function withStore<T>(config: EngineConfig, work: (store: Store) => Promise<T>): Promise<T> {
  const store = await openStore({ connectionString: config.databaseUrl });
  try {
    return await work(store);
  } finally {
    await store.close();
  }
}

import { randomBytes } from 'node:crypto';
import { sql } from 'drizzle-orm';
import { TOTP } from 'otpauth';
import type { z } from 'zod';
import type { Grant } from '../../domain/access.ts';
import type { MachineId } from '../../domain/ids.ts';
import { invariant } from '../../domain/invariant.ts';
import { approvalDepsOf } from '../../engine/api/approval-routes.ts';
import type { ApiDeps } from '../../engine/api/deps.ts';
import type { ApprovalDeps } from '../../engine/approvals/deps.ts';
import { beginSetUp, confirmSetUp, verifyStepUp } from '../../engine/people/authenticator.ts';
import type { Database } from '../../engine/store/database.ts';
import type { Store } from '../../engine/store/open.ts';
import { addPerson, linkUser } from '../../engine/store/people.ts';
import { createApprovedRun } from '../../engine/workflow/approved-run.ts';
import { type ApprovalView, actorHeader, type chatActor } from '../../protocol/chat-api.ts';
import { type Identity, identityWords } from '../../protocol/identity.ts';
import { startTestApi, type TestApi } from '../engine/api/api-fixture.ts';
import { makeFresh } from '../engine/approvals/approval-site.ts';
import { protectMachines } from '../engine/workflow/protected-machine.ts';
import { connect } from './connection.ts';
import { type Origin, type Voice, voiceOf } from './voice.ts';

const everything = { kind: 'everything' } as const;
/** A machine that only dora and max have to do with. */
export const elsewhere = 'vm-elsewhere';

/** A request with this reason is not ended between two cases: most of them leave it as it is. */
export const standingReason = 'power work';

/** Who is there; ana asks, ben and carla may decide, the others should come to nothing. */
const cast = {
  ana: [{ role: 'approver', scope: everything }],
  ben: [{ role: 'approver', scope: everything }],
  carla: [{ role: 'approver', scope: everything }],
  dora: [{ role: 'approver', scope: { kind: 'machine', name: elsewhere } }],
  tess: [{ role: 'approver', scope: { kind: 'tag', tag: 'web' } }],
  max: [{ role: 'admin', scope: { kind: 'machine', name: elsewhere } }],
  vera: [{ role: 'viewer', scope: everything }],
  olaf: [{ role: 'operator', scope: everything }],
  ada: [{ role: 'admin', scope: everything }],
  /** They never set up six-digit codes. */
  ned: [],
  nils: [],
} as const satisfies Record<string, readonly Grant[]>;
export type PersonName = keyof typeof cast;
const names = Object.keys(cast) as PersonName[];
const withoutTelephone: readonly PersonName[] = ['ned', 'nils'];

export const slackTenant = 'T1';
export const teamsTenant = '66666666-7777-4888-9999-000000000000';
type Actor = z.input<typeof chatActor>;

/** One person with their three ways in, and the telephone that makes their codes. */
export type AttackPerson = {
  readonly name: PersonName;
  readonly certificate: Voice;
  readonly slack: Voice;
  readonly teams: Voice;
  /** A six-digit code of now, or of some half minutes ago. */
  readonly code: (stepsAgo?: number) => string;
};

/** A real engine on a real database, with people on three surfaces and a machine that can be failed over. */
export type AttackSite = {
  readonly api: TestApi;
  readonly store: Store;
  readonly approvals: ApprovalDeps;
  /** Runs that were handed to the job engine. */
  readonly started: readonly string[];
  readonly person: (name: PersonName) => Promise<AttackPerson>;
  /** Anybody in chat, linked or not; `code` of whom they pretend to be. */
  readonly inChat: (user: string, more?: Partial<Actor>, code?: () => string) => Promise<Voice>;
  /** Whoever has this certificate. */
  readonly withCertificate: (identity: Identity, headers?: Record<string, string>) => Promise<Voice>;
  readonly anonymous: () => Voice;
  /** What a case before has asked for, when nobody has decided about it. */
  readonly standing: { request: ApprovalView | undefined };
  /** Everybody and everything as at the beginning; what was under way has ended. */
  readonly reset: () => Promise<{ readonly id: MachineId; readonly name: string }>;
  /** The machine is not as it was: the next reset takes another one. */
  readonly spoilMachine: () => void;
  readonly link: (name: PersonName, surface: Actor['surface'], tenant: string, user: string) => Promise<void>;
  readonly stop: () => Promise<void>;
};

type Rules = ApiDeps['approvals'];

/** @param broken gives rules in place of the right ones, to prove that the attacks notice */
export async function startAttackSite(
  store: Store,
  broken: (right: Rules) => Partial<Rules> = () => ({}),
): Promise<AttackSite> {
  const started: string[] = [];
  const authenticatorKey = randomBytes(32);
  const right = approvalsOf(authenticatorKey, started);
  const api = await startTestApi(store, { authenticatorKey, approvals: { ...right, ...broken(right) } });
  const telephones = await store.write((db) => seed(db, authenticatorKey));
  await protect(store, elsewhere);
  const machines = { count: 0, current: undefined as { id: MachineId; name: string } | undefined };
  const code =
    (name: PersonName) =>
    (stepsAgo = 0) =>
      telephones.get(name)?.(stepsAgo) ?? '000000';
  const bot = await connect(api, { kind: 'bot', name: 'bot-1' });
  const inChat: AttackSite['inChat'] = async (user, more = {}, codeOf = () => '000000') => {
    const tenant = more.surface === 'teams' ? teamsTenant : slackTenant;
    const actor = { surface: 'slack', tenant, user, displayName: user, kind: 'member', ...more } as const;
    const headers = { [actorHeader]: encodeURIComponent(JSON.stringify(actor)) };
    return voiceOf(bot.withHeaders(headers), originOf(actor, names), codeOf);
  };
  const withCertificate: AttackSite['withCertificate'] = async (identity, headers = {}) => {
    const who = identity.kind === 'agent' ? identity.agentId : identity.name;
    const codeOf = names.includes(who as PersonName) ? code(who as PersonName) : () => '000000';
    const origin = { who: identityWords(identity), via: 'certificate' };
    return voiceOf(await api.as(identity, Date.now(), headers), origin, codeOf);
  };
  const known = new Map<PersonName, Promise<AttackPerson>>();
  const enter = async (name: PersonName): Promise<AttackPerson> => ({
    name,
    certificate: await withCertificate({ kind: 'person', name }),
    slack: await inChat(slackUserOf(name), { displayName: name }, code(name)),
    teams: await inChat(teamsUserOf(name), { displayName: name, surface: 'teams' }, code(name)),
    code: code(name),
  });
  return {
    api,
    store,
    approvals: approvalDepsOf(api.deps),
    started,
    standing: { request: undefined },
    inChat,
    withCertificate,
    anonymous: () => voiceOf(api.anonymous(), undefined, () => '000000'),
    person: (name) => {
      const there = known.get(name) ?? enter(name);
      known.set(name, there);
      return there;
    },
    reset: async () => {
      await store.write(resetWorld);
      if (machines.current === undefined) machines.count += 1;
      machines.current ??= await protect(store, `vm-${machines.count}`);
      return machines.current;
    },
    spoilMachine: () => {
      machines.current = undefined;
    },
    link: (name, surface, tenant, user) =>
      store.write(async (db) => void (await linkUser(db, { person: name, surface, tenant, user, displayName: name }))),
    stop: async () => {
      await bot.close();
      await api.stop();
    },
  };
}

export const slackUserOf = (name: PersonName) => `U-${name}`;
export const teamsUserOf = (name: PersonName) => `aad-${name}`;

function originOf(actor: Actor, known: readonly PersonName[]): Origin {
  const linked = known.find((name) => [slackUserOf(name), teamsUserOf(name)].includes(actor.user));
  return { who: linked, via: `${actor.surface}:${actor.tenant}:${actor.user}` };
}

function approvalsOf(authenticatorKey: Buffer, started: string[]): Rules {
  return {
    target: {
      check: async () => undefined,
      describe: async () => ({ target: 'QEMU on b-1', network: 'none', accelerator: 'tcg', memoryBytesMax: 2 ** 30 }),
    },
    createApprovedRun,
    startRun: async (runId) => {
      started.push(runId);
    },
    verifyStepUp: (db, proof) => verifyStepUp({ authenticatorKey }, db, proof),
  };
}

async function protect(store: Store, name: string): Promise<{ readonly id: MachineId; readonly name: string }> {
  const [machine] = await protectMachines(store, [name]);
  invariant(machine, 'the machine was just protected');
  await store.write((db) => makeFresh(db, machine.machineId));
  return { id: machine.machineId, name };
}

/** Everybody with their roles, their chat users on both surfaces, and most with a telephone. */
async function seed(db: Database, authenticatorKey: Buffer): Promise<Map<PersonName, (stepsAgo: number) => string>> {
  const telephones = new Map<PersonName, (stepsAgo: number) => string>();
  for (const name of names) {
    await addPerson(db, name, 'the test');
    const at = { person: name, displayName: name };
    // The admin is told of every request too; without chat that costs nothing.
    if (name !== 'ada') {
      await linkUser(db, { ...at, surface: 'slack', tenant: slackTenant, user: slackUserOf(name) });
      await linkUser(db, { ...at, surface: 'teams', tenant: teamsTenant, user: teamsUserOf(name) });
    }
    if (withoutTelephone.includes(name)) continue;
    const begun = await beginSetUp({ authenticatorKey }, db, name);
    invariant(begun !== 'confirmed-already' && begun.kind === 'secret', 'a fresh person has none');
    const telephone = new TOTP({ secret: begun.secret });
    const codeAt = (stepsAgo: number) => telephone.generate({ timestamp: Date.now() - stepsAgo * 30_000 });
    const proven = await confirmSetUp({ authenticatorKey }, db, { person: name, code: codeAt(0) });
    invariant(proven === 'proven', 'the code of now is taken');
    telephones.set(name, codeAt);
  }
  return telephones;
}

/**
 * What no code of ours could do: requests and runs end, people have their roles again, codes are unused and guesses forgotten. One
 * text in one go, because it comes before every case.
 */
const resetStatements = `
  set local session_replication_role = replica;
  update runs set state = 'failed', failure = 'the case is over', finished_at = now() where state = 'active';
  update approvals set state = case state when 'executing' then 'failed' else 'cancelled' end, decision_reason = 'the case is over',
    decided_by = coalesce(decided_by, 'the test'), decided_at = coalesce(decided_at, now())
    where state in ('approved', 'executing')
      or (state = 'pending' and (needed_count > 1 or reason <> '${standingReason}' or expires_at < now()));
  ${['burned_codes', 'wrong_tries', 'on_call', 'machine_tags', 'grants', 'link_codes'].map((table) => `delete from ${table};`).join(' ')}
  -- The strangers of the cases; those who came with the site stay.
  delete from chat_links where chat_user like 'U9%' or chat_user like 'U2%';
  update persons set disabled_at = null where disabled_at is not null;
  insert into grants (person, role, scope_kind, scope_value, granted_by) values ${names.flatMap(grantRows).join(', ')};
`;

function grantRows(person: PersonName): string[] {
  return cast[person].map(({ role, scope }) => {
    const value = scope.kind === 'everything' ? '' : scope.kind === 'machine' ? scope.name : scope.tag;
    return `('${person}', '${role}', '${scope.kind}', '${value}', 'the test')`;
  });
}

async function resetWorld(db: Database): Promise<void> {
  await db.execute(sql.raw(resetStatements));
}

/** Half a minute passes: every telephone shows a new code, of which nobody has used one. */
export async function halfAMinutePasses(store: Store): Promise<void> {
  await store.write((db) => db.execute(sql`delete from burned_codes`));
}

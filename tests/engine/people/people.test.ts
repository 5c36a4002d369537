import { randomBytes, X509Certificate } from 'node:crypto';
import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { sql } from 'drizzle-orm';
import { Secret, TOTP } from 'otpauth';
import { afterAll, beforeAll, describe, expect, onTestFinished, test, vi } from 'vitest';
import type { Grant, Role } from '../../../domain/access.ts';
import { invariant } from '../../../domain/invariant.ts';
import { createCertificateAuthority } from '../../../engine/certificate-authority.ts';
import { beginSetUp, confirmSetUp, stepOfCode, verifyStepUp } from '../../../engine/people/authenticator.ts';
import { beginSession, newSessionId, recogniseSession } from '../../../engine/people/console-session.ts';
import { prepareFirstAdmin } from '../../../engine/people/first-admin.ts';
import { linkCodeHash, newLinkCode } from '../../../engine/people/link-code.ts';
import { type LinkSide, makeLinkCode, redeemLinkCode } from '../../../engine/people/linking.ts';
import { addPersonOnHost, changePersonOnHost, printPersons } from '../../../engine/people-main.ts';
import { listAudit } from '../../../engine/store/audit.ts';
import { changeTags } from '../../../engine/store/machine-tags.ts';
import { openStore, type Store } from '../../../engine/store/open.ts';
import {
  addPerson,
  chatUsersOf,
  eligibleApprovers,
  grantsOf,
  isPersonActive,
  linkedPerson,
  listPersons,
  onCallPersons,
  setDisabled,
  setGrants,
  setOnCall,
} from '../../../engine/store/people.ts';
import type { ChatActor } from '../../../protocol/chat-api.ts';
import { startTestPostgres, type TestPostgres } from '../../fixtures/postgres.ts';

let postgres: TestPostgres;
let store: Store;
let personCount = 0;

beforeAll(async () => {
  postgres = await startTestPostgres();
  store = await postgres.freshStore();
});
afterAll(() => postgres.stop());

/** A person of their own for each test, so that tests share one database. */
async function person(...grants: Grant[]): Promise<string> {
  personCount += 1;
  const name = `person-${personCount}`;
  await store.write(async (db) => {
    await addPerson(db, name, 'the test');
    await setGrants(db, name, grants, 'the test');
  });
  return name;
}
const grant = (role: Role, scope: Grant['scope'] = { kind: 'everything' }): Grant => ({ role, scope });
const actor = (user: string, more: Partial<ChatActor> = {}): ChatActor => ({
  surface: 'slack',
  tenant: 'T1',
  user,
  displayName: `Name of ${user}`,
  kind: 'member',
  envelope: '',
  ...more,
});
const chat = (user: string, more: Partial<ChatActor> = {}): LinkSide => ({ kind: 'chat', actor: actor(user, more) });
const terminal = (name: string): LinkSide => ({ kind: 'person', person: name });
async function codeFor(side: LinkSide): Promise<string> {
  const made = await store.write((db) => makeLinkCode(db, side));
  invariant(made.kind === 'code', 'a code was made');
  return made.code;
}
const redeem = (side: LinkSide, code: string) => store.write((db) => redeemLinkCode(db, side, code));
const whoIs = (user: string, tenant = 'T1') => store.read((db) => linkedPerson(db, { surface: 'slack', tenant, user }));

describe('linking', () => {
  test('a code from the terminal links whoever types it in chat, however it is typed, and once', async () => {
    const ana = await person();
    const code = await codeFor(terminal(ana));
    expect(code).toMatch(/^[0-9A-HJKMNP-TV-Z]{4}-[0-9A-HJKMNP-TV-Z]{4}-[0-9A-HJKMNP-TV-Z]{4}$/);
    const typed = ` ${code.toLowerCase().replaceAll('0', 'o').replaceAll('1', 'l').replaceAll('-', ' ')} `;
    expect(await redeem(chat('U-ana'), typed)).toEqual({
      kind: 'linked',
      person: ana,
      surface: 'slack',
      displayName: 'Name of U-ana',
    });
    expect(await whoIs('U-ana')).toBe(ana);
    expect(await redeem(chat('U-thief'), code)).toMatchObject({ kind: 'refused', why: 'used' });
    expect(await whoIs('U-thief')).toBeUndefined();
  });

  test('a code from chat is confirmed in the terminal; only the chat user who asked for it is linked', async () => {
    const ben = await person();
    const code = await codeFor(chat('U-ben'));
    expect(await redeem(chat('U-other'), code)).toMatchObject({ why: 'own-side' });
    expect(await redeem(terminal(ben), code)).toMatchObject({
      kind: 'linked',
      person: ben,
      displayName: 'Name of U-ben',
    });
    expect(await whoIs('U-ben')).toBe(ben);
  });

  test('the same user number in another tenant, or on another surface, is somebody else', async () => {
    const eve = await person();
    await redeem(chat('U-eve'), await codeFor(terminal(eve)));
    expect(await whoIs('U-eve', 'T2')).toBeUndefined();
    expect(
      await store.read((db) => linkedPerson(db, { surface: 'teams', tenant: 'T1', user: 'U-eve' })),
    ).toBeUndefined();
  });

  test('an expired code, a code that a newer one replaced, and one of a disabled person are refused', async () => {
    const ana = await person();
    const old = await codeFor(terminal(ana));
    const newer = await codeFor(terminal(ana));
    expect(await redeem(chat('U-late'), old)).toMatchObject({ why: 'unknown' });
    await store.write((db) => setDisabled(db, ana, true));
    // It was taken back, and does not come back with the person.
    expect(await redeem(chat('U-late'), newer)).toMatchObject({ why: 'unknown' });
    await store.write((db) => setDisabled(db, ana, false));
    expect(await redeem(chat('U-late'), newer)).toMatchObject({ why: 'unknown' });
    const late = await codeFor(terminal(ana));
    await store.write((db) =>
      db.execute(sql`update link_codes set created_at = now() - interval '16 minutes', expires_at = now() - interval '1 second'
        where code_hash = ${linkCodeHash(late)}`),
    );
    expect(await redeem(chat('U-late'), late)).toMatchObject({ why: 'expired' });
    expect(await whoIs('U-late')).toBeUndefined();
  });

  test('after five wrong codes none is taken from this guesser, not even the right one; others are not harmed', async () => {
    const ana = await person();
    const code = await codeFor(terminal(ana));
    const guesses = await Promise.all(Array.from({ length: 12 }, () => redeem(chat('U-guess'), newLinkCode())));
    expect(guesses.filter((guess) => guess.kind === 'refused' && guess.why === 'unknown')).toHaveLength(5);
    expect(guesses.filter((guess) => guess.kind === 'refused' && guess.why === 'locked')).toHaveLength(7);
    expect(await redeem(chat('U-guess'), code)).toMatchObject({ why: 'locked' });
    expect(await redeem(chat('U-guess', { tenant: 'T9' }), code)).toMatchObject({ kind: 'linked', person: ana });
  });

  test('two who type one code at the same moment: one is linked', async () => {
    const ana = await person();
    const code = await codeFor(terminal(ana));
    const outcomes = await Promise.all(['U-a', 'U-b', 'U-c'].map((user) => redeem(chat(user), code)));
    expect(outcomes.map((outcome) => outcome.kind).sort()).toEqual(['linked', 'refused', 'refused']);
  });

  test('a linked chat user cannot be taken over by another person, nor ask for a new code', async () => {
    const [ana, mallory] = [await person(), await person()];
    await redeem(chat('U-mine'), await codeFor(terminal(ana)));
    expect(await store.write((db) => makeLinkCode(db, chat('U-mine')))).toMatchObject({ why: 'linked-already' });
    expect(await redeem(chat('U-mine'), await codeFor(terminal(mallory)))).toMatchObject({ why: 'linked-already' });
    expect(await whoIs('U-mine')).toBe(ana);
  });

  test('codes are stored as hashes only', async () => {
    const code = await codeFor(terminal(await person()));
    const { rows } = await store.read((db) =>
      db.execute(sql`select to_jsonb(link_codes)::text as row from link_codes`),
    );
    const text = JSON.stringify(rows);
    expect(text).toContain(linkCodeHash(code));
    expect(text).not.toContain(code);
    expect(text).not.toContain(code.replaceAll('-', ''));
  });
});

describe('six-digit codes', () => {
  const deps = { authenticatorKey: randomBytes(32) };
  const stepMs = 30_000;
  const codeAt = (secret: string, atMs: number) =>
    new TOTP({ secret: Secret.fromBase32(secret) }).generate({ timestamp: atMs });
  const begin = async (name: string): Promise<string> => {
    const begun = await store.write((db) => beginSetUp(deps, db, name));
    invariant(begun !== 'confirmed-already' && begun.kind === 'secret', 'begun');
    expect(begun.uri).toContain(`otpauth://totp/Lifeboat:${name}?`);
    return begun.secret;
  };
  const prove = (name: string, code: string) => store.write((db) => verifyStepUp(deps, db, { person: name, code }));
  const confirm = (name: string, code: string) => store.write((db) => confirmSetUp(deps, db, { person: name, code }));
  /** By the database's clock; a code of the next step is good as well, so that a test may use two. */
  const codes = async (secret: string) => {
    const nowMs = await store.nowMs();
    return {
      now: codeAt(secret, nowMs),
      next: codeAt(secret, nowMs + stepMs),
      far: codeAt(secret, nowMs + 10 * stepMs),
    };
  };

  test('the step before, this one and the next are taken, the second-next and what is no code are not', () => {
    const secret = Secret.fromBase32('JBSWY3DPEHPK3PXPJBSWY3DPEHPK3PXP');
    const nowMs = 1_800_000_015_000;
    const stepOf = (offset: number) => stepOfCode(secret.bytes, codeAt(secret.base32, nowMs + offset * stepMs), nowMs);
    const now = Math.floor(nowMs / stepMs);
    expect([-2, -1, 0, 1, 2].map(stepOf)).toEqual([undefined, now - 1, now, now + 1, undefined]);
    expect(
      stepOfCode(
        secret.bytes,
        ` ${codeAt(secret.base32, nowMs).slice(0, 3)} ${codeAt(secret.base32, nowMs).slice(3)}`,
        nowMs,
      ),
    ).toBe(now);
    for (const wrong of ['', '12345', '1234567', 'abcdef', '１２３４５６', '000000\n000000']) {
      expect(stepOfCode(secret.bytes, wrong, nowMs)).toBeUndefined();
    }
  });

  test('an authenticator counts once its first code has proved it; then a code works once', async () => {
    const ana = await person();
    expect(await prove(ana, '123456')).toBe('no-authenticator');
    const secret = await begin(ana);
    const { now, next } = await codes(secret);
    expect(await prove(ana, now)).toBe('no-authenticator');
    expect(await confirm(ana, now)).toBe('proven');
    expect(await prove(ana, now)).toBe('used');
    const attempts = await Promise.all([prove(ana, next), prove(ana, next), prove(ana, next)]);
    expect(attempts.sort()).toEqual(['proven', 'used', 'used']);
  });

  test('a confirmed authenticator is not replaced by whoever has the chat session', async () => {
    const ana = await person();
    const secret = await begin(ana);
    await confirm(ana, (await codes(secret)).now);
    expect(await store.write((db) => beginSetUp(deps, db, ana))).toBe('confirmed-already');
    expect(await prove(ana, (await codes(secret)).next)).toBe('proven');
  });

  test('five wrong codes lock, also when they come at the same time; the right code then waits too', async () => {
    const ana = await person();
    const secret = await begin(ana);
    const { now, next, far } = await codes(secret);
    await confirm(ana, now);
    const guesses = await Promise.all(Array.from({ length: 9 }, () => prove(ana, far)));
    expect(guesses.sort()).toEqual([...Array(4).fill('locked'), ...Array(5).fill('wrong')]);
    expect(await prove(ana, next)).toBe('locked');
    const guesser = `six-digit code of ${ana}`;
    await store.write((db) =>
      db.execute(sql`update wrong_tries set locked_until = now() - interval '1 second' where guesser = ${guesser}`),
    );
    expect(await prove(ana, next)).toBe('proven');
  });

  test('the secret is not in the database in clear, and a row that is copied to another person opens nothing', async () => {
    const [ana, mallory] = [await person(), await person()];
    const secret = await begin(ana);
    const dump = await store.read((db) => db.execute(sql`select sealed_secret from authenticators`));
    expect(JSON.stringify(dump.rows)).not.toContain(Buffer.from(Secret.fromBase32(secret).bytes).toString('hex'));
    await begin(mallory);
    await store.write((db) =>
      db.execute(sql`update authenticators set confirmed_at = now(),
        sealed_secret = (select sealed_secret from authenticators where person = ${ana}) where person = ${mallory}`),
    );
    const { now } = await codes(secret);
    await expect(prove(mallory, now)).rejects.toThrow('not sealed for them');
  });
});

describe('persons', () => {
  test('who may approve a set of machines is decided by scope, tags and whether they are disabled', async () => {
    const [all, some, tagged, disabled] = [
      await person(grant('admin')),
      await person(
        grant('approver', { kind: 'machine', name: 'm-1' }),
        grant('approver', { kind: 'machine', name: 'm-2' }),
      ),
      await person(grant('approver', { kind: 'tag', tag: 'red' })),
      await person(grant('approver')),
    ];
    await person(grant('operator'));
    await store.write(async (db) => {
      await changeTags(db, { machineName: 'm-2', add: ['red', 'tier:0'], remove: [], by: 'the test' });
      await setDisabled(db, disabled, true);
    });
    const eligible = (...machines: string[]) => store.read((db) => eligibleApprovers(db, machines));
    expect(await eligible('m-1')).toEqual([all, some]);
    expect(await eligible('m-1', 'm-2')).toEqual([all, some]);
    expect(await eligible('m-2')).toEqual([all, some, tagged]);
    expect(await eligible('m-3')).toEqual([all]);
    expect(await store.read((db) => grantsOf(db, disabled))).toEqual([]);
    expect(await store.read((db) => isPersonActive(db, disabled))).toBe(false);
    expect(await store.read((db) => isPersonActive(db, 'stranger'))).toBe(false);
  });

  test('the on-call list keeps its order, leaves disabled persons out, and gives chat users of one tenant', async () => {
    const [ana, ben, eve] = [await person(), await person(), await person()];
    await store.write((db) => setOnCall(db, [ben, eve, ana], 'root'));
    await store.write((db) => setDisabled(db, eve, true));
    expect(await store.read(onCallPersons)).toEqual([ben, ana]);
    await redeem(chat('U-oncall'), await codeFor(terminal(ben)));
    await redeem(chat('U-elsewhere', { tenant: 'T2' }), await codeFor(terminal(ben)));
    const users = await store.read((db) => chatUsersOf(db, [ben, ana], { surface: 'slack', tenant: 'T1' }));
    expect(users).toEqual([{ person: ben, user: 'U-oncall' }]);
    const view = (await store.read(listPersons)).find((each) => each.name === ben);
    expect(view).toMatchObject({ isOnCall: true, onCallPosition: 0, links: [{ tenant: 'T1' }, { tenant: 'T2' }] });
    await store.write((db) => setOnCall(db, [], 'root'));
    expect(await store.read(onCallPersons)).toEqual([]);
  });

  test('`lifeboat person` on the engine’s host adds roles, prints a code that works, writes the certificate, and stands in the trail', async () => {
    const stateFolder = await mkdtemp(path.join(os.tmpdir(), 'lifeboat-people-'));
    const connectionString = await postgres.freshDatabase();
    const file = path.join(stateFolder, 'config.json');
    const vault = { kind: 'directory', folder: path.join(stateFolder, 'vault') };
    const listen = { port: 9, host: '127.0.0.1' };
    const more = { name: 'e', url: 'https://127.0.0.1:9', databaseUrl: connectionString, vault, processServers: [] };
    await writeFile(file, JSON.stringify({ stateFolder, listen, ...more }));
    await mkdir(path.join(stateFolder, 'people'));
    await createCertificateAuthority(path.join(stateFolder, 'certificate-authority'), Date.now());
    const lines: string[] = [];
    const print = vi.spyOn(console, 'log').mockImplementation((line: string) => lines.push(line));
    const host = await openStore({ connectionString });
    onTestFinished(async () => {
      print.mockRestore();
      await host.close();
      await rm(stateFolder, { recursive: true });
    });
    await prepareFirstAdmin(host);
    await addPersonOnHost(file, { name: 'ana', role: 'operator', machine: 'vm-7' });
    await addPersonOnHost(file, { name: 'ana', role: 'approver', tag: 'web' });
    expect(lines[3]).toBe('ana: operator for vm-7, approver for machines tagged web');
    const code = /link (\S+)/.exec(lines[4] ?? '')?.[1] ?? '';
    expect(await host.write((db) => redeemLinkCode(db, chat('U1'), code))).toMatchObject({ person: 'ana' });
    const connection = JSON.parse(await readFile(path.join(stateFolder, 'people', 'ana.json'), 'utf8'));
    const certificate = new X509Certificate(await readFile(connection.certificateFile));
    expect(certificate.subjectAltName).toBe('URI:lifeboat://person/ana');
    for (const change of ['unlink', 'reset-authenticator'] as const) {
      const who = { id: newSessionId(), person: 'ana', address: '' };
      const { token } = await host.write((db) => beginSession(db, who));
      await changePersonOnHost(file, 'ana', change);
      expect((await host.read((db) => recogniseSession(db, token))).kind).toBe('refused');
    }
    await changePersonOnHost(file, 'ana', 'disable');
    lines.length = 0;
    await printPersons(file);
    expect(lines).toEqual([
      'admin            admin · no authenticator',
      'ana              approver for machines tagged web, operator for vm-7 · no authenticator · DISABLED',
    ]);
    const wrong: [() => Promise<void>, string][] = [
      [() => addPersonOnHost(file, { name: 'Ana Müller', role: 'viewer' }), 'no name for a person'],
      [
        () => addPersonOnHost(file, { name: 'ben', role: 'viewer', machine: 'a', tag: 'b' }),
        'one machine or for one tag',
      ],
      [() => changePersonOnHost(file, 'nobody', 'enable'), 'no person nobody'],
      [() => changePersonOnHost(file, 'admin', 'disable'), 'only admin'],
    ];
    for (const [change, message] of wrong) await expect(change()).rejects.toThrow(message);
    const entries = await host.read((db) => listAudit(db, { about: 'ana', countMax: 10 }));
    expect(entries.map(({ detail }) => detail)).toEqual([
      'disable',
      'reset-authenticator',
      'unlink',
      'approver for machines tagged web',
      'operator for vm-7',
    ]);
  });

  test('the first start makes the admin; each start gives a fresh code until an admin is known in chat', async () => {
    const fresh = await postgres.freshStore();
    const [first, second] = [await prepareFirstAdmin(fresh), await prepareFirstAdmin(fresh)];
    invariant(first.setUpCode && second.setUpCode, 'two codes');
    const type = (user: string, code: string) => fresh.write((db) => redeemLinkCode(db, chat(user), code));
    expect(await type('U1', first.setUpCode)).toMatchObject({ why: 'unknown' });
    expect(await type('U1', second.setUpCode)).toMatchObject({ kind: 'linked', person: 'admin' });
    expect(await type('U2', second.setUpCode)).toMatchObject({ why: 'used' });
    expect(await prepareFirstAdmin(fresh)).toEqual({ setUpCode: undefined });
    expect(await fresh.read((db) => grantsOf(db, 'admin'))).toEqual([grant('admin')]);
  });
});

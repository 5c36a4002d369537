import { sql } from 'drizzle-orm';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { z } from 'zod';
import { decideVote } from '../../domain/approval.ts';
import { appendAudit, checkAuditChain, linkAudit } from '../../engine/store/audit.ts';
import { brokenConstraint } from '../../engine/store/database.ts';
import { chatRoutes } from '../../protocol/chat-api.ts';
import { routes } from '../../protocol/control-api.ts';
import { auditAnswer } from '../../protocol/people-api.ts';
import { asNature } from '../engine/approvals/approval-site.ts';
import { startTestPostgres, type TestPostgres } from '../fixtures/postgres.ts';
import { sceneOf, tryAttack } from './attack.ts';
import { type AttackSite, startAttackSite } from './attack-site.ts';
import { forgedCallers, strangers } from './caller-attacks.ts';
import { changedPlans, staleAttacks } from './decision-attacks.ts';
import { uncoveredRuns } from './evidence.ts';
import { plantedBugs, type Rules } from './planted-bugs.ts';
import { breakGlassAttacks, linkAttacks, stepUpAttacks } from './proof-attacks.ts';
import { race, races, rivals } from './races.ts';
import { malformedRequests } from './request-attacks.ts';
import { roleAttacks } from './role-attacks.ts';
import { scopeAttacks, tagAttacks } from './tag-attacks.ts';
import type { Voice } from './voice.ts';
import { selfApprovals, voterAttacks } from './voter-attacks.ts';

let postgres: TestPostgres;
let site: AttackSite;
beforeAll(async () => {
  postgres = await startTestPostgres();
  site = await startAttackSite(await postgres.freshStore());
});
afterAll(async () => {
  // Stopped also when the site did not come as far as being there.
  await Promise.allSettled([Promise.resolve().then(() => site.stop())]);
  await postgres.stop();
});

describe.each([
  ['whoever asks does not decide', selfApprovals],
  ['one human is one vote', voterAttacks],
  ['a button decides about what was seen', staleAttacks],
  ['what is approved is what runs', changedPlans],
  ['who is not a member of this workspace decides nothing', strangers],
  ['a certificate speaks for its owner', forgedCallers],
  ['a vote is proved with a telephone', stepUpAttacks],
  ['a chat user is who confirmed it', linkAttacks],
  ['the way without approval is narrow', breakGlassAttacks],
  ['who may approve is not changed by one alone', roleAttacks],
  ['who may approve is not changed by a tag alone', tagAttacks],
  ['a role for one machine is none for the site', scopeAttacks],
  ['what cannot be understood is no order', malformedRequests],
  ['what happens at the same moment has one outcome', races],
] as const)('%s', (_area, attacks) => {
  test.each(attacks.map((attack) => [attack.name, attack] as const))('%s', async (_name, attack) => {
    expect(await tryAttack(site, attack)).toEqual([]);
  });
});

describe('a click and something else at the same moment', () => {
  test.each(rivals)('%s, and ben approves', async (name, rival) => {
    const rounds = name === 'carla rejects' ? 20 : 4;
    for (let round = 0; round < rounds; round += 1) {
      const scene = sceneOf(site, await site.reset());
      const { isApproved, isRivalDone, runCount } = await race(scene, rival, round % 2 === 0);
      expect(runCount).toBe(isApproved ? 1 : 0);
      // A rejection or a withdrawal, and an approval: one of them, never both, and never neither.
      if (['carla rejects', 'ana withdraws'].includes(name)) expect(isApproved).not.toBe(isRivalDone);
    }
    expect(await uncoveredRuns(site.store)).toEqual([]);
  });
});

const description = z.object({
  paths: z.record(z.string(), z.record(z.string(), z.object({ 'x-access': z.string() }).loose())),
});
async function everyRoute(): Promise<{ method: string; url: string; access: string }[]> {
  const { answer } = await (await site.person('vera')).certificate.get('/openapi.json');
  const { paths } = description.parse(answer);
  return Object.entries(paths).flatMap(([url, operations]) =>
    Object.entries(operations).map(([method, operation]) => ({
      method: method.toUpperCase(),
      url: url.replace('{name}', 'vm-1').replace('{id}', 'run_0000000000'),
      access: operation['x-access'],
    })),
  );
}

describe('every route of the description', () => {
  const answers = async (voice: Voice, isMeant: (access: string) => boolean) => {
    const found: string[] = [];
    for (const { method, url, access } of (await everyRoute()).filter((route) => isMeant(route.access))) {
      const { status } = await voice.caller.call(method, url, method === 'POST' ? {} : undefined);
      found.push(`${status} ${method} ${url}`);
      if (url === routes.enrol) expect(access).toBe('anyone');
    }
    return found;
  };
  const others = (found: readonly string[], ...expected: number[]) =>
    found.filter((each) => !expected.some((status) => each.startsWith(`${status} `)));

  test('is the whole of what the server has', async () => {
    const served = site.api.routes.map(
      ({ method, url }) => `${method} ${url.replace(':name', 'vm-1').replace(':id', 'run_0000000000')}`,
    );
    expect((await everyRoute()).map(({ method, url }) => `${method} ${url}`).sort()).toEqual(served.sort());
  });
  test('without a certificate: nothing but enrolment', async () => {
    expect(others(await answers(site.anonymous(), (access) => access !== 'anyone'), 401)).toEqual([]);
  });
  test('for a guest of the workspace: nothing', async () => {
    const guest = await site.inChat('U-ben', { kind: 'guest' });
    expect(others(await answers(guest, () => true), 403, 422)).toEqual([]);
    expect(others(await answers(guest, (access) => access === 'person' || access === 'chatter'), 403)).toEqual([]);
  });
  test('for somebody who is linked to nobody: who they are, and linking', async () => {
    const found = others(
      await answers(await site.inChat('U9X'), (access) => access !== 'anyone' && access !== 'bot'),
      403,
    );
    expect(found).toEqual(
      [`200 POST ${chatRoutes.link}`, `200 GET ${routes.whoami}`].sort((a, b) => found.indexOf(a) - found.indexOf(b)),
    );
  });
});

describe('the matrix notices a guard that is switched off', () => {
  let unguarded: AttackSite;
  let rules: Partial<Rules> = {};
  let right: Rules;
  /** A site whose rules can be broken one by one; the database's own guards are off, so that the attacks must notice alone. */
  beforeAll(async () => {
    const store = await postgres.freshStore();
    unguarded = await startAttackSite(store, (given) => {
      right = given;
      return {
        decideVote: (...facts) => (rules.decideVote ?? decideVote)(...facts),
        verifyStepUp: (...proof) => (rules.verifyStepUp ?? given.verifyStepUp)(...proof),
        createApprovedRun: (...order) => (rules.createApprovedRun ?? given.createApprovedRun)(...order),
      };
    });
    await store.write(async (db) => {
      for (const table of ['approvals', 'approval_votes', 'runs']) {
        await db.execute(sql`alter table ${sql.identifier(table)} disable trigger user`);
      }
    });
  });
  afterAll(() => unguarded.stop());

  const cases = plantedBugs.flatMap((bug) =>
    bug.noticedBy.map((attack) => [bug.name, attack.name, bug, attack] as const),
  );
  test.each(cases)('%s: %s', async (_bug, _attack, bug, attack) => {
    rules = bug.broken(right);
    expect(await tryAttack(unguarded, attack)).not.toEqual([]);
    rules = {};
    // A run that should never have begun would be held against the next case too.
    await asNature(unguarded.store, sql`delete from runs`);
  });

  test('a trail that leaves somebody out: a wrong six-digit code', async () => {
    const [attack] = stepUpAttacks.filter(({ name }) => name === 'a wrong six-digit code');
    if (attack === undefined) throw new RangeError('there is no such attack');
    const change = (statement: string) => unguarded.store.write((db) => db.execute(sql.raw(statement)));
    await change(`create function forget_ben() returns trigger language plpgsql as 'begin return null; end'`);
    await change(
      `create trigger forget_ben before insert on audit_entries for each row when (new.who = 'ben') execute function forget_ben()`,
    );
    expect(await tryAttack(unguarded, attack)).toEqual([expect.stringContaining('the trail names nobody of ben')]);
    await change('drop trigger forget_ben on audit_entries');
    expect(await tryAttack(unguarded, attack)).toEqual([]);
  });
});

describe('the audit trail', () => {
  beforeAll(async () => {
    await site.reset();
    const entry = { who: 'the test', via: 'none', what: 'nothing', target: 'vm-1', detail: '' };
    await site.store.write(async (db) => {
      for (let count = 0; count < 10; count += 1) await appendAudit(db, entry);
    });
    await site.store.read(linkAudit);
  });

  test.each([
    'update audit_entries set who = who',
    'delete from audit_entries',
    'truncate audit_entries cascade',
    'update audit_chain set digest = digest',
    'delete from audit_chain',
    'truncate audit_chain',
  ])('is append-only: %s', async (statement) => {
    const refused = await site.store
      .write((db) => db.execute(sql.raw(statement)))
      .then(
        () => undefined,
        (error: unknown) => brokenConstraint(error),
      );
    expect(refused).toBe('audit_append_only');
  });

  test('is whole after all of this', async () => {
    expect(await site.store.read(checkAuditChain)).toMatchObject({ kind: 'whole' });
  });

  const nothingStays = new Error('rolled back');
  test.each([
    ['says something else', sql`update audit_entries set who = 'carla' where id = 5`],
    ['happened at another time', sql`update audit_entries set at = at - interval '1 ms' where id = 6`],
    ['is gone', sql`delete from audit_chain where number = 7`],
    ['has another number', sql`update audit_chain set number = number + 100000 where number = 8`],
    [
      'stands in another one’s place',
      sql`update audit_chain set entry_id = case entry_id when 9 then -1 else entry_id end where entry_id = 9`,
    ],
  ])('shows that an entry %s, also when it was done past the guards of the database', async (_what, change) => {
    let found: unknown;
    const attempt = site.store.write(async (db) => {
      await db.execute(sql`set local session_replication_role = replica`);
      await db.execute(change);
      found = await checkAuditChain(db);
      throw nothingStays;
    });
    await expect(attempt).rejects.toThrow(nothingStays);
    expect(found).toMatchObject({ kind: 'broken' });
  });

  test('says so to whoever asks', async () => {
    await asNature(site.store, sql`update audit_entries set detail = 'nothing happened' where id = 5`);
    const { answer } = await (await site.person('vera')).certificate.get(`${chatRoutes.audit}?about=vm-1`);
    const problem = expect.stringContaining('tampered');
    expect(auditAnswer.parse(answer)).toMatchObject({ isChainWhole: false, problem });
  });
});

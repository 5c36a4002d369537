import { sql } from 'drizzle-orm';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { invariant } from '../../../domain/invariant.ts';
import type { ApprovalOutcome } from '../../../engine/approvals/deps.ts';
import { brokenConstraint } from '../../../engine/store/database.ts';
import { changeTags } from '../../../engine/store/machine-tags.ts';
import { openStore } from '../../../engine/store/open.ts';
import { startTestPostgres, type TestPostgres } from '../../fixtures/postgres.ts';
import { type ApprovalSite, approvalSite, idOf, runCount } from './approval-site.ts';

let postgres: TestPostgres;
let site: ApprovalSite;

beforeAll(async () => {
  postgres = await startTestPostgres();
  site = await approvalSite(await postgres.freshStore());
});
afterAll(() => postgres.stop());

async function pending(more: Parameters<ApprovalSite['request']>[2] = {}) {
  const machine = await site.machine();
  return { machine, id: idOf(await site.request('ana', machine.id, more)) };
}

describe('the database refuses by itself', () => {
  const attempts: [string, (id: string) => ReturnType<typeof sql>, string][] = [
    [
      'a vote of whoever asked',
      (id) =>
        sql`insert into approval_votes (approval_id, person, decision, via, reason, step_up) values (${id}, 'ana', 'approve', 'x', '', 'totp')`,
      'approval_votes_own_request',
    ],
    [
      'an approving vote without a code',
      (id) =>
        sql`insert into approval_votes (approval_id, person, decision, via, reason, step_up) values (${id}, 'ben', 'approve', 'x', '', 'none')`,
      'approval_votes_proven',
    ],
    [
      'a beginning without votes',
      (id) =>
        sql`update approvals set state = 'executing', decided_by = 'x', decided_at = now(), revision = revision + 1 where id = ${id}`,
      'approvals_quorum',
    ],
    [
      'other parameters',
      (id) => sql`update approvals set params = '{}', revision = revision + 1 where id = ${id}`,
      'approvals_fixed',
    ],
    [
      'a longer time',
      (id) =>
        sql`update approvals set expires_at = expires_at + interval '1 hour', revision = revision + 1 where id = ${id}`,
      'approvals_fixed',
    ],
    [
      'a change without a revision',
      (id) => sql`update approvals set decision_reason = 'x' where id = ${id}`,
      'approvals_revision_step',
    ],
    [
      'a step that there is not',
      (id) =>
        sql`update approvals set state = 'succeeded', decided_by = 'x', decided_at = now(), revision = revision + 1 where id = ${id}`,
      'approvals_steps',
    ],
    [
      'a second open one',
      (
        id,
      ) => sql`insert into approvals (id, operation, machine_id, machine_name, digest, params, needed_count, reason, requested_by, requested_via, expires_at, shown)
      select 'apr_0000000000', operation, machine_id, machine_name, digest, params, 1, 'x', 'dora', 'x', now() + interval '1 hour', shown from approvals where id = ${id}`,
      'approvals_one_open',
    ],
    ['a removal', (id) => sql`delete from approvals where id = ${id}`, 'approvals_kept'],
    [
      'a run without a decision',
      (id) => sql`insert into runs (id, kind, machine_id, requested_by, idempotency_key, plan, plan_digest, approval_id)
      select 'run_0000000000', 'planned-failover', machine_id, 'x', 'x', params -> 'plan', digest, id from approvals where id = ${id}`,
      'runs_approved',
    ],
  ];
  let id: string;
  beforeAll(async () => {
    id = (await pending()).id;
  });
  test.each(attempts)('%s', async (_name, attempt, constraint) => {
    const error = await site.store
      .write((db) => db.execute(attempt(id)))
      .then(
        () => undefined,
        (cause: unknown) => cause,
      );
    expect(brokenConstraint(error)).toBe(constraint);
  });

  test('a run of another plan than the approved one', async () => {
    const sly = await approvalSite(site.store, {
      createApprovedRun: (db, order) =>
        site.deps.createApprovedRun(db, { ...order, plan: { ...order.plan, target: 'elsewhere' } }),
    });
    const { machine, id } = await pending();
    const error = await sly.vote('ben', id).then(
      () => undefined,
      (cause: unknown) => cause,
    );
    expect(brokenConstraint(error)).toBe('runs_approved');
    expect(await site.approval(id)).toMatchObject({ state: 'pending', votes: [] });
    expect(await runCount(site.store, machine.id)).toBe(0);
  });
});

describe('two engines on one database', () => {
  /** A click may come to either. */
  let engines: readonly [ApprovalSite, ApprovalSite];
  beforeAll(async () => {
    const connectionString = await postgres.freshDatabase();
    const open = async () => approvalSite(await openStore({ connectionString }));
    engines = [await open(), await open()];
  });
  afterAll(() => Promise.all(engines.map(({ store }) => store.close())));

  const engineOf = (index: number) => engines[index % 2 === 0 ? 0 : 1];
  const doneOf = (outcomes: readonly ApprovalOutcome[]) => outcomes.filter((outcome) => outcome.kind === 'done');
  const startedCount = () => engines.reduce((sum, { started }) => sum + started.length, 0);

  async function askedOfFirst() {
    const machine = await engines[0].machine();
    const outcome = await engines[0].request('ana', machine.id);
    invariant(outcome.kind === 'done', 'it waits for approval');
    return { machine, id: outcome.approvalId };
  }

  test('twenty clicks of one approver at once, on two engines, begin one run', async () => {
    const { machine, id } = await askedOfFirst();
    const before = startedCount();
    const clicks = Array.from({ length: 20 }, (_, index) =>
      engineOf(index).vote('ben', id, { via: index % 3 === 0 ? 'teams' : 'slack' }),
    );
    const outcomes = await Promise.all(clicks);
    expect(doneOf(outcomes)).toHaveLength(1);
    for (const outcome of outcomes) {
      if (outcome.kind === 'refused')
        expect(outcome.message).toBe(`Already decided: ben approved ${id}, and it is at work.`);
    }
    expect(await runCount(engines[0].store, machine.id)).toBe(1);
    expect(startedCount() - before).toBe(1);
    expect((await engines[0].approval(id)).votes).toHaveLength(1);
  });

  test('twenty clicks of one approver where two are needed begin nothing', async () => {
    const machine = await engines[0].machine();
    const tags = { machineName: machine.name, add: ['tier:0'], remove: [], by: 'ana' };
    await engines[0].store.write((db) => changeTags(db, tags));
    const outcome = await engines[0].request('ana', machine.id);
    invariant(outcome.kind === 'done', 'it waits for approval');
    const clicks = Array.from({ length: 20 }, (_, index) =>
      engineOf(index).vote('ben', outcome.approvalId, { via: index % 3 === 0 ? 'teams' : 'slack' }),
    );
    expect(doneOf(await Promise.all(clicks))).toHaveLength(1);
    expect(await engines[0].approval(outcome.approvalId)).toMatchObject({
      state: 'pending',
      votes: [{ person: 'ben' }],
    });
    expect(await runCount(engines[0].store, machine.id)).toBe(0);
  });

  test('approve and reject at the same moment have one outcome, and the other one is told whose', async () => {
    const ends: string[] = [];
    for (let round = 0; round < 8; round += 1) {
      const { machine, id } = await askedOfFirst();
      const votes = [
        () => engineOf(round).vote('ben', id),
        () => engineOf(round + 1).vote('carla', id, { decision: 'reject', reason: 'no', code: undefined }),
      ];
      const outcomes = await Promise.all((round % 2 === 0 ? votes : votes.toReversed()).map((click) => click()));
      const { state } = await engines[0].approval(id);
      ends.push(state);
      expect(doneOf(outcomes)).toHaveLength(1);
      expect(await runCount(engines[0].store, machine.id)).toBe(state === 'executing' ? 1 : 0);
      expect(['executing', 'rejected']).toContain(state);
    }
    expect(ends).toHaveLength(8);
  });

  test('twenty requests at once, of two persons, leave one that is open', async () => {
    const machine = await engines[0].machine();
    const order = (index: number) => engineOf(index).request(index % 4 < 2 ? 'ana' : 'dora', machine.id);
    const outcomes = await Promise.all(Array.from({ length: 20 }, (_, index) => order(index)));
    const ids = new Set(doneOf(outcomes).map((outcome) => (outcome.kind === 'done' ? outcome.approvalId : '')));
    expect(ids.size).toBe(1);
  });
});

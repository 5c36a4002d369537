import { sql } from 'drizzle-orm';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { invariant } from '../../../domain/invariant.ts';
import { approvalViewOf } from '../../../engine/approvals/approval-view.ts';
import { breakGlassFailover } from '../../../engine/approvals/break-glass.ts';
import { endApprovalOfRun } from '../../../engine/approvals/end-of-run.ts';
import { review } from '../../../engine/approvals/withdraw.ts';
import { currentApprovals, overdueReviews } from '../../../engine/store/approvals.ts';
import { duePagerCalls } from '../../../engine/store/pager-calls.ts';
import { onCallPersons, setOnCall } from '../../../engine/store/people.ts';
import { finishRun } from '../../../engine/store/runs.ts';
import { startTestPostgres, type TestPostgres } from '../../fixtures/postgres.ts';
import { type ApprovalSite, approvalSite, asNature, goodCode, idOf, runCount, speaker } from './approval-site.ts';

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

describe('break-glass', () => {
  const alone = (machineId: Parameters<ApprovalSite['request']>[1], more: object = {}) =>
    breakGlassFailover(site.deps, {
      machineId,
      speaker: speaker('ana'),
      reason: 'fire',
      typedName: '',
      code: goodCode,
      ...more,
    });

  test('runs at once for somebody on call who types the name, is loud, and is reviewed by another person', async () => {
    await site.store.write((db) => setOnCall(db, ['ana'], 'root'));
    const machine = await site.machine();
    expect(await alone(machine.id, { typedName: 'vm-0' })).toMatchObject({ kind: 'refused', why: 'not-allowed' });
    expect(await alone(machine.id, { typedName: machine.name, code: undefined })).toMatchObject({
      why: 'step-up',
      message: expect.stringContaining('You have no authenticator yet. Going on without an approval'),
    });
    expect(await alone(machine.id, { typedName: machine.name, code: '000000' })).toMatchObject({ why: 'step-up' });
    expect(await alone(machine.id, { typedName: machine.name, speaker: speaker('ben') })).toMatchObject({
      why: 'not-allowed',
    });
    expect(await runCount(site.store, machine.id)).toBe(0);
    const outcome = await alone(machine.id, { typedName: machine.name });
    invariant(outcome.kind === 'done' && outcome.runId !== undefined, 'it began');
    const { approvalId, runId } = outcome;
    expect(await site.approval(approvalId)).toMatchObject({
      state: 'executing',
      isBreakGlass: true,
      votes: [],
      decidedBy: 'ana',
    });
    const [call, ...others] = await site.store.read((db) => duePagerCalls(db));
    expect(call).toMatchObject({
      about: approvalId,
      title: `Break-glass: planned failover of ${machine.name} by ana`,
      text: expect.stringContaining('alone, without approval: fire'),
    });
    expect(others).toEqual([]);
    await site.store.write(async (db) => {
      await finishRun(db, runId, { kind: 'failed', failure: 'no' });
      await endApprovalOfRun(db, runId, { kind: 'failed', failure: 'no' });
    });
    await asNature(
      site.store,
      sql`update approvals set review_due_at = now() - interval '1 minute' where id = ${approvalId}`,
    );
    expect(await site.store.read(overdueReviews)).toMatchObject([{ id: approvalId, requestedBy: 'ana' }]);
    // Long after its end it still waits for its review, and people can see that.
    await asNature(
      site.store,
      sql`with runs as (update runs set finished_at = now() - interval '5 hours' where id = ${runId})
        update approvals set requested_at = now() - interval '6 hours', decided_at = now() - interval '5 hours' where id = ${approvalId}`,
    );
    const shown = async () => (await site.store.read((db) => currentApprovals(db, 3_600_000))).map(({ id }) => id);
    expect(await shown()).toContain(approvalId);
    const reviewers = async () => (await site.store.read((db) => approvalViewOf(db, approvalId)))?.eligible;
    expect(await reviewers()).toContain('ben');
    expect(await reviewers()).not.toContain('ana');
    const look = (person: string) => review(site.deps, { approvalId, speaker: speaker(person), note: 'seen' });
    expect(await look('ana')).toMatchObject({ kind: 'refused' });
    expect(await look('ben')).toMatchObject({ kind: 'done' });
    expect(await look('carla')).toMatchObject({ kind: 'refused', message: expect.stringContaining('ben') });
    expect(await site.store.read(overdueReviews)).toEqual([]);
    expect(await shown()).not.toContain(approvalId);
    expect(await reviewers()).toEqual([]);
  });

  test('needs no name after five minutes without a vote, on the person’s own request', async () => {
    await site.store.write((db) => setOnCall(db, ['ana'], 'root'));
    const { machine, id } = await pending();
    expect(await alone(machine.id, { reason: 'power work' })).toMatchObject({
      kind: 'refused',
      message: expect.stringContaining('wait'),
    });
    await asNature(site.store, sql`update approvals set requested_at = now() - interval '6 minutes' where id = ${id}`);
    expect(await alone(machine.id, { reason: 'power work' })).toMatchObject({
      kind: 'done',
      approvalId: id,
      runId: expect.any(String),
    });
  });

  const set = (by: string, ...names: string[]) => site.store.write((db) => setOnCall(db, names, by));
  const hoursPass = (count: number) =>
    asNature(site.store, sql`update on_call set set_at = set_at - make_interval(hours => ${count})`);
  const tries = async () => {
    const machine = await site.machine();
    const outcome = await alone(machine.id, { typedName: machine.name });
    expect(await runCount(site.store, machine.id)).toBe(outcome.kind === 'done' ? 1 : 0);
    return outcome;
  };
  const selfSet = { kind: 'refused', why: 'not-allowed', message: expect.stringContaining('You put yourself') };

  const hoursLeft = async () => {
    const outcome = await tries();
    const [, from = ''] =
      /You may go on alone from (\S+ \S+Z)\./.exec('message' in outcome ? outcome.message : '') ?? [];
    return (Date.parse(from.replace(' ', 'T')) - Date.now()) / 3_600_000;
  };

  test('is not for who put themselves on call, until a day has passed by the database’s clock', async () => {
    await set('ben');
    await set('ana', 'ana', 'ben');
    expect(await tries()).toMatchObject({ ...selfSet, nextStep: expect.stringContaining('no other admin') });
    await hoursPass(23);
    expect(await tries()).toMatchObject(selfSet);
    await hoursPass(1);
    expect(await tries()).toMatchObject({ kind: 'done' });
  });

  test('counts from when another one put them there, also when they put the list in another order themselves', async () => {
    await set('ben');
    await set('ben', 'ana', 'ben');
    await set('ana', 'ben', 'ana');
    expect(await site.store.read(onCallPersons)).toEqual(['ben', 'ana']);
    expect(await tries()).toMatchObject({ kind: 'done' });
  });

  test('no new order makes who put themselves on call wait less, and leaving the list in between makes it a day again', async () => {
    await set('ben');
    await set('ana', 'ana');
    await hoursPass(23);
    await set('ana', 'ben', 'ana');
    expect(await tries()).toMatchObject(selfSet);
    expect(await hoursLeft()).toBeCloseTo(1, 0);
    await set('ana', 'ben');
    await set('ana', 'ana');
    expect(await hoursLeft()).toBeCloseTo(24, 0);
  });

  test('is for who put themselves on call as soon as another one says the same', async () => {
    await set('ben');
    await set('ana', 'ana');
    await set('ben', 'ana', 'ben');
    expect(await tries()).toMatchObject({ kind: 'done' });
  });

  test('is for whom the engine’s host put on call, and for who was there before it was kept who did it', async () => {
    await set('administrator on the engine host', 'ana');
    expect(await tries()).toMatchObject({ kind: 'done' });
    await asNature(site.store, sql`update on_call set set_by = null, set_at = now()`);
    expect(await tries()).toMatchObject({ kind: 'done' });
  });
});

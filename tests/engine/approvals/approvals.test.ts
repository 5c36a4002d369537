import { sql } from 'drizzle-orm';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { invariant } from '../../../domain/invariant.ts';
import { hourMs, minuteMs } from '../../../domain/units.ts';
import { approvalViewOf } from '../../../engine/approvals/approval-view.ts';
import { settleDueApprovals } from '../../../engine/approvals/due.ts';
import { endApprovalOfRun } from '../../../engine/approvals/end-of-run.ts';
import { proposalDigest } from '../../../engine/approvals/proposal.ts';
import { requestThresholds } from '../../../engine/approvals/request.ts';
import { withdraw } from '../../../engine/approvals/withdraw.ts';
import { machinesWithHealth } from '../../../engine/health.ts';
import { listAudit } from '../../../engine/store/audit.ts';
import { subscribe } from '../../../engine/store/chat-places.ts';
import { changeTags } from '../../../engine/store/machine-tags.ts';
import { listCopies } from '../../../engine/store/messages.ts';
import { setDisabled, setGrants } from '../../../engine/store/people.ts';
import { finishRun } from '../../../engine/store/runs.ts';
import { startTestPostgres, type TestPostgres } from '../../fixtures/postgres.ts';
import { type ApprovalSite, approvalSite, asNature, idOf, letExpire, runCount, speaker } from './approval-site.ts';

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

describe('a planned failover', () => {
  test('runs exactly what was approved, once, and the record binds approver, digest, run and what was measured', async () => {
    const { machine, id } = await pending();
    expect(await runCount(site.store, machine.id)).toBe(0);
    const outcome = await site.vote('ben', id, { via: 'slack' });
    invariant(outcome.kind === 'done' && outcome.runId !== undefined, 'it began');
    const { runId } = outcome;
    expect(site.started).toContain(runId);
    expect(await site.approval(id)).toMatchObject({ state: 'executing', decidedBy: 'ben', runId });
    await site.store.write(async (db) => {
      await finishRun(db, runId, { kind: 'succeeded' });
      await endApprovalOfRun(db, runId, { kind: 'succeeded', measured: { rpoMs: 0, rtoMs: 74_000 } });
    });
    const view = await site.store.read((db) => approvalViewOf(db, id));
    expect(view).toMatchObject({
      state: 'succeeded',
      runId,
      measured: { rpoMs: 0, rtoMs: 74_000 },
      votes: [{ person: 'ben', via: 'slack', stepUp: 'totp' }],
    });
    const trail = await site.store.read((db) => listAudit(db, { about: id, countMax: 20 }));
    expect(trail.map(({ who, what }) => `${who}: ${what}`).reverse()).toEqual([
      'ana: approval requested',
      'ben: vote approve',
      'ben: approval executing',
      'ben: approval run',
      'engine: approval succeeded',
    ]);
    for (const { detail } of trail) expect(detail).toContain(view?.digest);
    expect(trail[1]?.detail).toContain(runId);
    expect(trail[0]?.detail).toContain('RTO 74000 ms');
  });

  test('asked for again in the same words is the same request; with other words it replaces the old one, whose buttons are dead', async () => {
    const { machine, id } = await pending();
    expect(idOf(await site.request('ana', machine.id))).toBe(id);
    expect(await site.request('dora', machine.id)).toMatchObject({
      kind: 'refused',
      message: expect.stringContaining('ana has asked'),
    });
    const other = idOf(await site.request('ana', machine.id, { reason: 'a better reason' }));
    expect(other).not.toBe(id);
    expect(await site.approval(id)).toMatchObject({ state: 'superseded', decidedBy: 'ana' });
    expect(await site.vote('ben', id)).toMatchObject({
      kind: 'refused',
      message: expect.stringContaining('was replaced'),
    });
    expect(await runCount(site.store, machine.id)).toBe(0);
  });

  test('of a first-tier machine needs two persons; one person on two surfaces is one', async () => {
    const machine = await site.machine();
    await site.store.write((db) =>
      changeTags(db, { machineName: machine.name, add: ['tier:0'], remove: [], by: 'ana' }),
    );
    const id = idOf(await site.request('ana', machine.id));
    expect(await site.vote('ben', id, { via: 'slack' })).toMatchObject({
      kind: 'done',
      message: expect.stringContaining('1 more'),
    });
    expect(await site.vote('ben', id, { via: 'teams' })).toMatchObject({ kind: 'refused' });
    expect(await runCount(site.store, machine.id)).toBe(0);
    expect(await site.vote('carla', id)).toMatchObject({ kind: 'done', runId: expect.any(String) });
    expect(await site.approval(id)).toMatchObject({ decidedBy: 'ben, carla' });
  });

  test('is not asked for while a check fails', async () => {
    const { machine, id } = await pending();
    await site.vote('ben', id);
    expect(await site.request('ana', machine.id, { reason: 'again' })).toMatchObject({
      kind: 'refused',
      message: expect.stringContaining('at work'),
    });
  });

  test('that was rejected stays so, with who and why', async () => {
    const { machine, id } = await pending();
    expect(await site.vote('ben', id, { decision: 'reject', reason: 'month end', code: undefined })).toMatchObject({
      kind: 'done',
    });
    expect(await site.vote('carla', id)).toMatchObject({
      kind: 'refused',
      message: `Already decided: ben rejected ${id}: month end`,
    });
    expect(await runCount(site.store, machine.id)).toBe(0);
  });

  test('expires by the duty, and by a vote that comes before the duty', async () => {
    const [first, second] = [await pending(), await pending()];
    await letExpire(site.store, first.id);
    await letExpire(site.store, second.id);
    expect(await site.vote('ben', first.id)).toMatchObject({ kind: 'refused' });
    expect(await site.approval(first.id)).toMatchObject({ state: 'expired', decidedBy: 'engine' });
    await settleDueApprovals(site.deps);
    expect((await site.approval(second.id)).state).toBe('expired');
  });

  test.each([
    ['epoch', sql`update protected_machines set epoch = epoch + 1`, 'epoch: 1, now 2'],
    [
      'memory',
      sql`update protected_machines set hardware = jsonb_set(hardware, '{memoryBytes}', '1048576')`,
      'memory bytes',
    ],
    ['policy', sql`update replication_policies set rpo_threshold_ms = rpo_threshold_ms + 1`, 'rpo threshold ms'],
  ])('whose %s has changed since is replaced at the vote, and said why', async (_name, change, words) => {
    const { machine, id } = await pending();
    await asNature(site.store, change);
    await asNature(
      site.store,
      sql`update recovery_points p set epoch = m.epoch from protected_machines m where m.id = p.machine_id`,
    );
    expect(await site.vote('ben', id)).toMatchObject({ kind: 'refused', message: expect.stringContaining(words) });
    expect((await site.approval(id)).state).toBe('superseded');
    expect(await runCount(site.store, machine.id)).toBe(0);
  });

  test('keeps waiting when its agent is silent at the vote', async () => {
    const { id } = await pending();
    await asNature(site.store, sql`update agents set last_seen_at = now() - interval '1 hour'`);
    expect(await site.vote('ben', id)).toMatchObject({ kind: 'refused', message: expect.stringContaining('silent') });
    expect(await site.approval(id)).toMatchObject({ state: 'pending', votes: [] });
    await asNature(site.store, sql`update agents set last_seen_at = now() + interval '1 day'`);
    expect(await site.vote('ben', id)).toMatchObject({ kind: 'done' });
  });

  test('is withdrawn by whoever asked, and by nobody else', async () => {
    const { id } = await pending();
    expect(await withdraw(site.deps, { approvalId: id, speaker: speaker('ben') })).toMatchObject({ kind: 'refused' });
    expect(await withdraw(site.deps, { approvalId: id, speaker: speaker('ana') })).toMatchObject({ kind: 'done' });
    expect(await site.vote('ben', id)).toMatchObject({ kind: 'refused' });
  });

  test('of somebody who was disabled meanwhile is replaced; votes of a disabled approver are refused', async () => {
    const { id } = await pending();
    await site.store.write((db) => setDisabled(db, 'ben', true));
    expect(await site.vote('ben', id)).toMatchObject({ kind: 'refused', message: expect.stringContaining('disabled') });
    await site.store.write((db) => setDisabled(db, 'ana', true));
    expect(await site.vote('carla', id)).toMatchObject({ kind: 'refused' });
    expect((await site.approval(id)).state).toBe('superseded');
    await site.resetPersons();
  });
});

describe('a planned failover for a later time', () => {
  const later = async () => {
    const { machine, id } = await pending({ notBeforeMs: Date.now() + hourMs });
    return {
      machine,
      id,
      come: () =>
        asNature(
          site.store,
          sql`update approvals set not_before = clock_timestamp(), requested_at = requested_at - interval '1 day' where id = ${id}`,
        ),
    };
  };

  test('waits when it is approved, and is looked at again at its time', async () => {
    const { machine, id, come } = await later();
    expect(await site.vote('ben', id)).toMatchObject({ kind: 'done', message: expect.stringContaining('begins at') });
    await settleDueApprovals(site.deps);
    expect(await runCount(site.store, machine.id)).toBe(0);
    // The digest covers the time: moving the row's time alone is no way to begin earlier.
    await come();
    await settleDueApprovals(site.deps);
    expect(await site.approval(id)).toMatchObject({
      state: 'superseded',
      decisionReason: expect.stringContaining('not before ms'),
    });
  });

  test('begins by the duty when its time has come', async () => {
    const { machine, id } = await later();
    await site.vote('ben', id);
    // As if it had been asked for an hour earlier: the row, its parameters and their digest all name a time that has come.
    const { params } = await site.approval(id);
    invariant(typeof params === 'object' && params !== null, 'parameters are an object');
    const notBeforeMs = Date.now() - minuteMs;
    const earlier = { ...params, notBeforeMs };
    await asNature(
      site.store,
      sql`update approvals set not_before = ${new Date(notBeforeMs).toISOString()}::timestamptz, params = ${JSON.stringify(earlier)}::jsonb,
        digest = ${proposalDigest(earlier)} where id = ${id}`,
    );
    await settleDueApprovals(site.deps);
    expect(await site.approval(id)).toMatchObject({ state: 'executing', decidedBy: 'ben' });
    expect(await runCount(site.store, machine.id)).toBe(1);
    expect(site.started).toContain((await site.approval(id)).runId);
  });

  test('is refused for a time that is over or too far', async () => {
    const machine = await site.machine();
    for (const notBeforeMs of [Date.now() - minuteMs, Date.now() + 8 * 24 * hourMs]) {
      expect(await site.request('ana', machine.id, { notBeforeMs })).toMatchObject({ kind: 'refused' });
    }
  });

  test('can still be rejected while it waits', async () => {
    const { id } = await later();
    await site.vote('ben', id);
    expect(await site.vote('carla', id, { decision: 'reject', reason: 'no' })).toMatchObject({ kind: 'done' });
    expect((await site.approval(id)).state).toBe('rejected');
  });
});

describe('alert thresholds', () => {
  test('are made stricter at once, and weaker only with another admin', async () => {
    const machine = await site.machine();
    const set = (person: string, warnMs: number, criticalMs: number) =>
      requestThresholds(site.deps, {
        machineId: machine.id,
        speaker: speaker(person),
        reason: 'r',
        thresholds: { warnMs, criticalMs },
      });
    const warnsAt = async () =>
      (await site.store.read((db) => machinesWithHealth(db, 5000))).find((one) => one.machine.id === machine.id);
    const admin = [{ role: 'admin', scope: { kind: 'everything' } }] as const;
    await site.store.write((db) => setGrants(db, 'ana', admin, 'the test'));
    expect(await set('ana', 20_000, 40_000)).toMatchObject({ kind: 'set' });
    await asNature(
      site.store,
      sql`update recovery_points set taken_at = now() - interval '30 seconds' where machine_id = ${machine.id}`,
    );
    expect((await warnsAt())?.health).toMatchObject({ kind: 'warning' });
    const asked = await set('ana', 60_000, 120_000);
    invariant(asked.kind === 'done', 'it waits for approval');
    expect((await warnsAt())?.health).toMatchObject({ kind: 'warning' });
    expect(await site.vote('ben', asked.approvalId)).toMatchObject({
      kind: 'refused',
      message: expect.stringContaining('not an admin'),
    });
    await site.store.write((db) => setGrants(db, 'ben', admin, 'the test'));
    expect(await site.vote('ben', asked.approvalId)).toMatchObject({ kind: 'done' });
    expect(await site.approval(asked.approvalId)).toMatchObject({ state: 'succeeded' });
    expect((await warnsAt())?.health).toEqual({ kind: 'healthy' });
    await site.resetPersons();
  });
});

test('a request is shown in the subscribed channels, and drawn again with every revision', async () => {
  const place = { surface: 'slack' as const, tenant: 'T1', place: 'C1' };
  await site.store.write((db) => subscribe(db, { place, severityMin: 'warning', person: 'ana' }));
  const { id } = await pending();
  const [copy] = await site.store.read((db) => listCopies(db, `approval:${id}`));
  expect(copy?.place).toBe('C1');
  const wanted = async () => {
    const { rows } = await site.store.read((db) =>
      db.execute<{ wanted: string }>(
        sql`select wanted_revision::text as wanted from messages where topic = ${`approval:${id}`} and kind = 'copy'`,
      ),
    );
    return Number(rows[0]?.wanted);
  };
  const before = await wanted();
  await site.vote('ben', id);
  expect(await wanted()).toBeGreaterThan(before);
  const { runId } = await site.approval(id);
  expect((await site.store.read((db) => listCopies(db, `run:${runId}`))).map((one) => one.place)).toEqual(['C1']);
});

import { mkdir, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { dayMs } from '../../../domain/units.ts';
import { openStore, type Store } from '../../../engine/store/open.ts';
import { chatRoutes } from '../../../protocol/chat-api.ts';
import { consoleRoutes, reportView } from '../../../protocol/console-api.ts';
import { auditAnswer } from '../../../protocol/people-api.ts';
import { startTestPostgres, type TestPostgres } from '../../fixtures/postgres.ts';
import { type Answer, startTestApi, type TestApi } from './api-fixture.ts';
import { type ConsoleSite, idOf, openConsoleSite } from './console-site.ts';

let postgres: TestPostgres;
let site: ConsoleSite;
let store: Store;
let api: TestApi;
let nowMs: number;

const daySeconds = dayMs / 1000;

beforeAll(async () => {
  postgres = await startTestPostgres();
  site = await openConsoleSite(postgres);
  store = await openStore({ connectionString: site.connectionString });
  api = await startTestApi(store);
  nowMs = await store.nowMs();
  await site.host(1);
  for (const number of [1, 2, 3]) await site.machine(number, 1);
}, 60_000);
afterAll(async () => {
  await Promise.allSettled([Promise.resolve().then(() => api.stop()), Promise.resolve().then(() => site.close())]);
  await store.close();
  await postgres.stop();
});

type Asked = { readonly machine?: string; readonly fromDaysAgo?: number; readonly toDaysAgo?: number };

async function ask({ machine, fromDaysAgo = 30, toDaysAgo = -1 }: Asked = {}): Promise<Answer> {
  const vera = await api.as({ kind: 'person', name: 'vera' });
  const period = `fromMs=${nowMs - fromDaysAgo * dayMs}&toMs=${nowMs - toDaysAgo * dayMs}`;
  return vera.get(`${consoleRoutes.report}?${period}${machine === undefined ? '' : `&machine=${machine}`}`);
}
const report = async (asked: Asked = {}) => reportView.parse((await ask(asked)).body);

test('an empty period is a report too: nothing was measured, and every protected machine is without a drill', async () => {
  expect(await report()).toMatchObject({
    machineName: null,
    madeBy: 'vera',
    summary: {
      machineCount: 3,
      drillCount: 0,
      machinesWithoutDrill: ['vm-1', 'vm-2', 'vm-3'],
      rpoMs: null,
      rtoMs: null,
    },
    runs: [],
    isCut: false,
  });
});

test('a report tells who did what and what was measured, oldest first, with approvals, and pictures that are there', async () => {
  const pictures = path.join(api.stateFolder, 'drills');
  await mkdir(pictures);
  const there = path.join(pictures, 'there.png');
  await writeFile(there, 'png');
  const gone = path.join(pictures, 'gone.png');
  const days = (count: number) => count * daySeconds;
  await site.run({
    number: 4,
    machineNumber: 2,
    startedSecondsAgo: days(1),
    kind: 'planned-failover',
    failover: { rpoMs: 0, rtoMs: 30_000 },
  });
  await site.run({
    number: 1,
    machineNumber: 1,
    startedSecondsAgo: days(3),
    secondsToGuestUp: 4,
    pointAgeMs: 9000,
    consolePicture: there,
  });
  await site.run({
    number: 2,
    machineNumber: 1,
    startedSecondsAgo: days(2),
    secondsToGuestUp: 6,
    pointAgeMs: 1000,
    consolePicture: gone,
  });
  await site.run({ number: 3, machineNumber: 3, startedSecondsAgo: days(2) - 60, state: 'failed' });
  await site.run({ number: 5, machineNumber: 1, startedSecondsAgo: days(2) - 90, kind: 'cleanup' });
  await site.run({ number: 6, machineNumber: 1, startedSecondsAgo: days(40) });
  const own = `insert into machine_thresholds (machine_id, warn_ms, critical_ms, set_by) values ($1, 90000, 270000, 'ana')`;
  await site.query(own, [idOf('mch', 2)]);
  const { runs, summary, lagLimits } = await report();
  const ofPolicy = lagLimits[0]?.limitMs;
  expect(ofPolicy).toBeGreaterThanOrEqual(1000);
  expect(lagLimits).toEqual([
    { machineName: 'vm-1', limitMs: ofPolicy },
    { machineName: 'vm-2', limitMs: 90_000 },
    { machineName: 'vm-3', limitMs: ofPolicy },
  ]);
  expect(runs.map(({ run, approval, hasPicture }) => [run.id, approval?.id ?? null, hasPicture])).toEqual([
    [idOf('run', 1), null, true],
    [idOf('run', 2), null, false],
    [idOf('run', 3), null, false],
    [idOf('run', 4), idOf('apr', 4), false],
  ]);
  expect(runs[3]?.approval).toMatchObject({ requestedBy: 'ana', decidedBy: 'ben', reason: 'maintenance' });
  expect(summary).toEqual({
    machineCount: 3,
    drillCount: 3,
    verifiedDrillCount: 2,
    failoverCount: 1,
    failedRunCount: 1,
    chosenPointDrillCount: 0,
    breakGlassCount: 0,
    unreviewedBreakGlassCount: 0,
    machinesWithoutDrill: ['vm-2', 'vm-3'],
    drillTimes: { rpoMs: { medianMs: 5000, worstMs: 9000 }, rtoMs: { medianMs: 5000, worstMs: 6000 } },
    failoverTimes: { rpoMs: { medianMs: 0, worstMs: 0 }, rtoMs: { medianMs: 30_000, worstMs: 30_000 } },
    rpoMs: { medianMs: 1000, worstMs: 9000 },
    rtoMs: { medianMs: 6000, worstMs: 30_000 },
  });
});

test('a report of one machine holds only its own runs, and one of another period only those', async () => {
  const ofOne = await report({ machine: 'vm-3' });
  expect(ofOne).toMatchObject({
    machineName: 'vm-3',
    summary: { machineCount: 1, drillCount: 1, machinesWithoutDrill: ['vm-3'] },
  });
  expect(ofOne.runs.map(({ run }) => run.id)).toEqual([idOf('run', 3)]);
  const before = await report({ fromDaysAgo: 60, toDaysAgo: 30 });
  expect(before.runs.map(({ run }) => run.id)).toEqual([idOf('run', 6)]);
});

test('a period that is none, or too long, or beyond all calendars, and a name that nobody has, are refused', async () => {
  const refusal = async (asked: Asked) => (await ask(asked)).body as { kind: string; message: string };
  expect(await refusal({ fromDaysAgo: 1, toDaysAgo: 1 })).toMatchObject({ kind: 'bad-request' });
  expect((await refusal({ fromDaysAgo: 401, toDaysAgo: 0 })).message).toContain('400 days');
  expect((await ask({ fromDaysAgo: 400, toDaysAgo: 0 })).status).toBe(200);
  expect(await refusal({ machine: 'vm-33' })).toMatchObject({
    kind: 'unknown-target',
    candidates: expect.arrayContaining(['vm-3']),
  });
  const vera = await api.as({ kind: 'person', name: 'vera' });
  const farAway = `fromMs=${Number.MAX_SAFE_INTEGER - 1000}&toMs=${Number.MAX_SAFE_INTEGER}`;
  expect((await vera.get(`${consoleRoutes.report}?${farAway}`)).body).toMatchObject({ kind: 'bad-request' });
  expect((await vera.get(consoleRoutes.report)).body).toMatchObject({ kind: 'bad-request' });
  expect(api.errors).toEqual([]);
});

test('a drill tells its host and the note of its newest clean-up, and one from a chosen point has no data loss', async () => {
  const days = (count: number) => count * daySeconds;
  const chosen = { number: 20, machineNumber: 3, startedSecondsAgo: days(210), pointAgeMs: 86_400_000 };
  await site.run({ ...chosen, plan: { target: 'QEMU on dr-1', isNewestPoint: false } });
  await site.drill(20, { machineNumber: 3, startedSecondsAgo: days(210), closedSecondsAgo: days(209) });
  for (const [number, state, hours] of [
    [21, 'failed', 2],
    [22, 'succeeded', 1],
    // Of the drill after it.
    [23, 'succeeded', -5],
  ] as const) {
    const plan = { reason: `note ${number}` };
    const startedSecondsAgo = days(209) + hours * 3600;
    await site.run({ number, machineNumber: 3, kind: 'cleanup', state, startedSecondsAgo, plan });
  }
  const newest = { number: 24, machineNumber: 3, startedSecondsAgo: days(208), pointAgeMs: 7000 };
  await site.run({ ...newest, plan: { isNewestPoint: true } });
  await site.drill(24, { machineNumber: 3, startedSecondsAgo: days(208), closedSecondsAgo: days(207) });
  const { runs, summary } = await report({ fromDaysAgo: 220, toDaysAgo: 200 });
  expect(runs.map(({ target, cleanup }) => [target, cleanup?.runId, cleanup?.note])).toEqual([
    ['QEMU on dr-1', idOf('run', 22), 'note 22'],
    [null, undefined, undefined],
  ]);
  expect(summary).toMatchObject({ chosenPointDrillCount: 1, rpoMs: { medianMs: 7000, worstMs: 7000 } });
});

test('what was asked for and came to nothing is listed with who ended it and why; what waits or ran is not', async () => {
  const ask = { machineNumber: 2, askedSecondsAgo: 310 * daySeconds };
  await site.request({ ...ask, number: 31, state: 'rejected', decidedBy: 'ben', why: 'not before the backup' });
  await site.request({ ...ask, number: 32, state: 'expired', askedSecondsAgo: 311 * daySeconds, decidedBy: 'engine' });
  await site.request({ ...ask, number: 33, state: 'pending' });
  await site.request({ ...ask, number: 34, state: 'withdrawn', askedSecondsAgo: 330 * daySeconds, decidedBy: 'ana' });
  await site.request({ ...ask, number: 35, state: 'superseded', machineNumber: 1, decidedBy: 'engine' });
  const period = { fromDaysAgo: 320, toDaysAgo: 300 };
  const { requests, areRequestsCut } = await report({ ...period, machine: 'vm-2' });
  expect(requests.map(({ id, state }) => [id, state])).toEqual([
    [idOf('apr', 32), 'expired'],
    [idOf('apr', 31), 'rejected'],
  ]);
  expect(requests[1]).toMatchObject({
    requestedBy: 'ana',
    reason: 'power work',
    decidedBy: 'ben',
    decisionReason: 'not before the backup',
  });
  expect(areRequestsCut).toBe(false);
  expect((await report(period)).requests).toHaveLength(3);
  // What has let a run run was asked for 40 days ago.
  expect((await report({ fromDaysAgo: 60, toDaysAgo: 30 })).requests).toEqual([]);
});

test('a failover by break-glass is counted until another person has reviewed it, and tells the review', async () => {
  const failover = { machineNumber: 1, kind: 'planned-failover', failover: { rpoMs: 0, rtoMs: 1 } } as const;
  await site.run({ ...failover, number: 40, startedSecondsAgo: 350 * daySeconds });
  await site.query(
    `update approvals set is_break_glass = true, review_due_at = now() - interval '349 days' where id = $1`,
    [idOf('apr', 40)],
  );
  const period = { fromDaysAgo: 360, toDaysAgo: 340 };
  const counts = async () => {
    const { breakGlassCount, unreviewedBreakGlassCount } = (await report(period)).summary;
    return [breakGlassCount, unreviewedBreakGlassCount];
  };
  expect(await counts()).toEqual([1, 1]);
  await site.query(
    `update approvals set reviewed_by = 'ben', review_note = 'it was right', reviewed_at = now() - interval '349 days' where id = $1`,
    [idOf('apr', 40)],
  );
  expect(await counts()).toEqual([1, 0]);
  const review = (await report(period)).runs[0]?.approval?.review;
  expect(review).toMatchObject({ reviewedBy: 'ben', note: 'it was right', reviewedAtMs: expect.any(Number) });
});

test('a report is for people who may read the audit trail: the bot alone gets none', async () => {
  const url = `${consoleRoutes.report}?fromMs=0&toMs=1000`;
  expect((await (await api.as({ kind: 'bot', name: 'bot-1' })).get(url)).status).toBe(403);
  expect((await (await api.as({ kind: 'person', name: 'nobody' })).get(url)).status).toBe(403);
});

test('at most five hundred runs are listed, and all of them are counted', async () => {
  await site.query(
    `insert into runs (id, kind, machine_id, requested_by, idempotency_key, plan, plan_digest, state, started_at, finished_at, result)
     select 'run_' || lpad((1000 + n)::text, 10, '0'), kind, machine_id, 'schedule', 'many-' || n, plan, plan_digest, state,
       started_at - interval '100 days' + make_interval(secs => n), finished_at - interval '100 days' + make_interval(secs => n), result
     from runs, generate_series(1, 501) n where id = $1`,
    [idOf('run', 2)],
  );
  const all = await report({ fromDaysAgo: 110, toDaysAgo: 90 });
  expect([all.runs.length, all.isCut, all.summary.drillCount]).toEqual([500, true, 501]);
  expect(all.runs[0]?.run.id).toBe(idOf('run', 1001));
  await site.query(`delete from runs where id = $1`, [idOf('run', 1501)]);
  const fitting = await report({ fromDaysAgo: 110, toDaysAgo: 90 });
  expect([fitting.runs.length, fitting.isCut, fitting.summary.drillCount]).toEqual([500, false, 500]);
});

test('a report carries the head of the audit trail as `audit` tells it, and says when the trail is not whole', async () => {
  const ana = await api.as({ kind: 'person', name: 'ana' });
  await ana.post('/v1/commands/pause', { machine: 'vm-1', forMs: 60_000, reason: 'to have an entry' });
  const { audit } = await report();
  const trail = auditAnswer.parse((await ana.get(`${chatRoutes.audit}?about=vm-1`)).body);
  expect(audit).toEqual({ headDigest: trail.headDigest, headNumber: audit.headNumber, isChainWhole: true });
  expect(audit.headNumber).toBeGreaterThan(0);
  // The vault has seen more of the trail than there is now: its end was removed.
  await api.deps.auditAnchors.putAuditAnchor({ number: audit.headNumber + 5, digest: 'cd'.repeat(32), atMs: nowMs });
  expect((await report()).audit.isChainWhole).toBe(false);
});

import { sql } from 'drizzle-orm';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { brokenConstraint } from '../../../engine/store/database.ts';
import type { Store } from '../../../engine/store/open.ts';
import { createRun } from '../../../engine/store/runs.ts';
import { startTestPostgres, type TestPostgres } from '../../fixtures/postgres.ts';
import { protectMachines, type TestMachine } from '../workflow/protected-machine.ts';

let postgres: TestPostgres;
let store: Store;
let machine: TestMachine;
let runId: string;

beforeAll(async () => {
  postgres = await startTestPostgres();
  store = await postgres.freshStore();
  const [first] = await protectMachines(store, ['vm-7']);
  if (first === undefined) throw new Error('no machine');
  machine = first;
  const created = await store.write((db) =>
    createRun(db, {
      kind: 'test-failover',
      machineId: machine.machineId,
      requestedBy: 'ana',
      idempotencyKey: 'key-of-the-first-run',
      plan: {},
      planDigest: 'a'.repeat(64),
      steps: ['one', 'two'],
    }),
  );
  runId = created.run.id;
});
afterAll(() => postgres.stop());

/** The constraint that refuses the statement; undefined when the database lets it through. Nothing of it stays. */
async function refusedBy(statement: string): Promise<string | undefined> {
  const undo = new Error('undo');
  try {
    await store.write(async (db) => {
      await db.execute(sql.raw(statement));
      throw undo;
    });
  } catch (error) {
    if (error === undo) return undefined;
    const constraint = brokenConstraint(error);
    if (constraint === undefined) throw error;
    return constraint;
  }
  return undefined;
}

const digest = 'b'.repeat(64);
const wrongStates: readonly (readonly [what: string, constraint: string, statement: string])[] = [
  ['a machine in epoch 0', 'protected_machines_epoch', 'update protected_machines set epoch = 0'],
  ['a pause without a reason', 'protected_machines_pause', 'update protected_machines set paused_until = now()'],
  ['a reason without a pause', 'protected_machines_pause', "update protected_machines set pause_reason = 'x'"],
  ['an unknown protection', 'protected_machines_protection', "update protected_machines set protection_kind = 'x'"],
  [
    'an initial replication without figures',
    'protected_machines_protection_data',
    `update protected_machines set protection_kind = 'initial-replication', protection = '{}'`,
  ],
  [
    'a protected machine with left-over figures',
    'protected_machines_protection_data',
    `update protected_machines set protection = '{"doneBytes": 1}'`,
  ],
  ['two disks of one name', 'disks_key', 'insert into disks select id || 1, machine_id, key, 9, 1 from disks'],
  ['an empty disk', 'disks_size', 'update disks set size_bytes = 0'],
  ['a point in an unknown state', 'recovery_points_state', "update recovery_points set state = 'fine'"],
  ['an available point without manifest', 'recovery_points_sealed', 'update recovery_points set manifest = null'],
  [
    'an available point without manifest digest',
    'recovery_points_sealed',
    'update recovery_points set manifest_digest = null',
  ],
  [
    'an available point that nobody verified',
    'recovery_points_verified',
    'update recovery_points set verified_at = null',
  ],
  [
    'a receiving point with a manifest',
    'recovery_points_sealed',
    `update recovery_points set state = 'receiving', manifest_digest = '${digest}'`,
  ],
  ['damage without a word about it', 'recovery_points_damage', "update recovery_points set state = 'damaged'"],
  ['a digest that is none', 'recovery_points_digest', "update recovery_points set manifest_digest = 'abc'"],
  [
    'two points of one number',
    'recovery_points_number',
    `insert into recovery_points (id, machine_id, capture_id, epoch, kind, state, taken_at, reason, pause_ms, changed_bytes,
       hardware, disks, number, manifest, manifest_digest) select 'rp_2', machine_id, gen_random_uuid(), 1, kind, 'sealed', now(),
       '', 0, 0, hardware, disks, number, manifest, manifest_digest from recovery_points`,
  ],
  [
    'two points of one capture',
    'recovery_points_capture',
    `insert into recovery_points (id, machine_id, capture_id, epoch, kind, state, taken_at, reason, pause_ms, changed_bytes,
       hardware, disks) select 'rp_2', machine_id, capture_id, 1, kind, 'receiving', now(), '', 0, 0, hardware, disks
       from recovery_points`,
  ],
  [
    'two active runs of one machine',
    'runs_one_active',
    `insert into runs (id, kind, machine_id, requested_by, idempotency_key, plan, plan_digest)
       select 'run_2', 'cleanup', machine_id, 'ben', 'another-key', '{}', plan_digest from runs`,
  ],
  [
    'one idempotency key twice',
    'runs_idempotency_key_unique',
    `insert into runs (id, kind, machine_id, requested_by, idempotency_key, plan, plan_digest, state, finished_at)
       select 'run_2', 'cleanup', machine_id, 'ben', idempotency_key, '{}', plan_digest, 'succeeded', now() from runs`,
  ],
  ['a run that ended without a time', 'runs_finished', "update runs set state = 'succeeded'"],
  ['an active run with an end', 'runs_finished', 'update runs set finished_at = now()'],
  ['a failure without a word', 'runs_failure', "update runs set state = 'failed', finished_at = now()"],
  ['a result of a run at work', 'runs_result', `update runs set result = '{}'`],
  ['a step in an unknown state', 'run_steps_state', "update run_steps set state = 'x'"],
  ['a done step without an end', 'run_steps_finished', "update run_steps set state = 'done', started_at = now()"],
  ['a running step without a start', 'run_steps_started', 'update run_steps set started_at = now()'],
  ['two steps of one name', 'run_steps_name', "update run_steps set name = 'one'"],
  [
    'a policy below one second',
    'replication_policies_every',
    'update replication_policies set crash_consistent_every_ms = 1',
  ],
  [
    'a threshold below the policy’s own rhythm',
    'replication_policies_threshold',
    'update replication_policies set rpo_threshold_ms = 1000, crash_consistent_every_ms = 2000',
  ],
  [
    'two agents of one host',
    'agents_one_per_host',
    "insert into agents (id, host_name, certificate_fingerprint, certificate_expires_at) select 'agt_2', host_name, certificate_fingerprint, now() from agents",
  ],
  ['a token in clear', 'enrolment_tokens_hash', "update enrolment_tokens set token_hash = 'secret'"],
  ['a token used by nobody', 'enrolment_tokens_used_once', 'update enrolment_tokens set used_by_agent_id = null'],
  [
    'a token used after its end',
    'enrolment_tokens_used_in_time',
    "update enrolment_tokens set used_at = expires_at + interval '1 s'",
  ],
];

describe('the database refuses', () => {
  test.each(wrongStates)('%s', async (_what, constraint, statement) => {
    expect(await refusedBy(statement)).toBe(constraint);
  });

  test('two open drills of one machine, a closed drill with a pin, an open one without, and removing a pinned point', async () => {
    const columns = 'id, machine_id, run_id, pinned_point_id, point, state, vm_name, expires_at, closed_at';
    const drill = (values: { id: string; run: string; pin: string; state: string; closed: string; vm: string }) =>
      `insert into drills (${columns}) values ('${values.id}', '${machine.machineId}', '${values.run}', ${values.pin},
        '{}', '${values.state}', '${values.vm}', now() + interval '1 h', ${values.closed})`;
    const pin = `'${machine.pointId}'`;
    const open = { id: 'drl_1', run: runId, pin, state: 'open', closed: 'null', vm: 'vm-7-Test' };
    expect(await refusedBy(drill(open))).toBeUndefined();
    expect(await refusedBy(drill({ ...open, pin: 'null' }))).toBe('drills_pin');
    expect(await refusedBy(drill({ ...open, state: 'closed', closed: 'now()' }))).toBe('drills_pin');
    expect(await refusedBy(drill({ ...open, state: 'closed', pin: 'null' }))).toBe('drills_closed');
    const otherRun = `insert into runs (id, kind, machine_id, requested_by, idempotency_key, plan, plan_digest, state, finished_at)
      select 'run_2', kind, machine_id, 'ben', 'another-key', '{}', plan_digest, 'succeeded', now() from runs`;
    const second = drill({ ...open, id: 'drl_2', run: 'run_2', vm: 'other' });
    expect(await refusedBy(`${otherRun}; ${drill(open)}; ${second}`)).toBe('drills_one_open');
    expect(await refusedBy(`${drill(open)}; delete from recovery_points`)).toBe(
      'drills_pinned_point_id_recovery_points_id_fk',
    );
  });
});

test('the check sees a constraint that is gone: without it the wrong state is stored', async () => {
  const dropped = 'alter table protected_machines drop constraint protected_machines_epoch';
  expect(await refusedBy(`${dropped}; update protected_machines set epoch = 0`)).toBeUndefined();
});

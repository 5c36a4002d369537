import { Client } from 'pg';
import type { TestPostgres } from '../../fixtures/postgres.ts';

/** Rows as the engine would have made them, some of them long ago: no test can wait for a day to pass. */
export type ConsoleSite = {
  readonly connectionString: string;
  query(statement: string, values?: readonly unknown[]): Promise<void>;
  host(number: number, more?: { readonly site?: string; readonly silentSeconds?: number }): Promise<void>;
  /** Protected, with one point that was taken three seconds ago. */
  machine(number: number, hostNumber: number): Promise<string>;
  run(run: SiteRun): Promise<string>;
  /** The drill of a run, open from its beginning on for so long. */
  drill(number: number, drill: DrillTime): Promise<void>;
  /** A planned failover that was asked for and came to nothing. */
  request(request: SiteRequest): Promise<string>;
  close(): Promise<void>;
};

export type SiteRun = {
  readonly number: number;
  readonly machineNumber: number;
  readonly kind?: 'test-failover' | 'planned-failover' | 'cleanup';
  readonly state?: 'active' | 'succeeded' | 'failed';
  readonly startedSecondsAgo: number;
  readonly secondsToGuestUp?: number;
  readonly isVerified?: boolean;
  readonly pointAgeMs?: number;
  readonly failover?: { readonly rpoMs: number; readonly rtoMs: number };
  readonly consolePicture?: string;
  /** What its plan holds beside the rest that nobody reads of a run that has ended. */
  readonly plan?: object;
};

export type DrillTime = {
  readonly machineNumber: number;
  readonly startedSecondsAgo: number;
  readonly closedSecondsAgo: number | null;
};
export type SiteRequest = {
  readonly number: number;
  readonly machineNumber: number;
  readonly askedSecondsAgo: number;
  readonly state: 'pending' | 'rejected' | 'expired' | 'withdrawn' | 'superseded';
  readonly decidedBy?: string;
  readonly why?: string;
};

export const idOf = (prefix: string, number: number) => `${prefix}_${`${number}`.padStart(10, '0')}`;
export const machineNameOf = (number: number) => `vm-${number}`;
const digest = 'ab'.repeat(32);
const hardware = { memoryBytes: 67_108_864, cpuCount: 1, firmware: 'bios' };
const disks = [{ key: 'disk0', sizeBytes: 1_048_576 }];

/** Fills a database of its own; open a store on its connection string. */
export async function openConsoleSite(postgres: TestPostgres): Promise<ConsoleSite> {
  const connectionString = await postgres.freshDatabase();
  const client = new Client({ connectionString });
  await client.connect();
  // The database lets approvals and their runs only begin at the beginning; these have come to their end.
  await client.query('set session_replication_role = replica');
  const query = async (statement: string, values: readonly unknown[] = []) => {
    await client.query(statement, [...values]);
  };
  return {
    connectionString,
    query,
    host: (number, { site = 'main', silentSeconds = 0 } = {}) =>
      query(
        `insert into agents (id, host_name, site_name, agent_version, certificate_fingerprint, certificate_expires_at, last_seen_at)
         values ($1, $2, $3, '0.1.0', $4, now() + interval '9 days', now() - make_interval(secs => $5))`,
        [idOf('agt', number), `host-${number}`, site, digest, silentSeconds],
      ),
    machine: (number, hostNumber) => insertMachine(query, number, hostNumber),
    run: (run) => insertRun(query, run),
    drill: (number, { machineNumber, startedSecondsAgo, closedSecondsAgo }) =>
      query(
        `insert into drills (id, machine_id, run_id, point, state, vm_name, started_at, expires_at, closed_at)
         values ($1, $2, $3, '{}', case when $5::float is null then 'open' else 'closed' end, 'vm-test', now() - make_interval(secs => $4::float),
           now(), now() - make_interval(secs => $5::float))`,
        [idOf('drl', number), idOf('mch', machineNumber), idOf('run', number), startedSecondsAgo, closedSecondsAgo],
      ),
    request: (request) => insertRequest(query, request),
    close: () => client.end(),
  };
}

type Query = ConsoleSite['query'];

async function insertMachine(query: Query, number: number, hostNumber: number): Promise<string> {
  const [id, agentId, name] = [idOf('mch', number), idOf('agt', hostNumber), machineNameOf(number)];
  await query(
    `insert into guests (agent_id, name, kind, tracking, disks, hardware) values ($1, $2, 'qemu-guest', 'bitmaps', $3, $4)`,
    [agentId, name, JSON.stringify(disks), hardware],
  );
  await query(
    `insert into protected_machines (id, name, agent_id, policy_name, kind, protection_kind, protection, hardware, last_manifest_digest, enabled_by)
     values ($1, $2, $3, 'default', 'qemu-guest', 'protected', '{}', $4, $5, 'ana')`,
    [id, name, agentId, hardware, digest],
  );
  await query(`insert into disks (id, machine_id, key, boot_order, size_bytes) values ($1, $2, 'disk0', 0, 1048576)`, [
    idOf('dsk', number),
    id,
  ]);
  await query(
    `insert into recovery_points (id, machine_id, capture_id, epoch, kind, state, taken_at, reason, pause_ms, changed_bytes, hardware,
       disks, number, manifest, manifest_digest, verified_at)
     values ($1, $2, gen_random_uuid(), 1, 'crash-consistent', 'available', now() - interval '3 s', '', 1, 0, $3, '[]', 1, '{}', $4, now())`,
    [idOf('rp', number), id, hardware, digest],
  );
  return machineNameOf(number);
}

async function insertRun(query: Query, run: SiteRun): Promise<string> {
  const { number, machineNumber, kind = 'test-failover', state = 'succeeded', startedSecondsAgo } = run;
  const id = idOf('run', number);
  const approvalId = kind === 'planned-failover' ? idOf('apr', number) : null;
  if (approvalId !== null) await insertApproval(query, approvalId, machineNumber);
  await query(
    `insert into runs (id, kind, machine_id, requested_by, idempotency_key, plan, plan_digest, state, started_at, finished_at, failure,
       result, approval_id)
     values ($1, $2, $3, 'ana', 'key-' || $1, $9, $4, $5, now() - make_interval(secs => $6::float),
       case when $5 = 'active' then null else now() - make_interval(secs => $6::float - 1) end,
       case when $5 = 'failed' then 'no space left' end, $7, $8)`,
    [id, kind, idOf('mch', machineNumber), digest, state, startedSecondsAgo, resultOf(run), approvalId, run.plan ?? {}],
  );
  await query(
    `insert into run_steps (run_id, position, name, state, started_at, finished_at) values ($1, 0, 'start machine', 'done', now(), now())`,
    [id],
  );
  return id;
}

function resultOf(run: SiteRun): object | null {
  const { kind = 'test-failover', state = 'succeeded', machineNumber } = run;
  if (state !== 'succeeded' || kind === 'cleanup') return null;
  const point = {
    id: idOf('rp', machineNumber),
    kind: 'crash-consistent',
    state: 'available',
    takenAtMs: 1,
    reason: '',
  };
  const { failover } = run;
  return {
    point,
    pointAgeMs: run.pointAgeMs ?? 9000,
    secondsToGuestUp: run.secondsToGuestUp ?? 4,
    marker: null,
    verified: run.isVerified ?? true,
    verification: 'It printed its marker.',
    consolePicture: run.consolePicture ?? null,
    vmName: 'vm-test',
    accelerator: 'tcg',
    ...(failover && { failover: { ...failover, proof: 'all blocks are equal', disksComparedCount: 1 } }),
  };
}

async function insertApproval(query: Query, id: string, machineNumber: number): Promise<void> {
  await query(
    `insert into approvals (id, operation, machine_id, machine_name, state, digest, params, needed_count, reason, requested_by,
       requested_via, requested_at, expires_at, shown, decided_by, decided_at)
     values ($1, 'planned-failover', $2, $3, 'succeeded', $4, '{}', 1, 'maintenance', 'ana', 'slack', now() - interval '40 days',
       now() - interval '39 days', '{"impact": [], "checks": [], "facts": []}', 'ben', now() - interval '40 days')`,
    [id, idOf('mch', machineNumber), machineNameOf(machineNumber), digest],
  );
}

async function insertRequest(query: Query, request: SiteRequest): Promise<string> {
  const { number, machineNumber, askedSecondsAgo, state, decidedBy = null, why = null } = request;
  const id = idOf('apr', number);
  await query(
    `insert into approvals (id, operation, machine_id, machine_name, state, digest, params, needed_count, reason, requested_by,
       requested_via, requested_at, expires_at, shown, decided_by, decided_at, decision_reason)
     values ($1, 'planned-failover', $2, $3, $4, $5, '{}', 1, 'power work', 'ana', 'web', now() - make_interval(secs => $6::float),
       now() - make_interval(secs => $6::float - 1800), '{"impact": [], "checks": [], "facts": []}', $7,
       case when $7::text is null then null else now() - make_interval(secs => $6::float - 60) end, $8)`,
    [id, idOf('mch', machineNumber), machineNameOf(machineNumber), state, digest, askedSecondsAgo, decidedBy, why],
  );
  return id;
}

import { Client } from 'pg';

/** How large a site is looked at. */
export type SiteSize = {
  readonly machineCount: number;
  readonly pointsPerMachine: number;
  readonly drillsPerMachine: number;
  readonly hostCount: number;
};

/**
 * Fills an empty database with a site as it would be after a while: every machine protected and heard of just now, its points and drills
 * in the past, some alerts open and some machines tagged.
 */
export async function seedSite(connectionString: string, size: SiteSize): Promise<void> {
  const client = new Client({ connectionString });
  await client.connect();
  try {
    for (const statement of statementsOf(size)) await client.query(statement);
    // As autovacuum leaves them after a while.
    await client.query('vacuum analyze');
  } finally {
    await client.end();
  }
}

/** Every host was heard of just now, and every machine's newest point is seconds old: time has passed since the site was made. */
export async function freshenSite(connectionString: string, { pointsPerMachine }: SiteSize): Promise<void> {
  const client = new Client({ connectionString });
  await client.connect();
  try {
    await client.query('update agents set last_seen_at = now()');
    const taken = "update recovery_points set taken_at = now() - interval '3 seconds' where number = $1";
    await client.query(taken, [pointsPerMachine]);
  } finally {
    await client.end();
  }
}

const padded = (prefix: string, number: string) => `'${prefix}_' || lpad((${number})::text, 10, '0')`;
const hardware = `'{"memoryBytes": 4294967296, "cpuCount": 2, "firmware": "uefi"}'::jsonb`;
const digest = `repeat('ab', 32)`;

function statementsOf(size: SiteSize): string[] {
  const { machineCount, pointsPerMachine, drillsPerMachine, hostCount } = size;
  const machines = `generate_series(1, ${machineCount}) m`;
  return [
    `insert into agents (id, host_name, site_name, agent_version, certificate_fingerprint, certificate_expires_at, last_seen_at)
     select ${padded('agt', 'h')}, 'host-' || h, 'site-' || (h % 4), '0.1.0', ${digest}, now() + interval '80 days', now()
     from generate_series(1, ${hostCount}) h`,
    `insert into guests (agent_id, name, kind, tracking, disks, hardware)
     select ${padded('agt', `1 + m % ${hostCount}`)}, 'vm-' || lpad(m::text, 4, '0'), 'qemu-guest', 'QEMU dirty bitmaps',
       '[{"key": "disk0", "sizeBytes": 10737418240}, {"key": "disk1", "sizeBytes": 10737418240}]'::jsonb, ${hardware} from ${machines}`,
    `insert into protected_machines (id, name, agent_id, policy_name, kind, protection_kind, protection, hardware, report,
       last_point_number, last_manifest_digest, enabled_by)
     select ${padded('mch', 'm')}, 'vm-' || lpad(m::text, 4, '0'), ${padded('agt', `1 + m % ${hostCount}`)}, 'default', 'qemu-guest',
       'protected', '{}'::jsonb, ${hardware}, jsonb_build_object('machineId', ${padded('mch', 'm')}, 'activity',
       '{"kind": "idle"}'::jsonb, 'spoolBytes', 0, 'sentBytesTotal', 1000000), ${pointsPerMachine}, ${digest}, 'ana' from ${machines}`,
    `insert into disks (id, machine_id, key, boot_order, size_bytes)
     select ${padded('dsk', 'm * 2 + d')}, ${padded('mch', 'm')}, 'disk' || d, d, 10737418240 from ${machines}, generate_series(0, 1) d`,
    `insert into recovery_points (id, machine_id, capture_id, epoch, kind, state, taken_at, reason, pause_ms, changed_bytes, hardware,
       disks, number, manifest, manifest_digest, verified_at)
     select ${padded('rp', `m * ${pointsPerMachine} + p`)}, ${padded('mch', 'm')}, gen_random_uuid(), 1, 'crash-consistent', 'available',
       now() - make_interval(secs => (${pointsPerMachine} - p) * 15 + 3), '', 1.5, 1048576, ${hardware},
       ${pointDisks}, p, jsonb_build_object('disks', ${pointDisks}, 'hardware', ${hardware}), ${digest}, now()
     from generate_series(1, ${pointsPerMachine}) p, ${machines}`,
    `insert into runs (id, kind, machine_id, requested_by, idempotency_key, plan, plan_digest, state, started_at, finished_at, result)
     select ${padded('run', `m * ${drillsPerMachine} + d`)}, 'test-failover', ${padded('mch', 'm')}, 'ana',
       'key-' || m || '-' || d, '{}'::jsonb, ${digest}, 'succeeded', now() - make_interval(days => d), now() - make_interval(days => d),
       ${drillResult} from generate_series(1, ${drillsPerMachine}) d, ${machines}`,
    `insert into run_steps (run_id, position, name, state, started_at, finished_at)
     select id, s, 'step ' || s, 'done', started_at, finished_at from runs, generate_series(0, 5) s`,
    `insert into machine_tags (machine_name, tag, tagged_by)
     select 'vm-' || lpad(m::text, 4, '0'), tag, 'ana' from ${machines}, unnest(array['tier-' || (m % 3), 'city-' || (m % 7)]) tag`,
  ];
}

const pointDisks = `jsonb_build_array(
  jsonb_build_object('diskId', ${padded('dsk', 'm * 2')}, 'key', 'disk0', 'sizeBytes', 10737418240,
    'position', jsonb_build_object('epoch', 1, 'sequence', p, 'digest', ${digest})),
  jsonb_build_object('diskId', ${padded('dsk', 'm * 2 + 1')}, 'key', 'disk1', 'sizeBytes', 10737418240,
    'position', jsonb_build_object('epoch', 1, 'sequence', p, 'digest', ${digest})))`;

const drillResult = `jsonb_build_object('point', jsonb_build_object('id', ${padded('rp', 'm')}, 'kind', 'crash-consistent',
  'state', 'available', 'takenAtMs', 1700000000000, 'reason', ''), 'pointAgeMs', 9000, 'secondsToGuestUp', 3 + d, 'marker', null,
  'verified', true, 'verification', 'It printed its marker.', 'consolePicture', null, 'vmName', 'vm-test', 'accelerator', 'kvm')`;

import { asc, eq, sql } from 'drizzle-orm';
import { z } from 'zod';
import { byteCount, id } from '../../protocol/api-fields.ts';
import { protectionView } from '../../protocol/control-api.ts';
import type { Database } from './database.ts';
import type { MachineRecord } from './machines.ts';
import { rowSchemas } from './rows.ts';
import { disks, protectedMachines, replicationPolicies } from './schema.ts';

/** What is shown of a machine and decided about its health; its chain, its hardware and its disks' positions are left out. */
export type MachineBrief = Omit<
  MachineRecord,
  'disks' | 'epoch' | 'hardware' | 'lastPointNumber' | 'lastManifestDigest'
> & {
  /** In boot order. */
  readonly disks: readonly { readonly key: string; readonly sizeBytes: number }[];
};

const briefSchema = z.object({
  id: id<MachineRecord['id']>('machine'),
  name: z.string(),
  kind: rowSchemas.guestKind,
  agentId: id<NonNullable<MachineRecord['agentId']>>('agent').nullable(),
  policyName: z.string(),
  protection: z.discriminatedUnion(
    'kind',
    // The first one is `not-protected`, which has no row.
    [protectionView.options[1], protectionView.options[2], protectionView.options[3]],
  ),
  pause: z.object({ untilMs: z.number(), reason: z.string() }).nullable(),
  report: rowSchemas.report,
  resyncRequired: z.string().nullable(),
  isHeld: z.boolean(),
  runningAlthoughHeldAtMs: z.number().nullable(),
  sentBytesTotal: byteCount,
  disks: rowSchemas.guestDisks,
});

/** All machines, by name. One value for each: a thousand of them are read many times a minute. */
export async function listMachineBriefs(db: Database): Promise<MachineBrief[]> {
  const policies = new Map((await db.select().from(replicationPolicies)).map((policy) => [policy.name, policy]));
  const rows = await db.select({ brief: brief() }).from(protectedMachines).orderBy(asc(protectedMachines.name));
  return rows.flatMap((row) => {
    const { pause, policyName, ...machine } = briefSchema.parse(row.brief);
    const policy = policies.get(policyName);
    // Policies are never removed; one that was made since belongs to a machine of the next look.
    if (policy === undefined) return [];
    return [{ ...machine, policy, replication: pause === null ? running : { kind: 'paused' as const, ...pause } }];
  });
}

const running = { kind: 'running' } as const;

function brief() {
  const machine = protectedMachines;
  const msOf = (column: typeof machine.pausedUntil) => sql`round(extract(epoch from ${column}) * 1000)`;
  const disksOfMachine = sql`(
    select json_agg(json_build_object('key', ${disks.key}, 'sizeBytes', ${disks.sizeBytes}) order by ${disks.bootOrder})
    from ${disks} where ${eq(disks.machineId, machine.id)})`;
  const pause = sql`case when ${machine.pausedUntil} > now()
    then json_build_object('untilMs', ${msOf(machine.pausedUntil)}, 'reason', ${machine.pauseReason}) end`;
  return sql<unknown>`json_build_object(
    'id', ${machine.id}, 'name', ${machine.name}, 'kind', ${machine.kind}, 'agentId', ${machine.agentId},
    'policyName', ${machine.policyName}, 'pause', ${pause}, 'report', ${machine.report},
    'protection', ${machine.protection} || jsonb_build_object('kind', ${machine.protectionKind}),
    'resyncRequired', ${machine.resyncRequired}, 'isHeld', ${machine.isHeld},
    'runningAlthoughHeldAtMs', ${msOf(machine.runningAlthoughHeldAt)}, 'sentBytesTotal', ${machine.sentBytesTotal},
    'disks', coalesce(${disksOfMachine}, '[]'))`;
}

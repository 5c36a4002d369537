import { and, asc, eq, getTableColumns, inArray, isNotNull, isNull, lte, ne, sql } from 'drizzle-orm';
import type { AgentId, DiskId, MachineId } from '../../domain/ids.ts';
import { invariant } from '../../domain/invariant.ts';
import { emptyDigest, type Position } from '../../domain/position.ts';
import type { ProtectionState, ReplicationSwitch } from '../../domain/protected-machine.ts';

import type { ReplicationPolicy } from '../../domain/replication-policy.ts';
import { minuteMs } from '../../domain/units.ts';
import type { ReplicationReport } from '../../protocol/agent-api.ts';
import type { MachineHardware, PointManifest } from '../../protocol/point-manifest.ts';
import type { GuestRecord } from './agents.ts';
import { type Database, databaseNowMs } from './database.ts';
import { newId } from './new-id.ts';
import { idOf, protectionColumns, protectionOf, rowSchemas } from './rows.ts';
import { disks, protectedMachines, replicationPolicies } from './schema.ts';

export type DiskRecord = {
  readonly id: DiskId;
  readonly key: string;
  readonly sizeBytes: number;
  /** Everything up to here was read back and authenticated; null before the first verified point. */
  readonly verifiedPosition: Position | null;
  readonly compactedSequence: number;
};

/** A machine that is, or is becoming, protected. */
export type MachineRecord = {
  readonly id: MachineId;
  readonly name: string;
  readonly kind: GuestRecord['kind'];
  /** Null only after a rebuild from the vault, until its agent is heard. */
  readonly agentId: AgentId | null;
  readonly policy: ReplicationPolicy;
  readonly epoch: number;
  readonly protection: Exclude<ProtectionState, { kind: 'not-protected' }>;
  /** By the database's clock: a pause whose time is over reads as running. */
  readonly replication: ReplicationSwitch;
  readonly hardware: MachineHardware;
  readonly report: ReplicationReport | null;
  readonly resyncRequired: string | null;
  /** Its source must stay stopped: another copy may be in charge. */
  readonly isHeld: boolean;
  /** When its agent last found it running all the same. */
  readonly runningAlthoughHeldAtMs: number | null;
  readonly sentBytesTotal: number;
  readonly lastPointNumber: number;
  readonly lastManifestDigest: string;
  /** In boot order. */
  readonly disks: readonly DiskRecord[];
};

export type EnableOutcome =
  | { readonly kind: 'enabled'; readonly machineId: MachineId }
  /** A machine of that name is protected already. */
  | { readonly kind: 'name-taken' };

/** Begins to protect a guest: from its next heartbeat on, its agent replicates it. Call it in a transaction. */
export async function enableMachine(
  db: Database,
  order: { readonly guest: GuestRecord; readonly policyName: string; readonly enabledBy: string },
): Promise<EnableOutcome> {
  const { guest } = order;
  const totalBytes = guest.disks.reduce((sum, disk) => sum + disk.sizeBytes, 0);
  const [created] = await db
    .insert(protectedMachines)
    .values({
      id: newId('machine'),
      name: guest.name,
      kind: guest.kind,
      agentId: guest.agentId,
      policyName: order.policyName,
      ...protectionColumns({ kind: 'initial-replication', doneBytes: 0, totalBytes, bytesPerSecond: 0 }),
      hardware: guest.hardware,
      lastManifestDigest: emptyDigest,
      enabledBy: order.enabledBy,
    })
    .onConflictDoNothing({ target: protectedMachines.name })
    .returning({ id: protectedMachines.id });
  if (created === undefined) return { kind: 'name-taken' };
  const rows = guest.disks.map((disk, bootOrder) => ({ id: newId('disk'), machineId: created.id, bootOrder, ...disk }));
  await db.insert(disks).values(rows);
  return { kind: 'enabled', machineId: idOf('machine', created.id) };
}

export async function findMachine(db: Database, id: string): Promise<MachineRecord | undefined> {
  return (await machinesWhere(db, eq(protectedMachines.id, id)))[0];
}

export async function findMachineByName(db: Database, name: string): Promise<MachineRecord | undefined> {
  return (await machinesWhere(db, eq(protectedMachines.name, name)))[0];
}

/** All machines, by name. */
export async function listMachines(db: Database): Promise<MachineRecord[]> {
  return machinesWhere(db, undefined);
}

export async function listMachinesOfAgent(db: Database, agentId: AgentId): Promise<MachineRecord[]> {
  return machinesWhere(db, eq(protectedMachines.agentId, agentId));
}

async function machinesWhere(db: Database, condition: ReturnType<typeof eq> | undefined): Promise<MachineRecord[]> {
  const rows = await db
    .select({
      ...getTableColumns(protectedMachines),
      policy: replicationPolicies,
      isPaused: sql<boolean>`coalesce(${protectedMachines.pausedUntil} > now(), false)`,
    })
    .from(protectedMachines)
    .innerJoin(replicationPolicies, eq(protectedMachines.policyName, replicationPolicies.name))
    .where(condition)
    .orderBy(asc(protectedMachines.name));
  if (rows.length === 0) return [];
  const ids = rows.map((row) => row.id);
  const diskRows = await db.select().from(disks).where(inArray(disks.machineId, ids)).orderBy(asc(disks.bootOrder));
  const disksOf = Map.groupBy(diskRows, (disk) => disk.machineId);
  return rows.map((row) => machineOf(row, (disksOf.get(row.id) ?? []).map(diskOf)));
}

type MachineRow = typeof protectedMachines.$inferSelect & { policy: ReplicationPolicy; isPaused: boolean };

function machineOf(row: MachineRow, machineDisks: readonly DiskRecord[]): MachineRecord {
  const protection = protectionOf(row.protectionKind, row.protection);
  invariant(protection.kind !== 'not-protected', 'a machine with a row is protected, or is becoming so');
  return {
    id: idOf('machine', row.id),
    name: row.name,
    kind: rowSchemas.guestKind.parse(row.kind),
    agentId: row.agentId === null ? null : idOf('agent', row.agentId),
    policy: row.policy,
    epoch: row.epoch,
    protection,
    replication:
      row.isPaused && row.pausedUntil !== null && row.pauseReason !== null
        ? { kind: 'paused', untilMs: row.pausedUntil.getTime(), reason: row.pauseReason }
        : { kind: 'running' },
    hardware: rowSchemas.hardware.parse(row.hardware),
    report: rowSchemas.report.parse(row.report),
    resyncRequired: row.resyncRequired,
    isHeld: row.isHeld,
    runningAlthoughHeldAtMs: row.runningAlthoughHeldAt?.getTime() ?? null,
    sentBytesTotal: row.sentBytesTotal,
    lastPointNumber: row.lastPointNumber,
    lastManifestDigest: row.lastManifestDigest,
    disks: machineDisks,
  };
}

function diskOf(row: typeof disks.$inferSelect): DiskRecord {
  return {
    id: idOf('disk', row.id),
    key: row.key,
    sizeBytes: row.sizeBytes,
    verifiedPosition: rowSchemas.position.parse(row.verifiedPosition),
    compactedSequence: row.compactedSequence,
  };
}

/** Stops replication until a time by the database's clock, which is returned. */
export async function pauseMachine(
  db: Database,
  id: MachineId,
  pause: { readonly forMs: number; readonly reason: string },
): Promise<{ readonly untilMs: number }> {
  const [row] = await db
    .update(protectedMachines)
    .set({ pausedUntil: sql`now() + make_interval(secs => ${pause.forMs / 1000})`, pauseReason: pause.reason })
    .where(eq(protectedMachines.id, id))
    .returning({ until: protectedMachines.pausedUntil });
  invariant(row?.until, `machine ${id} is there`);
  return { untilMs: row.until.getTime() };
}

export async function resumeMachine(db: Database, id: MachineId): Promise<void> {
  await db.update(protectedMachines).set({ pausedUntil: null, pauseReason: null }).where(eq(protectedMachines.id, id));
}

/** Ends the pauses whose time is over; returns the machines' names. */
export async function endOverduePauses(db: Database): Promise<string[]> {
  const rows = await db
    .update(protectedMachines)
    .set({ pausedUntil: null, pauseReason: null })
    .where(and(isNotNull(protectedMachines.pausedUntil), lte(protectedMachines.pausedUntil, sql`now()`)))
    .returning({ name: protectedMachines.name });
  return rows.map((row) => row.name);
}

/** Keeps what the agent says of a machine of its own. */
export async function saveReport(db: Database, machine: MachineRecord, report: ReplicationReport): Promise<void> {
  const before = machine.report?.sentBytesTotal ?? 0;
  // The agent counts from its start: a smaller figure than before means that it was started again.
  const sent = report.sentBytesTotal >= before ? report.sentBytesTotal - before : report.sentBytesTotal;
  await db
    .update(protectedMachines)
    .set({
      report,
      resyncRequired: report.resyncRequired ?? null,
      sentBytesTotal: machine.sentBytesTotal + sent,
    })
    .where(eq(protectedMachines.id, machine.id));
  if (report.activity.kind !== 'scanning') return;
  const { doneBytes, totalBytes, bytesPerSecond } = report.activity;
  const progress = protectionColumns({ kind: 'initial-replication', doneBytes, totalBytes, bytesPerSecond });
  // By the row and not by what was read of it: the machine may have become protected, or failed over, since.
  await db
    .update(protectedMachines)
    .set(progress)
    .where(and(eq(protectedMachines.id, machine.id), eq(protectedMachines.protectionKind, 'initial-replication')));
}

/** Keeps the hardware that the next recovery point is taken with. */
export async function saveHardware(db: Database, id: MachineId, hardware: MachineHardware): Promise<void> {
  await db.update(protectedMachines).set({ hardware }).where(eq(protectedMachines.id, id));
}

/** The first available point makes a machine protected; `was-protected` when it was so before. */
export async function markProtected(db: Database, id: MachineId): Promise<'protected' | 'was-protected'> {
  const changed = await db
    .update(protectedMachines)
    .set(protectionColumns({ kind: 'protected' }))
    .where(and(eq(protectedMachines.id, id), eq(protectedMachines.protectionKind, 'initial-replication')))
    .returning({ id: protectedMachines.id });
  return changed.length === 1 ? 'protected' : 'was-protected';
}

/**
 * Fences the source of a machine: from here on its agent is of an old epoch, and must keep the source stopped. False when the machine is
 * not in that epoch (any more). Call it in the transaction that notes the step.
 */
export async function fenceSource(db: Database, id: MachineId, epoch: number): Promise<boolean> {
  const changed = await db
    .update(protectedMachines)
    .set({ epoch: epoch + 1, isHeld: true })
    .where(and(eq(protectedMachines.id, id), eq(protectedMachines.epoch, epoch), eq(protectedMachines.isHeld, false)))
    .returning({ id: protectedMachines.id });
  return changed.length === 1;
}

/**
 * Takes the fence back that was raised over `epoch`: the source is in charge again, in a higher epoch. Nothing when it was never raised,
 * or the machine runs at the target.
 */
export async function liftFence(db: Database, id: MachineId, epoch: number): Promise<void> {
  await db
    .update(protectedMachines)
    .set({ epoch: epoch + 2, isHeld: false, runningAlthoughHeldAt: null })
    .where(
      and(
        eq(protectedMachines.id, id),
        eq(protectedMachines.epoch, epoch + 1),
        eq(protectedMachines.isHeld, true),
        ne(protectedMachines.protectionKind, 'failed-over'),
      ),
    );
}

export type FailedOver = Extract<ProtectionState, { kind: 'failed-over' }>;

/** The machine runs at the target from here on. False when its source is not held. */
export async function markFailedOver(db: Database, id: MachineId, state: Omit<FailedOver, 'kind' | 'atMs'>) {
  const atMs = await databaseNowMs(db);
  const changed = await db
    .update(protectedMachines)
    .set(protectionColumns({ kind: 'failed-over', ...state, atMs }))
    .where(and(eq(protectedMachines.id, id), eq(protectedMachines.isHeld, true)))
    .returning({ id: protectedMachines.id });
  return changed.length === 1;
}

/** All blocks of the machine that this run failed over are at the target now. */
export async function markDisksLocal(db: Database, id: MachineId, runId: string): Promise<void> {
  await db
    .update(protectedMachines)
    .set({ protection: sql`${protectedMachines.protection} || '{"disks": "local"}'::jsonb` })
    .where(
      and(
        eq(protectedMachines.id, id),
        eq(protectedMachines.protectionKind, 'failed-over'),
        sql`${protectedMachines.protection} ->> 'runId' = ${runId}`,
      ),
    );
}

/** After so long without a report, a held source that runs again is news. */
const heldNewsAfterMs = 5 * minuteMs;

/** Notes that a held source was found running; `again` when people were told of it a moment ago. */
export async function noteRunningAlthoughHeld(db: Database, machine: MachineRecord): Promise<'first' | 'again'> {
  const nowMs = await databaseNowMs(db);
  await db
    .update(protectedMachines)
    .set({ runningAlthoughHeldAt: sql`now()` })
    .where(and(eq(protectedMachines.id, machine.id), eq(protectedMachines.isHeld, true)));
  const knownAtMs = machine.runningAlthoughHeldAtMs;
  return knownAtMs === null || nowMs - knownAtMs > heldNewsAfterMs ? 'first' : 'again';
}

/** Gives a machine that was rebuilt from the vault to the agent that has its disks. */
export async function attachMachine(db: Database, id: MachineId, agentId: AgentId): Promise<void> {
  await db
    .update(protectedMachines)
    .set({ agentId })
    .where(and(eq(protectedMachines.id, id), isNull(protectedMachines.agentId)));
}

/**
 * Makes the rows of a machine that only the vault knows, as its newest point describes it. Doing it again changes
 * nothing.
 */
export async function adoptMachine(
  db: Database,
  manifest: PointManifest,
  policyName: string,
): Promise<'adopted' | 'known'> {
  const [known] = await db
    .select({ id: protectedMachines.id })
    .from(protectedMachines)
    .where(eq(protectedMachines.id, manifest.machineId));
  if (known !== undefined) return 'known';
  const [sameName] = await db
    .select({ id: protectedMachines.id })
    .from(protectedMachines)
    .where(eq(protectedMachines.name, manifest.machineName));
  const totalBytes = manifest.disks.reduce((sum, disk) => sum + disk.sizeBytes, 0);
  await db.insert(protectedMachines).values({
    id: manifest.machineId,
    // Somebody protected a machine of this name anew after the loss: both stay, the old one under a longer name.
    name: sameName === undefined ? manifest.machineName : `${manifest.machineName}-${manifest.machineId.slice(-4)}`,
    kind: 'disk-image',
    policyName,
    epoch: manifest.epoch,
    ...protectionColumns({ kind: 'initial-replication', doneBytes: 0, totalBytes, bytesPerSecond: 0 }),
    hardware: manifest.hardware,
    lastManifestDigest: emptyDigest,
    enabledBy: 'rebuilt from the vault',
  });
  const rows = manifest.disks.map(({ diskId, key, sizeBytes }, bootOrder) => ({
    id: diskId,
    machineId: manifest.machineId,
    key,
    bootOrder,
    sizeBytes,
  }));
  await db.insert(disks).values(rows);
  return 'adopted';
}

/** Notes how far a disk was read back and authenticated. */
export async function saveVerifiedPosition(db: Database, diskId: DiskId, position: Position): Promise<void> {
  await db.update(disks).set({ verifiedPosition: position }).where(eq(disks.id, diskId));
}

/** Notes up to where a disk's segments were folded. */
export async function saveCompacted(db: Database, diskId: DiskId, sequence: number): Promise<void> {
  await db.update(disks).set({ compactedSequence: sequence }).where(eq(disks.id, diskId));
}

import { createHash } from 'node:crypto';
import { z } from 'zod';
import {
  type CleanupPlan,
  cleanupSteps,
  type TestFailoverPlan,
  testFailoverSteps,
} from '../../domain/failover-plan.ts';
import type { RecoveryPointId, RunId } from '../../domain/ids.ts';
import { type DiskId, type DrillId, type Id, type IdKind, isId, type MachineId } from '../../domain/ids.ts';
import { type PlannedFailoverPlan, plannedFailoverSteps } from '../../domain/planned-failover.ts';
import { canonicalText, machineHardware, positionSchema } from '../../protocol/point-manifest.ts';
import type { BootVerification, DrillPlan, StartedMachine } from '../target/target.ts';

function id<T extends Id<IdKind>>(kind: IdKind) {
  return z.custom<T>((value) => typeof value === 'string' && isId(kind, value), `expected a ${kind} id`);
}

const disk = z.object({
  diskId: id<DiskId>('disk'),
  key: z.string(),
  sizeBytes: z.number().int().min(1),
  position: positionSchema,
});

const testFailoverPlan = z.object({
  kind: z.literal('test-failover'),
  machineId: id<MachineId>('machine'),
  machineName: z.string(),
  epoch: z.number().int().min(1),
  point: z.object({
    id: id<RecoveryPointId>('recoveryPoint'),
    kind: z.enum(['crash-consistent', 'application-consistent']),
    takenAtMs: z.number(),
    reason: z.string(),
  }),
  isNewestPoint: z.boolean().optional(),
  hardware: machineHardware,
  disks: z.array(disk).min(1),
  target: z.string(),
  network: z.string(),
  accelerator: z.string(),
  vmName: z.string(),
  verifyLimitMs: z.number().min(1),
  expiresAfterMs: z.number().min(1),
  steps: z.array(z.enum(testFailoverSteps)),
}) satisfies z.ZodType<TestFailoverPlan>;

const cleanupPlan = z.object({
  kind: z.literal('cleanup'),
  machineId: id<MachineId>('machine'),
  machineName: z.string(),
  epoch: z.number().int().min(1),
  drillId: id<DrillId>('drill'),
  drillRunId: id<RunId>('run'),
  vmName: z.string(),
  reason: z.string(),
  steps: z.array(z.enum(cleanupSteps)),
}) satisfies z.ZodType<CleanupPlan>;

const plannedFailoverPlan = z.object({
  kind: z.literal('planned-failover'),
  machineId: id<MachineId>('machine'),
  machineName: z.string(),
  epoch: z.number().int().min(1),
  pointRule: z.literal('after-shutdown'),
  hardware: machineHardware,
  disks: z.array(disk.omit({ position: true })).min(1),
  target: z.string(),
  network: z.string(),
  accelerator: z.string(),
  vmName: z.string(),
  shutdownLimitMs: z.number().int().min(1000),
  verifyLimitMs: z.number().min(1),
  policyName: z.string(),
  steps: z.array(z.enum(plannedFailoverSteps)),
}) satisfies z.ZodType<PlannedFailoverPlan>;

/** A run's plan, as its row holds it. */
export const runPlan = z.discriminatedUnion('kind', [testFailoverPlan, cleanupPlan, plannedFailoverPlan]);
export type RunPlan = TestFailoverPlan | CleanupPlan | PlannedFailoverPlan;

/** What the row of a drill, or of a failed-over machine, keeps for the target (`handle`). */
export const drillPlan = z.object({
  drillId: id<DrillId>('drill'),
  purpose: z.enum(['drill', 'failover']).optional(),
  runId: id<RunId>('run'),
  machineName: z.string(),
  hardware: machineHardware,
  disks: z.array(disk).min(1),
}) satisfies z.ZodType<DrillPlan>;

/** What the step "start machine" noted for the steps after it. */
export const startedMachine = z.object({
  vmName: z.string(),
  accelerator: z.enum(['kvm', 'tcg', 'none']),
  memoryBytes: z.number(),
  cpuCount: z.number(),
  notes: z.array(z.string()),
}) satisfies z.ZodType<StartedMachine>;

/** What the step "verify boot" noted: only what the result shows. */
export const verificationNote = z.object({
  verified: z.boolean(),
  marker: z.string().nullable(),
  explanation: z.string(),
  consolePicture: z.string().nullable(),
  secondsToGuestUp: z.number(),
});
export type VerificationNote = z.infer<typeof verificationNote>;

/** @param secondsToGuestUp from the start of the run to the verdict, by the engine's clock */
export function noteOf(verification: BootVerification, secondsToGuestUp: number): VerificationNote {
  return {
    verified: verification.verified,
    marker: 'marker' in verification ? (verification.marker ?? null) : null,
    explanation: verification.explanation,
    consolePicture: verification.consolePicture ?? null,
    secondsToGuestUp,
  };
}

/** SHA-256 (hex) of a plan: what is shown to people, and what runs, is the same plan when this is the same. */
export function planDigest(plan: RunPlan): string {
  return createHash('sha256').update(canonicalText(plan)).digest('hex');
}

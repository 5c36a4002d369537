import { createHash } from 'node:crypto';
import { z } from 'zod';
import { type DiskId, idPattern, type MachineId, type RecoveryPointId } from '../domain/ids.ts';

const digestText = z.string().regex(/^[0-9a-f]{64}$/);

/** A position as it is written down: in manifests, in HTTP bodies, in Postgres. */
export const positionSchema = z.object({
  epoch: z.number().int().min(1),
  sequence: z.number().int().min(0),
  digest: digestText,
});

/** What a machine needs to be started again elsewhere; read from its hypervisor, or the defaults for a plain disk image. */
export const machineHardware = z.object({
  memoryBytes: z.number().int().min(1_048_576),
  cpuCount: z.number().int().min(1).max(256),
  firmware: z.enum(['bios', 'uefi']),
});
export type MachineHardware = z.infer<typeof machineHardware>;

/**
 * What a `.pt` blob says: one recovery point of one machine, as the positions of all its disks at one instant.
 *
 * `previousDigest` is the SHA-256 of the canonical text of the machine's point before this one (64 zeros for the first), so that a
 * missing manifest in the middle is found. Times are epoch milliseconds by the engine's clock. Source: REPLICATION 2.
 */
export const pointManifestSchema = z.object({
  format: z.literal('lifeboat-point/1'),
  vaultId: z.string().regex(/^[0-9a-z-]{1,64}$/),
  pointId: z.custom<RecoveryPointId>((value) => typeof value === 'string' && idPattern('recoveryPoint').test(value)),
  machineId: z.custom<MachineId>((value) => typeof value === 'string' && idPattern('machine').test(value)),
  machineName: z.string().min(1).max(80),
  /** Counts the machine's points from 1. */
  number: z.number().int().min(1),
  epoch: z.number().int().min(1),
  kind: z.enum(['crash-consistent', 'application-consistent']),
  takenAtMs: z.number().int().min(0),
  /** Why a person took it; empty for points that the policy took. */
  reason: z.string().max(500),
  hardware: machineHardware,
  /** In boot order: the first disk is the one that the machine starts from. */
  disks: z
    .array(
      z.object({
        diskId: z.custom<DiskId>((value) => typeof value === 'string' && idPattern('disk').test(value)),
        /** The disk's name on its source, e.g. `disk0`. */
        key: z.string().min(1).max(200),
        sizeBytes: z.number().int().min(1),
        position: positionSchema,
      }),
    )
    .min(1)
    .max(64),
  previousDigest: digestText,
});
export type PointManifest = z.infer<typeof pointManifestSchema>;

/** The text that is signed and chained: JSON with every object's keys in ascending order and no white space. */
export function canonicalText(value: unknown): string {
  if (Array.isArray(value)) return `[${value.map(canonicalText).join(',')}]`;
  if (value !== null && typeof value === 'object') {
    const entries = Object.entries(value).sort(([a], [b]) => (a < b ? -1 : 1));
    return `{${entries.map(([key, field]) => `${JSON.stringify(key)}:${canonicalText(field)}`).join(',')}}`;
  }
  return JSON.stringify(value);
}

/** SHA-256 (hex) of the manifest's canonical text: what the next manifest's `previousDigest` must be. */
export function manifestDigest(manifest: PointManifest): string {
  return createHash('sha256').update(canonicalText(manifest)).digest('hex');
}

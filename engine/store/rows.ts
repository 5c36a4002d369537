import { z } from 'zod';
import { type Id, type IdKind, isId } from '../../domain/ids.ts';
import { invariant } from '../../domain/invariant.ts';
import { powerOutcome, replicationReport, spoolReport } from '../../protocol/agent-api.ts';
import { pointView, protectionView, runView } from '../../protocol/control-api.ts';
import { machineHardware, pointManifestSchema, positionSchema } from '../../protocol/point-manifest.ts';

/** The parse edge of the store: what jsonb and text columns hold, by the schemas that the rest of the program uses. */
export const rowSchemas = {
  hardware: machineHardware,
  pointDisks: pointManifestSchema.shape.disks,
  manifest: pointManifestSchema,
  position: positionSchema.nullable(),
  guestDisks: z.array(z.object({ key: z.string(), sizeBytes: z.number().int() })),
  report: replicationReport.nullable(),
  spool: spoolReport.nullable(),
  runResult: runView.shape.result,
  runKind: runView.shape.kind,
  runState: runView.shape.state,
  powerOutcome: powerOutcome.nullable(),
  pointView,
  pointKind: pointView.shape.kind,
  pointState: pointView.shape.state,
  guestKind: z.enum(['qemu-guest', 'disk-image']),
} as const;

/** A protection state from its two columns. */
export function protectionOf(kind: string, data: unknown): z.infer<typeof protectionView> {
  return protectionView.parse({ ...z.record(z.string(), z.unknown()).parse(data), kind });
}

/** The two columns of a protection state. */
export function protectionColumns(protection: z.infer<typeof protectionView>) {
  const { kind, ...data } = protection;
  return { protectionKind: kind, protection: data };
}

/** An id column; our own code wrote it, so a malformed one is our bug. */
export function idOf<Kind extends IdKind>(kind: Kind, text: string): Id<Kind> {
  invariant(isId(kind, text), `${text} is a ${kind} id`);
  return text;
}

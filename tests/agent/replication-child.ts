import { createHash, randomBytes, randomInt } from 'node:crypto';
import { appendFileSync } from 'node:fs';
import { join } from 'node:path';
import type { AgentIdentity } from '../../agent/identity.ts';
import type { CaptureBoundary } from '../../agent/machine-context.ts';
import type { Capture, ChangeTracker } from '../../agent/tracker/change-tracker.ts';
import { blockBytes } from '../../domain/extent.ts';
import type { AnnouncePointRequest, Assignment } from '../../protocol/agent-api.ts';
import { startAgent } from './replication-agent.ts';
import { openSimulatedSource, type SimulatedSource, type SourceOptions } from './simulated-source.ts';

/** An agent in a process of its own, that is killed at a boundary; its guest writes at every boundary. */
export type ChildOrder = {
  readonly stateFolder: string;
  readonly identity: AgentIdentity;
  readonly processServers: readonly string[];
  readonly assignment: Assignment;
  readonly source: SourceOptions;
  readonly killAt: CaptureBoundary;
  readonly occurrence: number;
};

export const sourceFolder = (stateFolder: string): string => join(stateFolder, 'source');
export const viewsFile = (stateFolder: string): string => join(stateFolder, 'views.jsonl');
export const pointsFile = (stateFolder: string): string => join(stateFolder, 'points.jsonl');

/** Notes what every captured view holds, so that the points can be compared with it later. */
export function noting(tracker: ChangeTracker, stateFolder: string): ChangeTracker {
  return {
    ...tracker,
    async capture(generation): Promise<Capture> {
      const capture = await tracker.capture(generation);
      const digests: string[] = [];
      for (const { disk, read } of capture.disks) digests.push(sha256Text(await read(0, disk.sizeBytes)));
      appendFileSync(viewsFile(stateFolder), `${JSON.stringify({ takenAtMs: capture.takenAtMs, digests })}\n`);
      return capture;
    },
  };
}

export const sha256Text = (bytes: Uint8Array): string => createHash('sha256').update(bytes).digest('hex');

export function announceInto(stateFolder: string) {
  return (point: AnnouncePointRequest) => {
    appendFileSync(pointsFile(stateFolder), `${JSON.stringify(point)}\n`);
    return Promise.resolve('announced' as const);
  };
}

function guestWrites(source: SimulatedSource, assignment: Assignment): void {
  const disk = assignment.disks[randomInt(assignment.disks.length)];
  if (disk === undefined) return;
  const at = randomInt(disk.sizeBytes - 100);
  // Sometimes a whole block becomes zero, which the vault must drop.
  if (randomInt(3) === 0) {
    const start = Math.floor(at / blockBytes) * blockBytes;
    source.write(disk.key, start, Buffer.alloc(Math.min(blockBytes, disk.sizeBytes - start)));
  } else {
    source.write(disk.key, at, randomBytes(100));
  }
}

if (process.argv[2] === 'run') {
  const order: ChildOrder = JSON.parse(process.argv[3] ?? '');
  const source = openSimulatedSource(sourceFolder(order.stateFolder), order.source);
  let passed = 0;
  await startAgent({
    ...order,
    tracker: noting(source.tracker(), order.stateFolder),
    announce: announceInto(order.stateFolder),
    onBoundary(boundary) {
      guestWrites(source, order.assignment);
      if (boundary === order.killAt) passed += 1;
      if (passed === order.occurrence) process.kill(process.pid, 'SIGKILL');
    },
  });
}

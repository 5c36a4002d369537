import { expect } from 'vitest';
import type { Capture, CapturedDisk } from '../../../agent/tracker/change-tracker.ts';
import { blockBytes, type Extent } from '../../../domain/extent.ts';

/** What a caller builds from captures: the disks, by applying only what each capture says has changed. */
export type Replica = {
  /** Reads what changed; `between` runs after each disk. Gives the number of bytes read. */
  apply(capture: Capture, between?: () => Promise<void>): Promise<number>;
  content(key: string): Buffer;
};

const readBytes = 1024 * 1024;

export function emptyReplica(): Replica {
  const disks = new Map<string, Buffer>();
  return {
    apply: async (capture, between = async () => {}) => {
      let bytes = 0;
      for (const captured of capture.disks) {
        const { key, sizeBytes } = captured.disk;
        const content = disks.get(key) ?? Buffer.alloc(sizeBytes);
        const isNew = captured.changes.kind === 'everything-unknown' || content.length !== sizeBytes;
        const target = isNew ? Buffer.alloc(sizeBytes) : content;
        bytes += await copyExtents(captured, extentsOf(captured), target);
        disks.set(key, target);
        await between();
      }
      return bytes;
    },
    content: (key) => disks.get(key) ?? Buffer.alloc(0),
  };
}

function extentsOf(captured: CapturedDisk): readonly Extent[] {
  const { changes, disk } = captured;
  return changes.kind === 'extents' ? changes.extents : [{ offsetBytes: 0, lengthBytes: disk.sizeBytes }];
}

async function copyExtents(captured: CapturedDisk, extents: readonly Extent[], target: Buffer): Promise<number> {
  let bytes = 0;
  for (const { offsetBytes, lengthBytes } of extents) {
    for (let at = offsetBytes; at < offsetBytes + lengthBytes; at += readBytes) {
      const data = await captured.read(at, Math.min(readBytes, offsetBytes + lengthBytes - at));
      data.copy(target, at);
      bytes += data.length;
    }
  }
  return bytes;
}

/** The whole of one disk's view. */
export async function readWhole(captured: CapturedDisk): Promise<Buffer> {
  const whole = Buffer.alloc(captured.disk.sizeBytes);
  await copyExtents(captured, [{ offsetBytes: 0, lengthBytes: whole.length }], whole);
  return whole;
}

/** Fails unless the replica is what the capture's views show, byte for byte. */
export async function expectReplicaEqualsView(replica: Replica, capture: Capture): Promise<void> {
  for (const captured of capture.disks) {
    const view = await readWhole(captured);
    const different = differingBlocks(replica.content(captured.disk.key), view);
    expect({ disk: captured.disk.key, different }).toEqual({ disk: captured.disk.key, different: [] });
  }
}

function differingBlocks(a: Buffer, b: Buffer): number[] {
  const count = Math.ceil(Math.max(a.length, b.length) / blockBytes);
  const same = (block: number) => {
    const [start, end] = [block * blockBytes, (block + 1) * blockBytes];
    return a.subarray(start, end).equals(b.subarray(start, end));
  };
  return Array.from({ length: count }, (_, block) => block).filter((block) => !same(block));
}

/** Fails unless the extents are sorted, apart from one another and made of whole blocks of the disk. */
export function expectWellFormed(captured: CapturedDisk): void {
  if (captured.changes.kind !== 'extents') return;
  let end = -1;
  for (const { offsetBytes, lengthBytes } of captured.changes.extents) {
    expect(offsetBytes).toBeGreaterThan(end);
    expect(offsetBytes % blockBytes).toBe(0);
    end = offsetBytes + lengthBytes;
    expect(lengthBytes).toBeGreaterThan(0);
    expect(end % blockBytes === 0 || end === captured.disk.sizeBytes).toBe(true);
  }
  expect(end).toBeLessThanOrEqual(captured.disk.sizeBytes);
}

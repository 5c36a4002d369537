import { hash, randomBytes } from 'node:crypto';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { blockBytes } from '../../../domain/extent.ts';
import { OutageError } from '../../../domain/outage.ts';
import { startPosition } from '../../../domain/position.ts';
import { contentDigestOfWrites } from '../../../protocol/content-digest.ts';
import {
  appended,
  expectSameBytes,
  filledBlock,
  namesIn,
  newDiskId,
  OracleDisk,
  readImage,
  type VaultFixture,
  vaultFixture,
} from './vault-fixture.ts';

let fixture: VaultFixture;
beforeEach(async () => {
  fixture = await vaultFixture();
});
afterEach(() => fixture.remove());

const sizeBytes = 12 * blockBytes + 5_000;

describe('appending', () => {
  it('starts at sequence 0 and counts up; every position has its own digest', async () => {
    const { vault } = fixture;
    const diskId = newDiskId();
    const disk = new OracleDisk(sizeBytes);
    expect(await vault.position(diskId)).toEqual(startPosition(1));
    const digests = new Set<string>();
    for (let sequence = 1; sequence <= 3; sequence += 1) {
      const batch = disk.batch(await vault.position(diskId), [{ block: sequence, fill: sequence }]);
      const position = await appended(vault, diskId, batch);
      expect(position).toMatchObject({ epoch: 1, sequence });
      digests.add(position.digest);
      expect(await vault.position(diskId)).toEqual(position);
      expect(await (await fixture.reopen()).position(diskId)).toEqual(position);
    }
    expect(digests.size).toBe(3);
  });

  it('recognises a batch that was sent again, the newest and an older one', async () => {
    const { vault } = fixture;
    const diskId = newDiskId();
    const disk = new OracleDisk(sizeBytes);
    const first = disk.batch(startPosition(1), [{ block: 0, fill: 1 }]);
    const one = await appended(vault, diskId, first);
    expect(await vault.append(diskId, first)).toEqual({ kind: 'already-there', position: one });
    const second = disk.batch(one, [{ block: 1, fill: 2 }]);
    const two = await appended(vault, diskId, second);
    expect(await vault.append(diskId, first)).toEqual({ kind: 'already-there', position: one });
    expect(await (await fixture.reopen()).append(diskId, second)).toEqual({ kind: 'already-there', position: two });
  });

  it('does not take the same changes after another history for the batch that it has', async () => {
    const { vault } = fixture;
    const diskId = newDiskId();
    const disk = new OracleDisk(sizeBytes);
    const one = await appended(vault, diskId, disk.batch(startPosition(1), [{ block: 0, fill: 1 }]));
    const two = await appended(vault, diskId, disk.batch(one, [{ block: 1, fill: 2 }]));
    const elsewhere = disk.batch({ ...one, digest: 'f'.repeat(64) }, [{ block: 1, fill: 2 }]);
    expect(await vault.append(diskId, elsewhere)).toEqual({ kind: 'position-mismatch', position: two });
  });

  it('stores nothing of a batch whose writes are not what its content digest names, small or sealed by threads', async () => {
    const { vault, store } = fixture;
    const disk = new OracleDisk(40 * blockBytes);
    for (const blockTotal of [1, 40]) {
      const diskId = newDiskId();
      const fills = Array.from({ length: blockTotal }, (_, block) => ({ block, fill: block + 1 }));
      const batch = disk.batch(startPosition(1), fills);
      const last = batch.writes.at(-1);
      const writes = [
        ...batch.writes.slice(0, -1),
        { offsetBytes: last?.offsetBytes ?? 0, data: filledBlock(99, blockBytes) },
      ];
      expect(await vault.append(diskId, { ...batch, writes })).toEqual({ kind: 'content-mismatch' });
      expect(await vault.position(diskId)).toMatchObject({ sequence: 0 });
      expect((await namesIn(store)).filter((name) => name.includes(diskId) && name.endsWith('.seg'))).toEqual([]);
      expect(await vault.append(diskId, batch)).toMatchObject({ kind: 'appended' });
    }
  });

  it('refuses a batch that follows another position, or of an older epoch', async () => {
    const { vault } = fixture;
    const diskId = newDiskId();
    const disk = new OracleDisk(sizeBytes);
    const one = await appended(vault, diskId, disk.batch(startPosition(1), [{ block: 0, fill: 1 }]));
    const elsewhere = [
      disk.batch(startPosition(1), [{ block: 0, fill: 9 }]),
      disk.batch({ ...one, digest: 'f'.repeat(64) }, [{ block: 0, fill: 9 }]),
      disk.batch({ ...one, sequence: 7 }, [{ block: 0, fill: 9 }]),
    ];
    for (const batch of elsewhere) {
      expect(await vault.append(diskId, batch)).toEqual({ kind: 'position-mismatch', position: one });
    }
    const two = await appended(vault, diskId, disk.batch(one, [{ block: 1, fill: 2 }], 2));
    expect(two).toMatchObject({ epoch: 2, sequence: 2 });
    const old = await vault.append(diskId, disk.batch(two, [{ block: 1, fill: 9 }], 1));
    expect(old).toEqual({ kind: 'position-mismatch', position: two });
  });

  it('goes on over a raised epoch, and a process server that slept through it is refused', async () => {
    const diskId = newDiskId();
    const disk = new OracleDisk(sizeBytes);
    const [sleeper, awake] = [await fixture.reopen(), await fixture.reopen()];
    const one = await appended(sleeper, diskId, disk.batch(startPosition(1), [{ block: 0, fill: 1 }]));
    const image = Buffer.from(disk.image);
    const two = await appended(awake, diskId, disk.batch(one, [{ block: 0, fill: 2 }], 2));
    const late = await sleeper.append(diskId, new OracleDisk(sizeBytes).batch(one, [{ block: 5, fill: 3 }], 1));
    expect(late).toEqual({ kind: 'position-mismatch', position: two });
    expectSameBytes(await readImage(awake, diskId, two), disk.image);
    expectSameBytes(await readImage(awake, diskId, one), image);
  });

  it('lets one of two process servers win when both append at once; the other is told the position', async () => {
    const [a, b] = [await fixture.reopen(), await fixture.reopen()];
    const diskId = newDiskId();
    const disk = new OracleDisk(sizeBytes);
    let position = startPosition(1);
    for (let round = 0; round < 10; round += 1) {
      const copies = [new OracleDisk(sizeBytes), new OracleDisk(sizeBytes)] as const;
      for (const copy of copies) disk.image.copy(copy.image);
      const outcomes = await Promise.all([
        a.append(diskId, copies[0].batch(position, [{ block: round, fill: 100 + round }])),
        b.append(diskId, copies[1].batch(position, [{ block: round, fill: 200 + round }])),
      ]);
      expect(outcomes.map(({ kind }) => kind).sort()).toEqual(['appended', 'position-mismatch']);
      const positions = outcomes.map((outcome) => ('position' in outcome ? outcome.position : undefined));
      expect(positions[0]).toEqual(positions[1]);
      position = positions[0] ?? position;
      copies[outcomes[0].kind === 'appended' ? 0 : 1].image.copy(disk.image);
    }
    expectSameBytes(await readImage(a, diskId, position), disk.image);
  });

  it('keeps appends of one disk in order when many are asked for at once', async () => {
    const { vault } = fixture;
    const diskId = newDiskId();
    const batch = new OracleDisk(sizeBytes).batch(startPosition(1), [{ block: 0, fill: 1 }]);
    const outcomes = await Promise.all(Array.from({ length: 5 }, () => vault.append(diskId, batch)));
    expect(outcomes.map(({ kind }) => kind).sort()).toEqual([...Array(4).fill('already-there'), 'appended']);
  });

  it('takes an empty batch: a barrier at which nothing had changed', async () => {
    const { vault } = fixture;
    const diskId = newDiskId();
    const disk = new OracleDisk(sizeBytes);
    const one = await appended(vault, diskId, disk.batch(startPosition(1), [{ block: 2, fill: 4 }]));
    const two = await appended(vault, diskId, disk.batch(one, []));
    expectSameBytes(await readImage(vault, diskId, two), disk.image);
    expect(await vault.verifySegments(diskId, startPosition(1), two)).toEqual([]);
  });

  it('seals large batches on worker threads to the same bytes', async () => {
    const vault = await fixture.reopen({ sealerThreads: 2 });
    const diskId = newDiskId();
    const blocks = 300;
    const disk = new OracleDisk(blocks * blockBytes + 77);
    const fills = Array.from({ length: blocks + 1 }, (_, block) => ({ block, fill: block % 7 === 0 ? 0 : block }));
    const position = await appended(vault, diskId, disk.batch(startPosition(1), fills));
    expectSameBytes(await readImage(vault, diskId, position), disk.image);
    expect(await vault.verifySegments(diskId, startPosition(1), position)).toEqual([]);
  });
});

describe('digests', () => {
  it('are the SHA-256 of each block at the newest position, zeros for zeros, the short last block as it is', async () => {
    const { vault } = fixture;
    const diskId = newDiskId();
    const disk = new OracleDisk(sizeBytes);
    let position = await appended(
      vault,
      diskId,
      disk.batch(
        startPosition(1),
        [0, 1, 5, 12].map((block) => ({ block, fill: block + 1 })),
      ),
    );
    expect(await vault.digests(diskId, 0, 65_536)).toEqual(digestsOf(disk.image));
    position = await appended(
      vault,
      diskId,
      disk.batch(position, [
        { block: 1, fill: 0 },
        { block: 12, fill: 99 },
      ]),
    );
    for (const each of [vault, await fixture.reopen()]) {
      expect(await each.digests(diskId, 0, 65_536)).toEqual(digestsOf(disk.image));
      expect(await each.digests(diskId, 4, 3)).toEqual(digestsOf(disk.image).subarray(4 * 32, 7 * 32));
    }
    expect(position.sequence).toBe(2);
  });

  it('agree with what a reader gives after the disk grew and shrank at odd sizes', async () => {
    const { vault } = fixture;
    const diskId = newDiskId();
    const disk = new OracleDisk(sizeBytes);
    let position = await appended(
      vault,
      diskId,
      disk.batch(startPosition(1), [
        { block: 12, fill: 3 },
        { block: 3, fill: 1 },
      ]),
    );
    for (const size of [14 * blockBytes + 9, 3 * blockBytes + 100, 20 * blockBytes]) {
      disk.resize(size);
      position = await appended(vault, diskId, disk.batch(position, [{ block: 0, fill: 5 }]));
      const image = await readImage(vault, diskId, position);
      expect(image).toHaveLength(size);
      expect(await vault.digests(diskId, 0, 65_536)).toEqual(digestsOf(image));
      expect(await (await fixture.reopen()).digests(diskId, 0, 65_536)).toEqual(digestsOf(image));
    }
  });

  it('are refused for a disk of which nothing is stored', async () => {
    await expect(fixture.vault.digests(newDiskId(), 0, 1)).rejects.toThrow(OutageError);
  });
});

function digestsOf(image: Buffer): Buffer {
  const digests: Buffer[] = [];
  for (let at = 0; at < image.length; at += blockBytes) {
    const block = image.subarray(at, at + blockBytes);
    digests.push(block.every((byte) => byte === 0) ? Buffer.alloc(32) : hash('sha256', block, 'buffer'));
  }
  return Buffer.concat(digests);
}

describe('reading', () => {
  it('gives any range, tells what is allocated, and shares a frame between concurrent reads', async () => {
    const { vault } = fixture;
    const diskId = newDiskId();
    const disk = new OracleDisk(sizeBytes);
    const fills = [1, 2, 3, 7, 12].map((block) => ({ block, fill: block }));
    const position = await appended(vault, diskId, disk.batch(startPosition(1), fills));
    const reader = await vault.openDisk(diskId, position);
    const ranges = Array.from({ length: 200 }, () => {
      const from = randomBytes(4).readUInt32LE() % sizeBytes;
      return { from, length: (randomBytes(4).readUInt32LE() % (sizeBytes - from)) + 1 };
    });
    const results = await Promise.all(ranges.map(({ from, length }) => reader.read(from, length)));
    for (const [index, { from, length }] of ranges.entries()) {
      expect(results[index]?.equals(disk.image.subarray(from, from + length))).toBe(true);
    }
    expect(reader.allocated()).toEqual([
      { offsetBytes: blockBytes, lengthBytes: 3 * blockBytes },
      { offsetBytes: 7 * blockBytes, lengthBytes: blockBytes },
      { offsetBytes: 12 * blockBytes, lengthBytes: 5_000 },
    ]);
    await expect(reader.read(sizeBytes - 1, 2)).rejects.toThrow(OutageError);
    await reader.close();
  });

  it('stays at its position while the disk goes on', async () => {
    const { vault } = fixture;
    const diskId = newDiskId();
    const disk = new OracleDisk(sizeBytes);
    const one = await appended(vault, diskId, disk.batch(startPosition(1), [{ block: 0, fill: 1 }]));
    await vault.digests(diskId, 0, 1);
    const image = Buffer.from(disk.image);
    const reader = await vault.openDisk(diskId, one);
    await appended(
      vault,
      diskId,
      disk.batch(one, [
        { block: 0, fill: 2 },
        { block: 1, fill: 3 },
      ]),
    );
    expectSameBytes(await reader.read(0, sizeBytes), image);
  });

  it('refuses a position that the log does not have', async () => {
    const { vault } = fixture;
    const diskId = newDiskId();
    const one = await appended(
      vault,
      diskId,
      new OracleDisk(sizeBytes).batch(startPosition(1), [{ block: 0, fill: 1 }]),
    );
    await expect(vault.openDisk(diskId, { ...one, digest: 'a'.repeat(64) })).rejects.toThrow(OutageError);
    await expect(vault.openDisk(diskId, { ...one, sequence: 2 })).rejects.toThrow(OutageError);
    await expect(vault.openDisk(diskId, startPosition(1))).rejects.toThrow('nothing of it is stored');
  });
});

it('never holds plain text: neither data nor digests can be found in the vault', async () => {
  const { vault, store } = fixture;
  const diskId = newDiskId();
  const secret = randomBytes(blockBytes);
  const position = startPosition(1);
  const writes = [{ offsetBytes: 0, data: secret }];
  const contentDigest = contentDigestOfWrites(writes).toString('hex');
  await vault.append(diskId, { epoch: 1, previous: position, diskSizeBytes: sizeBytes, contentDigest, writes });
  for (const name of await namesIn(store)) {
    const blob = await store.get(name);
    expect(blob?.includes(secret.subarray(100, 116))).toBe(false);
    expect(blob?.includes(hash('sha256', secret, 'buffer'))).toBe(false);
    expect(blob?.includes(fixture.keys.keyEncryptionKey)).toBe(false);
  }
});

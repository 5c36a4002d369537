import fc from 'fast-check';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { blockBytes } from '../../../domain/extent.ts';
import { OutageError } from '../../../domain/outage.ts';
import { type Position, startPosition } from '../../../domain/position.ts';
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

type Moment = { readonly position: Position; readonly image: Buffer };

const step = fc.oneof(
  { weight: 8, arbitrary: fc.record({ kind: fc.constant('append' as const), fills: fills(0, 6) }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('raise-epoch' as const) }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('reopen' as const) }) },
  { weight: 2, arbitrary: fc.record({ kind: fc.constant('compact' as const), share: fc.nat(99) }) },
);

function fills(minLength: number, maxLength: number) {
  return fc.array(
    fc.record({ block: fc.nat(20), fill: fc.oneof(fc.constant(0), fc.integer({ min: 1, max: 9_999 })) }),
    {
      minLength,
      maxLength,
    },
  );
}

it('opens the disk exactly as it was at every position, over zeroing, epochs, restarts and compactions', async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.array(step, { minLength: 5, maxLength: 40 }),
      fc.integer({ min: 1, max: blockBytes }),
      async (steps, lastBytes) => {
        const diskId = newDiskId();
        const disk = new OracleDisk(20 * blockBytes + lastBytes);
        let { vault } = fixture;
        let epoch = 1;
        let moments: Moment[] = [];
        for (const each of steps) {
          const newest = moments.at(-1)?.position ?? startPosition(epoch);
          if (each.kind === 'append') {
            const position = await appended(vault, diskId, disk.batch(newest, each.fills, epoch));
            moments.push({ position, image: Buffer.from(disk.image) });
          } else if (each.kind === 'raise-epoch') epoch += 1;
          else if (each.kind === 'reopen') vault = await fixture.reopen();
          else if (moments.length > 0) {
            const oldest = Math.floor((moments.length * each.share) / 100);
            const needed = moments[oldest]?.position ?? newest;
            await vault.compact(diskId, needed);
            moments = moments.slice(oldest);
          }
        }
        for (const { position, image } of moments) expectSameBytes(await readImage(vault, diskId, position), image);
        const report = await vault.verifyAll({ newestPoints: [] });
        expect(report.findings).toEqual([]);
      },
    ),
    { numRuns: 12, interruptAfterTimeLimit: 60_000 },
  );
}, 120_000);

it('opens every position over stored maps, from memory and from the blobs alone', async () => {
  const diskId = newDiskId();
  const disk = new OracleDisk(30 * blockBytes);
  const moments: Moment[] = [];
  let position = startPosition(1);
  for (let count = 0; count < 150; count += 1) {
    position = await appended(
      fixture.vault,
      diskId,
      disk.batch(position, [{ block: (count * 7) % 30, fill: count % 11 }]),
    );
    if (count % 16 === 0 || count > 145) moments.push({ position, image: Buffer.from(disk.image) });
  }
  const maps = (await namesIn(fixture.store)).filter((name) => name.endsWith('.map'));
  expect(maps.length).toBe(2);
  for (const vault of [fixture.vault, await fixture.reopen()]) {
    for (const moment of moments) expectSameBytes(await readImage(vault, diskId, moment.position), moment.image);
  }
  // Without the maps the footers say the same.
  for (const name of maps) await fixture.store.delete(name);
  const rebuilt = await fixture.reopen();
  for (const moment of moments) expectSameBytes(await readImage(rebuilt, diskId, moment.position), moment.image);
  expect((await rebuilt.verifyAll({ newestPoints: [] })).findings).toEqual([]);
}, 60_000);

/** Many small segments that overwrite each other. @returns every position with its image */
async function longLog(diskId: ReturnType<typeof newDiskId>, count: number): Promise<Moment[]> {
  const disk = new OracleDisk(8 * blockBytes);
  const moments: Moment[] = [];
  for (let index = 0; index < count; index += 1) {
    const previous = moments.at(-1)?.position ?? startPosition(1);
    const batch = disk.batch(previous, [
      { block: index % 8, fill: index + 1 },
      { block: 7, fill: index % 3 },
    ]);
    moments.push({ position: await appended(fixture.vault, diskId, batch), image: Buffer.from(disk.image) });
  }
  return moments;
}

const momentAt = (moments: readonly Moment[], index: number): Moment => {
  const moment = moments.at(index);
  if (moment === undefined) throw new Error(`no moment ${index}`);
  return moment;
};

it('gives back the space of what no point needs, and never touches what comes after', async () => {
  const diskId = newDiskId();
  const moments = await longLog(diskId, 40);
  const needed = momentAt(moments, 29);
  const before = await storedBytes();
  const first = await fixture.vault.compact(diskId, needed.position);
  expect(first.deletedBytes).toBeGreaterThan(first.writtenBytes);
  expect(await storedBytes()).toBeLessThan(before / 2);
  expect(await fixture.vault.compact(diskId, needed.position)).toEqual({ deletedBytes: 0, writtenBytes: 0 });
  for (const vault of [fixture.vault, await fixture.reopen()]) {
    for (const moment of moments.slice(29))
      expectSameBytes(await readImage(vault, diskId, moment.position), moment.image);
    await expect(readImage(vault, diskId, momentAt(moments, 12).position)).rejects.toThrow(OutageError);
  }
  const next = await longLogGoesOn(diskId, momentAt(moments, -1));
  expectSameBytes(await readImage(fixture.vault, diskId, next.position), next.image);
});

async function storedBytes(): Promise<number> {
  let total = 0;
  for await (const { sizeBytes } of fixture.store.list('')) total += sizeBytes;
  return total;
}

async function longLogGoesOn(diskId: ReturnType<typeof newDiskId>, last: Moment): Promise<Moment> {
  const disk = new OracleDisk(last.image.length);
  last.image.copy(disk.image);
  const position = await appended(fixture.vault, diskId, disk.batch(last.position, [{ block: 2, fill: 777 }]));
  return { position, image: disk.image };
}

it('keeps an open reader working while its segments are replaced and deleted', async () => {
  const diskId = newDiskId();
  const moments = await longLog(diskId, 30);
  const newest = momentAt(moments, -1);
  const vault = await fixture.reopen({ frameCacheBytesMax: 1 });
  const reader = await vault.openDisk(diskId, newest.position);
  expectSameBytes(await reader.read(0, blockBytes), filledBlock(25, blockBytes));
  const { deletedBytes } = await fixture.vault.compact(diskId, newest.position);
  expect(deletedBytes).toBeGreaterThan(0);
  const reads = Array.from({ length: 8 }, (_, block) => reader.read(block * blockBytes, blockBytes));
  expectSameBytes(Buffer.concat(await Promise.all(reads)), newest.image);
});

it('waits for the time of grace before it deletes, whatever happens to the program in between', async () => {
  const diskId = newDiskId();
  const moments = await longLog(diskId, 30);
  const newest = momentAt(moments, -1);
  let nowMs = 1_000_000;
  const options = { trashGraceMs: 600_000, nowMs: () => nowMs };
  const first = await (await fixture.reopen(options)).compact(diskId, newest.position);
  expect(first.writtenBytes).toBeGreaterThan(0);
  expect(first.deletedBytes).toBe(0);
  nowMs += 599_999;
  expect(await (await fixture.reopen(options)).compact(diskId, newest.position)).toEqual({
    deletedBytes: 0,
    writtenBytes: 0,
  });
  expect((await fixture.vault.verifyAll({ newestPoints: [] })).findings).toEqual([]);
  nowMs += 1;
  expect((await (await fixture.reopen(options)).compact(diskId, newest.position)).deletedBytes).toBeGreaterThan(0);
  expectSameBytes(await readImage(await fixture.reopen(), diskId, newest.position), newest.image);
  expect((await namesIn(fixture.store)).filter((name) => name.includes('/trash/'))).toEqual([]);
});

it('recognises a repeated batch after its segment was coalesced', async () => {
  const diskId = newDiskId();
  const disk = new OracleDisk(4 * blockBytes);
  let position = startPosition(1);
  let batch = disk.batch(position, [{ block: 0, fill: 1 }]);
  for (let count = 0; count < 12; count += 1) {
    batch = disk.batch(position, [{ block: 0, fill: count + 2 }]);
    position = await appended(fixture.vault, diskId, batch);
  }
  expect((await fixture.vault.compact(diskId, position)).deletedBytes).toBeGreaterThan(0);
  for (const vault of [fixture.vault, await fixture.reopen()]) {
    expect(await vault.position(diskId)).toEqual(position);
    expect(await vault.append(diskId, batch)).toEqual({ kind: 'already-there', position });
  }
});

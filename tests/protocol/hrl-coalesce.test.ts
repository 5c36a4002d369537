import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { coalesceRecords } from '../../protocol/hrl-coalesce.ts';

const block = 65_536;
const diskBytes = 10 * block + 512;
const record = (offsetBytes: number, data: Buffer) => ({ offsetBytes, data, writtenAtMs: 0 });

/** What the disk looks like when every record is written in order: the oracle. */
function replay(records: readonly { offsetBytes: number; data: Buffer }[]): Buffer {
  const disk = Buffer.alloc(diskBytes);
  for (const { offsetBytes, data } of records) data.copy(disk, offsetBytes);
  return disk;
}

const blockRecord = fc
  .tuple(fc.integer({ min: 0, max: 10 }), fc.integer({ min: 1, max: 4 }), fc.integer({ min: 1, max: 255 }))
  .map(([first, count, fill]) => {
    const end = Math.min((first + count) * block, diskBytes);
    return record(first * block, Buffer.alloc(end - first * block, fill));
  });

describe('the coalesced writes', () => {
  test('make the same disk as replaying every record in order', () => {
    fc.assert(
      fc.property(fc.array(blockRecord, { maxLength: 12 }), (records) => {
        const writes = coalesceRecords(records, diskBytes);
        expect(replay(writes).equals(replay(records))).toBe(true);
        let end = 0;
        for (const write of writes) {
          expect(write.offsetBytes).toBeGreaterThanOrEqual(end);
          expect(write.offsetBytes % block).toBe(0);
          end = write.offsetBytes + write.data.length;
        }
      }),
      { numRuns: 200 },
    );
  });

  test('are views of the image, not copies, when nothing overlaps', () => {
    const data = Buffer.alloc(2 * block);
    const writes = coalesceRecords(
      [record(0, data.subarray(0, block)), record(block, data.subarray(block))],
      diskBytes,
    );
    expect(writes.every((write) => write.data.buffer === data.buffer)).toBe(true);
  });

  test('put a block together that came in pieces', () => {
    const half = Buffer.alloc(block / 2, 1);
    const writes = coalesceRecords([record(block, half), record(block * 1.5, half)], diskBytes);
    expect(writes).toEqual([{ offsetBytes: block, data: Buffer.alloc(block, 1) }]);
  });
});

describe('refused is', () => {
  test('a range past the end of the disk', () => {
    expect(() => coalesceRecords([record(10 * block, Buffer.alloc(block))], diskBytes)).toThrow("after the disk's");
  });
  test('a range that does not start or end at a block', () => {
    expect(() => coalesceRecords([record(512, Buffer.alloc(512))], diskBytes)).toThrow('does not start at');
    expect(() => coalesceRecords([record(0, Buffer.alloc(512))], diskBytes)).toThrow('does not end at');
  });
  test('a log that writes one byte too often, before it costs quadratic time', () => {
    const records = Array.from({ length: 1000 }, () => record(0, Buffer.alloc(block)));
    expect(() => coalesceRecords(records, diskBytes)).toThrow('is written too often');
  });
});

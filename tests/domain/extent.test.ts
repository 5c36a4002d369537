import fc from 'fast-check';
import { expect, test } from 'vitest';
import { alignExtents, blockBytes, blockCount, type Extent, mergeExtents, totalBytes } from '../../domain/extent.ts';

const diskBytes = 64;
const extents = fc.array(
  fc.record({ offsetBytes: fc.integer({ min: 0, max: diskBytes - 1 }), lengthBytes: fc.integer({ min: 0, max: 16 }) }),
  { maxLength: 12 },
);

/** The oracle: one flag for each byte. */
function bitmap(list: readonly Extent[], size: number): string {
  const flags = new Uint8Array(size);
  for (const { offsetBytes, lengthBytes } of list) flags.fill(1, offsetBytes, offsetBytes + lengthBytes);
  return flags.join('');
}

function isSmallest(list: readonly Extent[]): boolean {
  return list.every((extent, index) => {
    const next = list[index + 1];
    return extent.lengthBytes > 0 && (next === undefined || extent.offsetBytes + extent.lengthBytes < next.offsetBytes);
  });
}

const covers = (merge: typeof mergeExtents) => (list: Extent[]) => {
  const merged = merge(list);
  return bitmap(merged, 100) === bitmap(list, 100) && isSmallest(merged);
};

test('merged extents cover exactly the same bytes, sorted, apart, none empty', () => {
  fc.assert(fc.property(extents, covers(mergeExtents)), { numRuns: 3000 });
});

test.each<[string, typeof mergeExtents]>([
  ['the last end wins although a longer one came before', (list) => joinNaively(list)],
  ['neighbours are not joined', (list) => mergeExtents(list).flatMap(splitInTwo)],
])('the property sees a planted bug: %s', (_name, merge) => {
  expect(fc.check(fc.property(extents, covers(merge)), { numRuns: 3000 }).failed).toBe(true);
});

function joinNaively(list: readonly Extent[]): Extent[] {
  const sorted = list.filter((extent) => extent.lengthBytes > 0).sort((a, b) => a.offsetBytes - b.offsetBytes);
  const merged: Extent[] = [];
  for (const extent of sorted) {
    const last = merged.at(-1);
    if (last === undefined || last.offsetBytes + last.lengthBytes < extent.offsetBytes) merged.push(extent);
    else {
      const lengthBytes = extent.offsetBytes + extent.lengthBytes - last.offsetBytes;
      merged[merged.length - 1] = { offsetBytes: last.offsetBytes, lengthBytes };
    }
  }
  return merged;
}

function splitInTwo({ offsetBytes, lengthBytes }: Extent): Extent[] {
  if (lengthBytes < 2) return [{ offsetBytes, lengthBytes }];
  return [
    { offsetBytes, lengthBytes: 1 },
    { offsetBytes: offsetBytes + 1, lengthBytes: lengthBytes - 1 },
  ];
}

test('aligned extents are whole blocks of the disk, cover what was asked for and nothing of other blocks', () => {
  const size = 5 * blockBytes + 1000;
  const wild = fc.array(
    fc.record({
      offsetBytes: fc.integer({ min: 0, max: size + blockBytes }),
      lengthBytes: fc.integer({ min: 0, max: 3 * blockBytes }),
    }),
    { maxLength: 4 },
  );
  const blocksOf = (list: readonly Extent[]) => {
    const touched = new Set<number>();
    for (const { offsetBytes, lengthBytes } of list) {
      for (let block = 0; block < blockCount(size); block += 1) {
        const end = Math.min(size, (block + 1) * blockBytes);
        if (lengthBytes > 0 && offsetBytes < end && offsetBytes + lengthBytes > block * blockBytes) touched.add(block);
      }
    }
    return [...touched].sort();
  };
  fc.assert(
    fc.property(wild, (list) => {
      const aligned = alignExtents(list, size);
      const whole = aligned.every((extent) => {
        const end = extent.offsetBytes + extent.lengthBytes;
        return extent.offsetBytes % blockBytes === 0 && (end % blockBytes === 0 || end === size);
      });
      expect(blocksOf(aligned)).toEqual(blocksOf(list));
      return whole && isSmallest(aligned) && totalBytes(aligned) <= size;
    }),
  );
});

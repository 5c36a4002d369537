import { expect, test } from 'vitest';
import { changedExtents, type MappedExtent, parseExtentLine } from '../../../agent/tracker/extent-map.ts';
import { blockBytes } from '../../../domain/extent.ts';

const run = (block: number, count: number, place: number, isPlain = true): MappedExtent => ({
  offsetBytes: block * blockBytes,
  lengthBytes: count * blockBytes,
  physicalBytes: place * blockBytes,
  isPlain,
});
const changedBlocks = (before: MappedExtent[], after: MappedExtent[]) =>
  changedExtents(before, after, 100 * blockBytes).map(({ offsetBytes, lengthBytes }) => [
    offsetBytes / blockBytes,
    lengthBytes / blockBytes,
  ]);

test('a line of filefrag says where a run lies and whether that can be trusted', () => {
  const line = '   1:      256..     511:      98304..     98559:    256:             last,shared,eof';
  expect(parseExtentLine(line)).toEqual({
    offsetBytes: 256 * 4096,
    physicalBytes: 98_304 * 4096,
    lengthBytes: 256 * 4096,
    isPlain: true,
  });
  for (const flag of ['unwritten', 'delalloc', 'inline', 'encoded', 'not_aligned', 'unknown_loc']) {
    expect(parseExtentLine(line.replace('shared', flag))?.isPlain).toBe(false);
  }
  expect(
    parseExtentLine(' ext:     logical_offset:        physical_offset: length:   expected: flags:'),
  ).toBeUndefined();
});

test('the same places are the same data, however the runs are cut', () => {
  expect(changedBlocks([run(0, 10, 50)], [run(0, 4, 50), run(4, 6, 54)])).toEqual([]);
});

test('moved, new, and punched runs are changes', () => {
  expect(changedBlocks([run(0, 10, 50)], [run(0, 3, 50), run(3, 1, 90), run(4, 6, 54)])).toEqual([[3, 1]]);
  expect(changedBlocks([run(0, 2, 50)], [run(0, 2, 50), run(8, 2, 70)])).toEqual([[8, 2]]);
  expect(changedBlocks([run(0, 10, 50)], [run(0, 2, 50), run(6, 4, 56)])).toEqual([[2, 4]]);
});

test('a run whose place says nothing about its content is a change', () => {
  expect(changedBlocks([run(0, 2, 50, false)], [run(0, 2, 50, false)])).toEqual([[0, 2]]);
});

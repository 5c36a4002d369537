import type { Extent } from '../domain/extent.ts';
import { blockBytes } from '../domain/extent.ts';
import { OutageError } from '../domain/outage.ts';
import type { HrlRecord } from './hrl.ts';

export type CoalescedWrite = { readonly offsetBytes: number; readonly data: Buffer };

/**
 * What a log's records leave on a disk: each byte once, with its last value.
 *
 * Copies only where entries overlap or a block is put together from several; else the data are views of the image.
 *
 * @param records in the order in which they were written; they may overlap
 * @returns sorted by offset, non-overlapping, whole 64 KiB blocks (the disk's last one may be short)
 * @throws OutageError when a range is not whole blocks or is outside the disk
 * Source: B9
 */
export function coalesceRecords(records: readonly HrlRecord[], diskSizeBytes: number): CoalescedWrite[] {
  const slices = isSortedAndDisjoint(records) ? records : lastWriteWins(records);
  const writes: CoalescedWrite[] = [];
  for (const run of contiguousRuns(slices)) {
    const first = run[0];
    if (first === undefined) continue;
    const lengthBytes = run.reduce((sum, slice) => sum + slice.data.length, 0);
    expectWholeBlocks({ offsetBytes: first.offsetBytes, lengthBytes }, diskSizeBytes);
    if (run.some((slice) => slice.offsetBytes % blockBytes !== 0)) {
      writes.push({ offsetBytes: first.offsetBytes, data: Buffer.concat(run.map((slice) => slice.data)) });
      continue;
    }
    for (const { offsetBytes, data } of run) writes.push({ offsetBytes, data });
  }
  return writes;
}

const endOf = (slice: CoalescedWrite): number => slice.offsetBytes + slice.data.length;

function isSortedAndDisjoint(records: readonly CoalescedWrite[]): boolean {
  return records.every((record, index) => {
    const before = records[index - 1];
    return before === undefined || endOf(before) <= record.offsetBytes;
  });
}

/** More ranges than this over one byte is no real log, and would cost a reader quadratic time. */
const overlapDepthMax = 256;

/** Sweeps over all starts and ends in ascending order; between two of them the newest record that is open there wins. */
function lastWriteWins(records: readonly CoalescedWrite[]): CoalescedWrite[] {
  const cuts = [...new Set(records.flatMap((record) => [record.offsetBytes, endOf(record)]))].sort((a, b) => a - b);
  const starts = records
    .map((record, age) => ({ record, age }))
    .sort((a, b) => a.record.offsetBytes - b.record.offsetBytes);
  const slices: CoalescedWrite[] = [];
  let open: { record: CoalescedWrite; age: number }[] = [];
  let nextStart = 0;
  cuts.forEach((from, index) => {
    const to = cuts[index + 1];
    if (to === undefined) return;
    open = open.filter(({ record }) => endOf(record) > from);
    for (let start = starts[nextStart]; start?.record.offsetBytes === from; start = starts[nextStart]) {
      open.push(start);
      nextStart += 1;
    }
    if (open.length > overlapDepthMax)
      throw malformed({ offsetBytes: from, lengthBytes: to - from }, 'is written too often');
    const newest = open.reduce<(typeof open)[number] | undefined>((a, b) => (a && a.age > b.age ? a : b), undefined);
    if (newest === undefined) return;
    const { offsetBytes, data } = newest.record;
    slices.push({ offsetBytes: from, data: data.subarray(from - offsetBytes, to - offsetBytes) });
  });
  return slices;
}

function contiguousRuns(slices: readonly CoalescedWrite[]): CoalescedWrite[][] {
  const runs: CoalescedWrite[][] = [];
  for (const slice of slices) {
    const run = runs.at(-1);
    const last = run?.at(-1);
    if (run !== undefined && last !== undefined && endOf(last) === slice.offsetBytes) run.push(slice);
    else runs.push([slice]);
  }
  return runs;
}

function expectWholeBlocks(run: Extent, diskSizeBytes: number): void {
  const end = run.offsetBytes + run.lengthBytes;
  if (end > diskSizeBytes) {
    throw malformed(run, `ends after the disk's ${diskSizeBytes} bytes`);
  }
  if (run.offsetBytes % blockBytes !== 0) throw malformed(run, 'does not start at a 64 KiB block');
  if (end % blockBytes !== 0 && end !== diskSizeBytes) throw malformed(run, 'does not end at a 64 KiB block');
}

function malformed(run: Extent, problem: string): OutageError {
  const range = `${run.lengthBytes} bytes at disk offset ${run.offsetBytes}`;
  return new OutageError(`.hrl log: the range of ${range} ${problem}`, { retryable: false });
}

import { invariant } from '../../domain/invariant.ts';
import { allocationFlag, type StatusRun } from '../../protocol/nbd.ts';
import type { DiskReader } from '../vault/vault.ts';

/** One read-only disk as NBD clients see it: a name, and a reader with its runs of stored bytes. */
export type NbdExport = {
  readonly name: string;
  readonly sizeBytes: number;
  readonly read: DiskReader['read'];
  readonly allocated: ReturnType<DiskReader['allocated']>;
};

export function exportOf(name: string, reader: DiskReader): NbdExport {
  return { name, sizeBytes: reader.sizeBytes, read: reader.read.bind(reader), allocated: reader.allocated() };
}

/** True when no byte of the range was ever stored: it reads as zeros, and the reader need not be asked. */
export function isHole(disk: NbdExport, offsetBytes: number, lengthBytes: number): boolean {
  const run = disk.allocated[firstRunEndingAfter(disk, offsetBytes)];
  return run === undefined || run.offsetBytes >= offsetBytes + lengthBytes;
}

/**
 * The range as runs of stored bytes and holes, in order; they begin at the offset and may stop before the range's end
 * when there are more than `runCountMax`, as the protocol allows.
 */
export function statusRuns(disk: NbdExport, range: { offsetBytes: number; lengthBytes: number }, runCountMax: number) {
  invariant(range.lengthBytes > 0 && runCountMax > 0, 'a status covers at least one byte');
  const end = range.offsetBytes + range.lengthBytes;
  const runs: StatusRun[] = [];
  let at = range.offsetBytes;
  let index = firstRunEndingAfter(disk, at);
  while (at < end && runs.length < runCountMax) {
    const run = disk.allocated[index];
    const isStored = run !== undefined && run.offsetBytes <= at;
    const runEnd = run === undefined ? end : isStored ? run.offsetBytes + run.lengthBytes : run.offsetBytes;
    const next = Math.min(end, runEnd);
    runs.push({ lengthBytes: next - at, flags: isStored ? 0 : allocationFlag.hole | allocationFlag.zero });
    if (isStored) index += 1;
    at = next;
  }
  return runs;
}

/** Index of the first stored run that ends after the offset; the number of runs when there is none. Binary search. */
function firstRunEndingAfter(disk: NbdExport, offsetBytes: number): number {
  let low = 0;
  let high = disk.allocated.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    const run = disk.allocated[middle]!; // low <= middle < high <= length
    if (run.offsetBytes + run.lengthBytes > offsetBytes) high = middle;
    else low = middle + 1;
  }
  return low;
}

import { mebibyte } from '../domain/units.ts';
import { type Cost, median } from './measure.ts';
import { readCells } from './read-path.ts';
import type { BenchResults, ContenderResults, ShippedBytes } from './results.ts';

/** One row of the targets in REPLICATION 1(v), judged. */
export type TargetRow = {
  readonly number: number;
  readonly what: string;
  readonly target: string;
  readonly measured: string;
  readonly verdict: 'met' | 'not met' | 'not measured';
  /** These rows decide the exit code of `--check`. */
  readonly isMust: boolean;
};

/** A number and the limit that it has to keep; undefined when one side was not measured. */
type Comparison = {
  readonly words: string;
  readonly value: number | undefined;
  readonly isMet: (value: number) => boolean;
};

export const lifeboatName = 'lifeboat';

/** All twelve rows, in order. */
export function judge(results: BenchResults): TargetRow[] {
  return [
    ...copyRows(results),
    ...sizeRows(results),
    restoreRow(results),
    memoryRow(results),
    readRow(results),
    bootRow(results),
    elsewhere(10, 'pause', '≤ 100 ms p99 for a 4-VM group', 'tests/agent: a plain image file has nothing to pause'),
    exactnessRow(results),
    elsewhere(12, 'faults', 'no lost change, no guest I/O error', 'tests/faults'),
  ].sort((a, b) => a.number - b.number);
}

export function isMissed(row: TargetRow): boolean {
  return row.isMust && row.verdict !== 'met';
}

function copyRows(results: BenchResults): TargetRow[] {
  const ours = contender(results, lifeboatName);
  const restic = contender(results, 'restic');
  const { untracked } = results.lifeboat;
  return [
    row(1, 'initial copy', [
      atMost('CPU {} restic', ratio(cpu(ours?.initial), cpu(restic?.initial)), 0.6),
      atMost('wall {} restic', ratio(wall(ours?.initial), wall(restic?.initial)), 0.7),
    ]),
    row(2, 'untracked increment (full scan)', [
      atMost('wall {} restic', ratio(wall(untracked), wall(restic?.increment)), 0.4),
      atMost('CPU {} restic', ratio(cpu(untracked), cpu(restic?.increment)), 0.35),
    ]),
    row(3, 'tracked increment', [
      atMost('wall {} restic', ratio(wall(ours?.increment), wall(restic?.increment)), 0.15),
    ]),
  ];
}

function sizeRows(results: BenchResults): TargetRow[] {
  const ours = contender(results, lifeboatName);
  const restic = contender(results, 'restic');
  const borg = contender(results, 'borg');
  const stored = middle(ours?.incrementBytes);
  const repository = middle(ours?.repositoryBytes);
  return [
    row(4, 'bytes stored per random 64 KiB change', [
      atMost('{} restic', ratio(stored, middle(restic?.incrementBytes)), 0.3),
      atMost('{} the changed bytes', ratio(stored, results.changedBytes), 1.05),
    ]),
    row(5, 'repository after the initial copy', [
      atMost('{} restic', ratio(repository, middle(restic?.repositoryBytes)), 1.15),
      atMost('{} borg-lz4', ratio(repository, middle(borg?.repositoryBytes)), 0.85),
    ]),
  ];
}

function restoreRow(results: BenchResults): TargetRow {
  const ours = wall(contender(results, lifeboatName)?.restore);
  const comparisons = [
    atMost('wall {} restic', ratio(ours, wall(contender(results, 'restic')?.restore)), 1),
    atMost('wall {} borg', ratio(ours, wall(contender(results, 'borg')?.restore)), 0.8),
  ];
  return row(6, 'full restore', comparisons, false);
}

function memoryRow({ lifeboat }: BenchResults): TargetRow {
  const most = lifeboat.agentPeakMemoryBytes.length === 0 ? undefined : Math.max(...lifeboat.agentPeakMemoryBytes);
  const value = most === undefined ? undefined : most / mebibyte;
  const isMet = (mebibytes: number) => mebibytes <= 256;
  return {
    ...row(7, 'agent memory (RSS)', [{ words: '{} MiB at most', value, isMet }]),
    target: '≤ 256 MiB, whatever the disk’s size',
    measured: value === undefined ? '–' : `${value.toFixed(0)} MiB`,
  };
}

function readRow({ reads }: BenchResults): TargetRow {
  const speed = (server: string, cell: string) =>
    middle(reads.filter((read) => read.server === server && read.cell === cell).map((read) => read.readsPerSecond));
  const comparisons = readCells.flatMap(({ name }) => {
    const ours = speed('lifeboat, local file', name);
    return [
      atLeast(`${name} {} nbdkit`, ratio(ours, speed('nbdkit', name)), 0.7),
      atLeast(`${name} {} qemu-nbd`, ratio(ours, speed('qemu-nbd', name)), 1),
    ];
  });
  return {
    ...row(8, 'NBD read path (local file)', comparisons, false),
    target: '≥ 0.7x nbdkit and ≥ 1.0x qemu-nbd in each cell',
  };
}

function bootRow({ boots }: BenchResults): TargetRow {
  const value = boots.kind === 'measured' ? ratio(middle(boots.vaultSeconds), middle(boots.localSeconds)) : undefined;
  const judged = row(9, 'instant boot from the vault', [atMost('{} local-file boot to marker', value, 1.6)]);
  return boots.kind === 'measured' ? judged : { ...judged, measured: boots.why };
}

function exactnessRow({ lifeboat, changedBytes }: BenchResults): TargetRow {
  const isMeasured = lifeboat.comparedImages > 0;
  const wrongSends = lifeboat.shipped.filter((one) => !isExact(one, changedBytes)).length;
  const isMet = lifeboat.differentImages === 0 && wrongSends === 0;
  return {
    number: 11,
    what: 'exactness',
    target: 'restored == source; bytes shipped == bytes changed',
    measured: isMeasured
      ? `${lifeboat.comparedImages - lifeboat.differentImages} of ${lifeboat.comparedImages} restored images identical; ` +
        `${lifeboat.shipped.length - wrongSends} of ${lifeboat.shipped.length} increments shipped exactly what changed`
      : '–',
    verdict: isMeasured ? (isMet ? 'met' : 'not met') : 'not measured',
    isMust: true,
  };
}

/** Exactly the changed blocks, and less than 1 % around them for the logs' headers. */
function isExact(shipped: ShippedBytes, changedBytes: number): boolean {
  return shipped.changedBytes === changedBytes && shipped.sentBytes <= changedBytes * 1.01;
}

function elsewhere(number: number, what: string, target: string, where: string): TargetRow {
  return { number, what, target, measured: `not here: ${where}`, verdict: 'not measured', isMust: false };
}

function row(
  number: number,
  what: string,
  comparisons: readonly (Comparison & { limit?: string })[],
  isMust = true,
): TargetRow {
  const isMeasured = comparisons.every(({ value }) => value !== undefined && Number.isFinite(value));
  const isMet = comparisons.every(({ value, isMet: keeps }) => value !== undefined && keeps(value));
  return {
    number,
    what,
    target: comparisons.map(({ words, limit }) => words.replace('{}', limit ?? '')).join(', '),
    measured: comparisons.map(({ words, value }) => words.replace('{}', timesText(value))).join(', '),
    verdict: isMeasured ? (isMet ? 'met' : 'not met') : 'not measured',
    isMust,
  };
}

function atMost(words: string, value: number | undefined, limit: number) {
  return { words, value, limit: `≤ ${limit}x`, isMet: (times: number) => times <= limit };
}

function atLeast(words: string, value: number | undefined, limit: number) {
  return { words, value, limit: `≥ ${limit}x`, isMet: (times: number) => times >= limit };
}

function timesText(value: number | undefined): string {
  return value === undefined || !Number.isFinite(value) ? '–' : `${value.toFixed(2)}x`;
}

function contender(results: BenchResults, name: string): ContenderResults | undefined {
  return results.contenders.find((one) => one.name === name);
}

function ratio(value: number | undefined, of: number | undefined): number | undefined {
  return value === undefined || of === undefined ? undefined : value / of;
}

function middle(values: readonly number[] | undefined): number | undefined {
  return values === undefined || values.length === 0 ? undefined : median(values);
}

function wall(costs: readonly Cost[] | undefined): number | undefined {
  return middle(costs?.map((cost) => cost.wallSeconds));
}

function cpu(costs: readonly Cost[] | undefined): number | undefined {
  return middle(costs?.map((cost) => cost.cpuSeconds));
}

import { gibibyte, mebibyte } from '../domain/units.ts';
import { type Cost, median } from './measure.ts';
import { readCells } from './read-path.ts';
import type { BenchResults, ContenderResults } from './results.ts';
import { judge, lifeboatName } from './targets.ts';

/** The run as Markdown: the verdicts first, then everything that they come from. */
export function reportOf(results: BenchResults): string {
  return [
    `# Lifeboat's benchmarks, ${results.startedAt.slice(0, 16).replace('T', ' ')} UTC`,
    ...introduction(results),
    '## Targets',
    ...table(
      ['#', 'what', 'target', 'measured', 'verdict'],
      judge(results).map((row) => [
        `${row.number}${row.isMust ? ' (must)' : ''}`,
        row.what,
        row.target,
        row.measured,
        row.verdict === 'not measured' ? row.verdict : `**${row.verdict}**`,
      ]),
    ),
    '## Copies',
    'Medians. wall / CPU in seconds; CPU is user + system of every process that took part (for Lifeboat: agent and process server, and the ' +
      'agent’s start with the first copy; memory is the agent’s). Restores count until the file is on the disk, for everybody.',
    ...copyTable(results),
    ...results.contenders.map((one) => `- ${one.name}: ${one.settings}; ${one.version ?? 'not installed'}`),
    '## Reading over NBD',
    'fio, one connection, page cache warm. There are no write cells: our server is read-only, a started machine writes to its own overlay.',
    ...readTable(results),
    '## Booting',
    ...bootLines(results),
  ]
    .join('\n\n')
    .replaceAll(/(?<=^\|.*)\n\n(?=\|)/gm, '\n')
    .replaceAll(/(?<=^-.*)\n\n(?=-)/gm, '\n')
    .concat('\n');
}

function introduction(results: BenchResults): string[] {
  const { machine, image, options } = results;
  return [
    `${machine.processor}, ${machine.coreCount} cores, ${(machine.memoryBytes / gibibyte).toFixed(0)} GiB, Linux ${machine.kernel}, ` +
      `Node ${machine.node}; load average before the run ${machine.loadBefore.toFixed(1)}.`,
    `Source: ${(image.sizeBytes / mebibyte).toFixed(0)} MiB image, ${(image.nonZeroBytes / mebibyte).toFixed(0)} MiB of it not zeros (${image.origin}), on ` +
      `${image.fileSystem}; ${(results.changedBytes / mebibyte).toFixed(1)} MiB (1 % of its 64 KiB blocks) overwritten at random per increment. ` +
      `Size ${options.size}, ${options.rounds} rounds, contenders interleaved; the whole run took ${results.tookSeconds.toFixed(0)} s.`,
  ];
}

function copyTable(results: BenchResults): string[] {
  const { lifeboat } = results;
  const rows = results.contenders.map((one) => copyRow(one));
  const untracked = ['lifeboat, untracked (full scan)', '', costText(lifeboat.untracked), '', '', '', ''];
  const place = results.contenders.findIndex((one) => one.name === lifeboatName) + 1;
  return table(
    ['', 'initial', 'increment', 'restore', 'memory MiB', 'stored MiB', '+ by increment MiB'],
    rows.toSpliced(place, 0, untracked),
  );
}

function copyRow(one: ContenderResults): string[] {
  if (one.version === undefined) return [one.name, 'not installed', '', '', '', '', ''];
  const memory = one.initial.map((cost) => cost.peakMemoryBytes);
  return [
    one.wrongRestores === 0 ? one.name : `${one.name} (${one.wrongRestores} restored images were wrong)`,
    costText(one.initial),
    one.increment.length === 0 ? 'full again' : costText(one.increment),
    costText(one.restore),
    mebibytes(memory, 0),
    mebibytes(one.repositoryBytes, 0),
    mebibytes(one.incrementBytes, 1),
  ];
}

function readTable({ reads }: BenchResults): string[] {
  const servers = [...new Set(reads.map((read) => read.server))].sort();
  const cellText = (server: string, cell: string) => {
    const mine = reads.filter((read) => read.server === server && read.cell === cell);
    const speed = Math.round(median(mine.map((read) => read.readsPerSecond)));
    const slow = median(mine.map((read) => read.p99Ms));
    return `${speed.toLocaleString('en')} (${slow.toFixed(2)} ms; ${median(mine.map((read) => read.cpuSecondsPerGibibyte)).toFixed(2)} s)`;
  };
  return table(
    ['reads/s (p99; server CPU per GiB)', ...servers],
    readCells.map(({ name }) => [name, ...servers.map((server) => cellText(server, name))]),
  );
}

function bootLines({ boots }: BenchResults): string[] {
  if (boots.kind === 'not-measured') return [`Not measured: ${boots.why}.`];
  const seconds = (values: readonly number[]) => `${median(values).toFixed(2)} s`;
  return [
    `${boots.guest}, QEMU without KVM, throw-away overlay, to its own word on the serial port: local file ${seconds(boots.localSeconds)}, ` +
      `from the vault ${seconds(boots.vaultSeconds)} (starting the disk server included).`,
  ];
}

function table(head: readonly string[], rows: readonly (readonly string[])[]): string[] {
  const line = (cells: readonly string[]) => `| ${cells.join(' | ')} |`;
  return [line(head), line(head.map(() => '---')), ...rows.map(line)];
}

function costText(costs: readonly Cost[]): string {
  if (costs.length === 0) return '–';
  const wall = median(costs.map((cost) => cost.wallSeconds));
  const cpu = median(costs.map((cost) => cost.cpuSeconds));
  return `${wall.toFixed(2)} / ${cpu.toFixed(2)}`;
}

function mebibytes(values: readonly number[], digits: number): string {
  return values.length === 0 ? '–' : (median(values) / mebibyte).toFixed(digits);
}

import { gibibyte, kibibyte } from '../../domain/units.ts';
import type { MachineDescription } from '../results.ts';
import { type LookTimes, type OverviewResults, timesOf } from './measure-overview.ts';
import type { LoadsOf, PageResults } from './measure-page.ts';
import type { SiteSize } from './seed-site.ts';

export type ConsoleResults = {
  readonly format: 'lifeboat-console-bench/2';
  readonly startedAt: string;
  readonly machine: MachineDescription;
  readonly size: SiteSize;
  readonly overview: OverviewResults;
  readonly page: PageResults;
};
/** One row of what the console has to keep. Without a target it is only told. Source: issue 4 */
export type ConsoleRow = {
  readonly what: string;
  readonly target: string;
  readonly measured: string;
  readonly isMet: boolean | undefined;
};

/** Engine time of one look at a thousand machines with a hundred points each. */
const cpuMsMax = 60;
const firstRowsMsMax = 1000;
const gzipBytesMax = 250_000;
const layoutShiftMax = 0.01;

export function judgeConsole({ overview, page }: ConsoleResults): ConsoleRow[] {
  const rows: ConsoleRow[] = [
    {
      what: 'engine time of one look',
      target: `p50 ≤ ${cpuMsMax} ms`,
      measured: spreadText(overview.cpuMs),
      isMet: overview.cpuMs.p50 <= cpuMsMax,
    },
    {
      what: 'from question to answer, with PostgreSQL',
      target: '',
      measured: spreadText(overview.wallMs),
      isMet: undefined,
    },
  ];
  if (page.kind === 'not-measured') {
    return [
      ...rows,
      { what: 'the page in a browser', target: '', measured: `not measured: ${page.why}`, isMet: undefined },
    ];
  }
  const { gzipBytes } = page.weight;
  const weight = `${(gzipBytes / 1000).toFixed(0)} kB`;
  return [
    ...rows,
    ...page.loads.flatMap(loadRows),
    { what: 'weight of the page', target: '≤ 250 kB gzip', measured: weight, isMet: gzipBytes <= gzipBytesMax },
  ];
}

/** The slowest of them decides: who looks at 3 a.m. does so once. */
function loadRows({ company, loads }: LoadsOf): ConsoleRow[] {
  const rowsMs = loads.map(({ firstRowsMs }) => firstRowsMs);
  const shift = Math.max(...loads.map(({ layoutShift }) => layoutShift));
  return [
    {
      what: `first rows of machines painted, ${company}`,
      target: `each ≤ ${firstRowsMsMax} ms`,
      measured: medianText(rowsMs),
      isMet: Math.max(...rowsMs) <= firstRowsMsMax,
    },
    {
      what: `first contentful paint, ${company}`,
      target: '',
      measured: medianText(loads.map(({ firstPaintMs }) => firstPaintMs)),
      isMet: undefined,
    },
    {
      what: `layout shift, ${company}`,
      target: `≤ ${layoutShiftMax}`,
      measured: `${shift.toFixed(4)} at most`,
      isMet: shift <= layoutShiftMax,
    },
  ];
}

/** The run as Markdown. */
export function consoleReportOf(results: ConsoleResults): string {
  const { machine, size, overview, page } = results;
  const verdict = (isMet: boolean | undefined) => (isMet === undefined ? '' : `**${isMet ? 'met' : 'not met'}**`);
  const rows = judgeConsole(results).map(
    ({ what, target, measured, isMet }) => `| ${what} | ${target} | ${measured} | ${verdict(isMet)} |`,
  );
  return [
    `# Lifeboat's console, ${results.startedAt.slice(0, 16).replace('T', ' ')} UTC`,
    `${machine.processor}, ${machine.coreCount} cores, ${(machine.memoryBytes / gibibyte).toFixed(0)} GiB, Linux ${machine.kernel}, ` +
      `Node ${machine.node}. Load average before the run ${machine.loadBefore.toFixed(1)}, after the looks ${overview.loadAverage.toFixed(1)}` +
      `${page.kind === 'measured' ? `, after the loads ${page.loadAverage.toFixed(1)}` : ''}.`,
    `The site has ${size.machineCount} protected machines on ${size.hostCount} hosts, ${size.pointsPerMachine} recovery points and ` +
      `${size.drillsPerMachine} drills each. PostgreSQL runs on the same machine. One process looks ${overview.lookCount} times, one after the ` +
      `other; the answer has ${Math.round(overview.answerBytes / kibibyte)} KiB.`,
    ...pageWords(page),
    ['| what | target | measured | verdict |', '| --- | --- | --- | --- |', ...rows].join('\n'),
  ]
    .join('\n\n')
    .concat('\n');
}

function pageWords(page: PageResults): string[] {
  if (page.kind === 'not-measured') return [];
  const all = page.loads.flatMap(({ loads }) => loads);
  const wireBytes = timesOf(all.map((load) => load.wireBytes)).p50;
  const files = page.weight.files.map(
    ({ path, gzipBytes }) => `${path.replace('/assets/', '')} ${kilobytes(gzipBytes)}`,
  );
  return [
    `${page.browser} opens the first page ${page.loads[0]?.loads.length ?? 0} times each way over TLS, signed in, with an empty cache and no connection, 1280 by 800. ` +
      "The engine's API and the bot's web server are one process here, beside the browser on the same machine. Times count from the moment in which " +
      'the browser sets out; “painted” is the beginning of the picture after the one with the rows. ' +
      `Until then ${kilobytes(wireBytes)} came over the wire (Brotli, with the site itself); ${all[0]?.rowCount ?? 0} rows are drawn.`,
    `The page's files, gzip: ${files.join(', ')}.`,
  ];
}

function kilobytes(bytes: number): string {
  return `${(bytes / 1000).toFixed(bytes < 10_000 ? 1 : 0)} kB`;
}

function medianText(valuesMs: readonly number[]): string {
  const { p50, max } = timesOf(valuesMs);
  return `median ${p50.toFixed(0)}, worst ${max.toFixed(0)} ms of ${valuesMs.length}`;
}

function spreadText({ p50, p95, max }: LookTimes): string {
  return `p50 ${p50.toFixed(0)}, p95 ${p95.toFixed(0)}, max ${max.toFixed(0)} ms`;
}

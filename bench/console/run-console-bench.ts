import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { gibibyte, kibibyte } from '../../domain/units.ts';
import { type LookTimes, measureOverview, type OverviewResults } from './measure-overview.ts';

export type ConsoleBenchOptions = {
  readonly machines: number;
  readonly points: number;
  readonly drills: number;
  readonly looks: number;
};

/** Engine time of one look at a thousand machines with a hundred points each. Source: issue 4 */
const cpuMsMax = 60;

/** Measures the overview, keeps the report beside the others, and returns the exit code. */
export async function runConsoleBench(
  options: ConsoleBenchOptions,
  deps: { readonly resultsFolder: string; readonly say: (line: string) => void },
): Promise<number> {
  const { machines: machineCount, points: pointsPerMachine, drills: drillsPerMachine, looks: lookCount } = options;
  const hostCount = Math.max(1, Math.round(machineCount / 50));
  const size = { machineCount, pointsPerMachine, drillsPerMachine, hostCount };
  const results = await measureOverview({ size, lookCount }, deps.say);
  const report = reportOf(results);
  const file = join(deps.resultsFolder, `${results.startedAt.slice(0, 10)}-console`);
  await mkdir(deps.resultsFolder, { recursive: true });
  await writeFile(`${file}.md`, report);
  await writeFile(`${file}.json`, `${JSON.stringify(results, null, 2)}\n`);
  console.log(report);
  const isMet = results.cpuMs.p50 <= cpuMsMax;
  console.log(`${isMet ? 'PASS' : 'FAIL'}  one look: ${results.cpuMs.p50.toFixed(0)} ms of the engine’s time`);
  return isMet ? 0 : 1;
}

function reportOf(results: OverviewResults): string {
  const { machine, size, lookCount, wallMs, cpuMs, answerBytes, loadAverage } = results;
  const isMet = cpuMs.p50 <= cpuMsMax;
  return [
    `# Lifeboat's overview, ${results.startedAt.slice(0, 16).replace('T', ' ')} UTC`,
    `${machine.processor}, ${machine.coreCount} cores, ${(machine.memoryBytes / gibibyte).toFixed(0)} GiB, Linux ${machine.kernel}, ` +
      `Node ${machine.node}. Load average before the run ${machine.loadBefore.toFixed(1)}, at its end ${loadAverage.toFixed(1)}.`,
    `One process looks ${lookCount} times, one after the other, at a site with ${size.machineCount} protected machines on ` +
      `${size.hostCount} hosts, ${size.pointsPerMachine} recovery points and ${size.drillsPerMachine} drills each; the answer has ` +
      `${Math.round(answerBytes / kibibyte)} KiB. PostgreSQL runs on the same machine.`,
    [
      '| what | target | measured | verdict |',
      '| --- | --- | --- | --- |',
      `| engine time of one look | p50 ≤ ${cpuMsMax} ms | ${spreadText(cpuMs)} | **${isMet ? 'met' : 'not met'}** |`,
      `| from question to answer, with PostgreSQL | | ${spreadText(wallMs)} | |`,
    ].join('\n'),
  ]
    .join('\n\n')
    .concat('\n');
}

function spreadText({ p50, p95, max }: LookTimes): string {
  return `p50 ${p50.toFixed(0)}, p95 ${p95.toFixed(0)}, max ${max.toFixed(0)} ms`;
}

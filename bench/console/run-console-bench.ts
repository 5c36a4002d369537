import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describeMachine } from '../machine-description.ts';
import { type ConsoleResults, consoleReportOf, judgeConsole } from './console-report.ts';
import { measureOverview } from './measure-overview.ts';
import { measurePage } from './measure-page.ts';
import { withSeededStore } from './seeded-store.ts';

export type ConsoleBenchOptions = {
  readonly machines: number;
  readonly points: number;
  readonly drills: number;
  readonly looks: number;
  readonly loads: number;
};
type Deps = { readonly resultsFolder: string; readonly say: (line: string) => void };

/** Measures the overview and the page, keeps the report beside the others, and returns the exit code. */
export async function runConsoleBench(options: ConsoleBenchOptions, deps: Deps): Promise<number> {
  const results = await measureConsole(options, deps.say);
  const report = consoleReportOf(results);
  const file = join(deps.resultsFolder, `${results.startedAt.slice(0, 10)}-console`);
  await mkdir(deps.resultsFolder, { recursive: true });
  await writeFile(`${file}.md`, report);
  await writeFile(`${file}.json`, `${JSON.stringify(results, null, 2)}\n`);
  console.log(report);
  const judged = judgeConsole(results).filter(({ isMet }) => isMet !== undefined);
  for (const { what, measured, isMet } of judged) console.log(`${isMet ? 'PASS' : 'FAIL'}  ${what}: ${measured}`);
  return judged.every(({ isMet }) => isMet) ? 0 : 1;
}

async function measureConsole(options: ConsoleBenchOptions, say: Deps['say']): Promise<ConsoleResults> {
  const { machines: machineCount, points: pointsPerMachine, drills: drillsPerMachine, looks, loads } = options;
  const hostCount = Math.max(1, Math.round(machineCount / 50));
  const size = { machineCount, pointsPerMachine, drillsPerMachine, hostCount };
  const startedAt = new Date().toISOString();
  const machine = describeMachine();
  say(`${machineCount} machines with ${pointsPerMachine} points each`);
  return withSeededStore(size, async (seeded) => {
    say(`${looks} looks`);
    const overview = await measureOverview(seeded.store, looks);
    say(`2 × ${loads} loads of the page`);
    const page = await measurePage(seeded, loads);
    return { format: 'lifeboat-console-bench/2', startedAt, machine, size, overview, page };
  });
}

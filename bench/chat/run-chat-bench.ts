import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { chatReportOf, judgeChat } from './chat-report.ts';
import { type ChatBenchOptions, measureChat } from './measure-chat.ts';

/** Measures chat under load, keeps the report beside the others, and returns the exit code. */
export async function runChatBench(
  options: ChatBenchOptions,
  deps: { readonly resultsFolder: string; readonly say: (line: string) => void },
): Promise<number> {
  const interrupted = new AbortController();
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => interrupted.abort());
  const results = await measureChat(options, { say: deps.say, signal: interrupted.signal });
  const report = chatReportOf(results);
  const file = join(deps.resultsFolder, `${results.startedAt.slice(0, 10)}-chat`);
  await mkdir(deps.resultsFolder, { recursive: true });
  await writeFile(`${file}.md`, report);
  await writeFile(`${file}.json`, `${JSON.stringify(results, null, 2)}\n`);
  console.log(report);
  const rows = judgeChat(results);
  for (const row of rows) console.log(`${row.isMet ? 'PASS' : 'FAIL'}  ${row.what}: ${row.measured}`);
  return rows.every(({ isMet }) => isMet) ? 0 : 1;
}

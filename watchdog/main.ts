import { parseArgs } from 'node:util';
import { readWatchdogConfig } from './config.ts';
import { startWatching } from './watch.ts';

/**
 * Says by webhook when the engine or the bot is silent, until SIGTERM or SIGINT. It needs neither database nor package: whatever takes the
 * others down must not take it down. Source: RELIABILITY 4 (dead-man), I8
 */
export async function runWatchdog(configFile: string): Promise<void> {
  const config = readWatchdogConfig(configFile);
  const log = (line: string) => process.stderr.write(`${new Date().toISOString()} watchdog: ${line}\n`);
  // Whoever reads our log may be gone.
  process.stderr.on('error', () => undefined);
  for (const event of ['uncaughtException', 'unhandledRejection'] as const) {
    process.on(event, (error: unknown) => log(`goes on after an error of its own: ${describe(error)}`));
  }
  const asked = new Promise<void>((resolve) => {
    for (const signal of ['SIGTERM', 'SIGINT'] as const) process.once(signal, () => resolve());
  });
  const watching = startWatching({ config, nowMs: Date.now, monotonicMs: () => performance.now(), log });
  log(`watches ${config.watched.map(({ name }) => name).join(' and ')}`);
  await asked;
  watching.stop();
}

function describe(error: unknown): string {
  return error instanceof Error ? (error.stack ?? error.message) : String(error);
}

/** `node watchdog/main.ts --config <file>`: without anything of node_modules. */
if (import.meta.main) {
  const { values } = parseArgs({ options: { config: { type: 'string' } } });
  try {
    if (values.config === undefined) throw new Error('usage: node watchdog/main.ts --config <file>');
    await runWatchdog(values.config);
    process.exit(0);
  } catch (error) {
    process.stderr.write(`watchdog: ${error instanceof Error ? error.message : String(error)}\n`);
    process.exit(1);
  }
}

#!/usr/bin/env node
import { enableCompileCache } from 'node:module';
import { join } from 'node:path';
import { Command, Option } from 'commander';
import { describeCauses, OutageError } from '../domain/outage.ts';
import { stateFolder } from './state-folder.ts';

// A third of a start is compiling the same modules again; a program that was killed should be back soon.
enableCompileCache();

/** Starts Lifeboat's services and does what an administrator does at the engine's host. `dr` is the program for everybody else. */
const program = new Command('lifeboat')
  .description('Disaster recovery that on-call people run from chat.')
  .showHelpAfterError();
const state = () => new Option('--state <folder>', 'where everything is kept (default: $LIFEBOAT_STATE or .lifeboat)');
const exitLimitMs = 1000;
const withParent = () =>
  new Option('--exit-with-parent', 'stop when standard input closes, because whoever started this is gone').hideHelp();

program
  .command('demo')
  .description('run a whole site on this machine: database, engine, process server, vault, two guests, one agent')
  .option('--once', 'run one test failover of vm-7, print what happened, and end')
  .addOption(state())
  .action(async (options: { once?: boolean; state?: string }) => {
    const { runDemo } = await import('../demo/main.ts');
    process.exitCode = await runDemo({ stateFolder: stateFolder(options.state), once: options.once ?? false });
  });

for (const role of ['engine', 'process-server', 'agent'] as const) {
  const purpose = {
    engine: 'the control plane: state, jobs, recovery points, control API',
    'process-server': 'the data plane: receives changes, compresses, encrypts, stores them in the vault',
    agent: 'the mobility agent of a host whose machines are protected',
  };
  program
    .command(role)
    .description(purpose[role])
    .requiredOption('--config <file>', 'its configuration, a JSON file; see docs/operations')
    .addOption(withParent())
    .action(async (options: { config: string; exitWithParent?: boolean }) => {
      if (options.exitWithParent) endWithParent();
      await roles[role](options.config);
      // Orderly work is done; what still holds the process, such as a boot that is being watched, is found again by the next start.
      setTimeout(() => process.exit(), exitLimitMs).unref();
    });
}

program
  .command('enrolment-token')
  .description('print a one-time token, good for 15 minutes, with which one host may enrol its agent')
  .requiredOption('--host <name>', 'the host that may use it')
  .addOption(state())
  .action(async (options: { host: string; state?: string }) => {
    const { printEnrolmentToken } = await import('../engine/administration-main.ts');
    await printEnrolmentToken(engineConfigFile(options.state), options.host);
  });

const vault = program.command('vault').description('look after the vault itself; the engine need not run');
vault
  .command('verify')
  .description('read everything in the vault and report whatever was changed, cut, swapped, put back or removed')
  .addOption(state())
  .action(async (options: { state?: string }) => {
    const { verifyVault } = await import('../engine/administration-main.ts');
    process.exitCode = await verifyVault(engineConfigFile(options.state));
  });
vault
  .command('rebuild-catalogue')
  .description('fill an empty database from the vault alone')
  .addOption(state())
  .action(async (options: { state?: string }) => {
    const { rebuildCatalogueFromVault } = await import('../engine/administration-main.ts');
    await rebuildCatalogueFromVault(engineConfigFile(options.state));
  });

program
  .command('restore <machine>')
  .description(
    "write a machine's disk, as it was at a recovery point, to a plain image file; needs only the vault and its keys",
  )
  .option('--point <id>', 'a recovery point, or `latest`', 'latest')
  .option('--disk <key>', 'which disk, when the machine has several')
  .requiredOption('--to <file>', 'the image file to make')
  .addOption(state())
  .action(async (machine: string, options: { point: string; disk?: string; to: string; state?: string }) => {
    const { restoreMachine } = await import('../engine/administration-main.ts');
    await restoreMachine(engineConfigFile(options.state), { machine, ...options });
  });

const roles = {
  engine: async (file: string) => (await import('../engine/main.ts')).runEngine(file),
  'process-server': async (file: string) => (await import('../engine/process-server/main.ts')).runProcessServer(file),
  agent: async (file: string) => (await import('../agent/main.ts')).runAgent(file),
};

function engineConfigFile(folder: string | undefined): string {
  return join(stateFolder(folder), 'engine', 'config.json');
}

/** The first one in the chain of causes: whoever wraps an outage seldom knows better what helps. */
function nextStepOf(error: unknown): string | undefined {
  for (let current = error, depth = 0; current instanceof Error && depth < 8; current = current.cause, depth += 1) {
    if (current instanceof OutageError && current.nextStep !== undefined) return current.nextStep;
  }
  return undefined;
}

function endWithParent(): void {
  process.stdin.resume();
  process.stdin.once('end', () => process.kill(process.pid, 'SIGTERM'));
}

try {
  await program.parseAsync();
} catch (error) {
  console.error(`lifeboat: ${describeCauses(error)}`);
  const nextStep = nextStepOf(error);
  if (nextStep !== undefined) console.error(`          ${nextStep}`);
  // A service that failed halfway through its start holds connections and timers, which would keep it there for ever.
  process.exit(1);
} finally {
  // What --exit-with-parent waits on would keep a program that has ended, or failed, from ending.
  process.stdin.destroy();
}

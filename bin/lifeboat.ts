#!/usr/bin/env node
import { enableCompileCache } from 'node:module';
import { join } from 'node:path';
import { Command, Option } from 'commander';
import type { Role } from '../domain/access.ts';
import { describeCauses, OutageError } from '../domain/outage.ts';
import { importQuickly } from './quick-imports.ts';
import { stateFolder } from './state-folder.ts';

// A third of a start is compiling the same modules again; a program that was killed should be back soon.
enableCompileCache();
importQuickly();

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
  .option('--serve', 'keep running without a prompt until Ctrl-C; the web console and `dr` are the ways in')
  .option('--slack-fake', 'show the conversation in a Slack workspace on this host: ana asks, ben approves')
  .addOption(state())
  .action(async (options: { once?: boolean; serve?: boolean; slackFake?: boolean; state?: string }) => {
    const { runDemo } = await import('../demo/main.ts');
    const { once = false, serve = false, slackFake = false } = options;
    process.exitCode = await runDemo({ stateFolder: stateFolder(options.state), once, serve, slackFake });
  });

for (const role of ['engine', 'process-server', 'agent', 'watchdog'] as const) {
  const purpose = {
    engine: 'the control plane: state, jobs, recovery points, control API',
    'process-server': 'the data plane: receives changes, compresses, encrypts, stores them in the vault',
    agent: 'the mobility agent of a host whose machines are protected',
    watchdog:
      'says by webhook when engine or bot are dead; also `node watchdog/main.ts --config <file>`, which needs nothing but Node',
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
  .command('bot')
  .description('Slack and Teams: answers there, and shows there what happens')
  .requiredOption('--config <file>', 'its configuration, a JSON file; see docs/operations')
  .addOption(withParent())
  .action(async (options: { config: string; exitWithParent?: boolean }) => {
    if (options.exitWithParent) endWithParent();
    const { runBot } = await import('../bot/service-main.ts');
    await runBot(options.config);
    setTimeout(() => process.exit(), exitLimitMs).unref();
  });

program
  .command('teams-package')
  .description('make the app package that an administrator uploads to Microsoft Teams; see docs/operations/teams.md')
  .requiredOption('--app-id <id>', "the bot's application id in Entra")
  .option('--out <file>', 'the zip to make', 'lifeboat-teams.zip')
  .option('--name <name>', 'how the bot is addressed in a channel, at most 30 characters (default: DR)')
  .addOption(new Option('--app-version <version>', 'raise it with every upload (default: 1.0.0)'))
  .option('--company <name>', 'shown as the developer (default: Lifeboat)')
  .option('--website <url>', 'shown in the app; also --privacy and --terms')
  .option('--privacy <url>', 'your privacy statement')
  .option('--terms <url>', 'your terms of use')
  .action(async ({ out, appVersion, ...options }: Record<string, string>) => {
    const { makeTeamsPackage } = await import('../bot/teams/package-main.ts');
    const file = await makeTeamsPackage({ ...options, version: appVersion }, out ?? 'lifeboat-teams.zip');
    console.log(`${file} is ready to be uploaded.`);
  });
program
  .command('slack-fake')
  .description('a Slack workspace on the loopback, to try the bot without Slack')
  .option('--port <number>', 'where it listens', '4300')
  .action(async (options: { port: string }) => {
    const { runSlackFake } = await import('../demo/slack-workspace/main.ts');
    await runSlackFake(Number(options.port));
  });

program
  .command('teams-fake')
  .description('a Microsoft Teams on the loopback, to try the bot without a tenant')
  .option('--port <number>', 'where it listens', '3979')
  .option('--bot-port <number>', 'the port of teams in the configuration of the bot', '3978')
  .action(async (options: { port: string; botPort: string }) => {
    const { runTeamsFake } = await import('../demo/teams-connector/main.ts');
    await runTeamsFake({ port: Number(options.port), botPort: Number(options.botPort) });
  });

program
  .command('enrolment-token')
  .description('print a one-time token, good for 15 minutes, with which one host may enrol its agent')
  .requiredOption('--host <name>', 'the host that may use it')
  .addOption(state())
  .action(async (options: { host: string; state?: string }) => {
    const { printEnrolmentToken } = await import('../engine/administration-main.ts');
    await printEnrolmentToken(engineConfigFile(options.state), options.host);
  });

const person = program.command('person').description('add people and see who may do what; the engine need not run');
person
  .command('add <name>')
  .description('add a person, or a role to one; prints a link code for chat and writes their certificate')
  .addOption(new Option('--role <role>', 'what they may do').choices(['viewer', 'operator', 'approver', 'admin']))
  .option('--machine <name>', 'on this machine only')
  .option('--tag <tag>', 'on the machines with this tag only')
  .addOption(state())
  .action(async (name: string, options: { role?: Role; machine?: string; tag?: string; state?: string }) => {
    const { addPersonOnHost } = await import('../engine/people-main.ts');
    const { role, machine, tag } = options;
    await addPersonOnHost(engineConfigFile(options.state), { name, role, machine, tag });
  });
person
  .command('list')
  .description('everybody, with roles, chat users and the on-call list')
  .addOption(state())
  .action(async (options: { state?: string }) => {
    const { printPersons } = await import('../engine/people-main.ts');
    await printPersons(engineConfigFile(options.state));
  });
for (const [change, purpose] of [
  ['disable', 'take all rights from a person at once'],
  ['enable', 'give a disabled person their rights back'],
  ['unlink', "take a person's chat users away"],
  ['reset-authenticator', 'after a lost telephone: the person sets up six-digit codes anew'],
] as const) {
  person
    .command(`${change} <name>`)
    .description(purpose)
    .addOption(state())
    .action(async (name: string, options: { state?: string }) => {
      const { changePersonOnHost } = await import('../engine/people-main.ts');
      await changePersonOnHost(engineConfigFile(options.state), name, change);
    });
}

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
  watchdog: async (file: string) => (await import('../watchdog/main.ts')).runWatchdog(file),
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

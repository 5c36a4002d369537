import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { startTerminal } from '../bot/main.ts';
import { describeCauses, OutageError } from '../domain/outage.ts';
import packageFile from '../package.json' with { type: 'json' };
import { sayLinks, startConsole } from './console.ts';
import { endDrills } from './end-drills.ts';
import { type Layout, layoutOf, makeFolders } from './layout.ts';
import { runOnce } from './once.ts';
import { protectGuests } from './protect-guests.ts';
import { forgetProcess, rememberedProcess, rememberProcess } from './running-process.ts';
import { type Site, startSite } from './site.ts';
import { runSlackConversation } from './slack-conversation.ts';
import { ensureQemu } from './system-packages.ts';

export type DemoOptions = {
  readonly stateFolder: string;
  /** Run one test failover, print what happened, and end. So it is without a terminal too. */
  readonly once: boolean;
  /** Show the conversation in a Slack workspace on this host. The site is a new one and is removed at the end. */
  readonly slackFake?: boolean;
  /** Run until Ctrl-C or SIGTERM, without a prompt and without doing anything by itself. */
  readonly serve?: boolean;
};

/** Runs the demo site until Ctrl-C, or for one test failover. Returns the exit code. */
export async function runDemo(options: DemoOptions): Promise<number> {
  if (options.slackFake !== true) return runOn(options);
  const stateFolder = join(tmpdir(), `lifeboat-slack-${randomBytes(4).toString('hex')}`);
  const exitCode = await runOn({ ...options, stateFolder });
  // What failed is looked at in its logs.
  if (exitCode === 0) rmSync(stateFolder, { recursive: true, force: true });
  return exitCode;
}

async function runOn(options: DemoOptions): Promise<number> {
  const layout = layoutOf(options.stateFolder);
  makeFolders(layout);
  const ownFile = join(layout.processes, 'demo.process.json');
  const other = rememberedProcess(ownFile);
  if (other !== undefined && other.pid !== process.pid) {
    console.error(`Lifeboat already runs from ${layout.state} (process ${other.pid}).`);
    console.error(
      `Stop that one with Ctrl-C or \`kill ${other.pid}\`, talk to it with \`npm run dr -- status\`, or set LIFEBOAT_STATE to another folder.`,
    );
    return 1;
  }
  rememberProcess(ownFile, process.pid);
  const interrupted = interruption();
  say(`Lifeboat ${packageFile.version} · everything is kept in ${layout.state}`);
  let site: Site | undefined;
  try {
    const qemu = await ensureQemu(say);
    if (qemu.kind === 'missing') {
      say(qemu.why);
      say('Going on without it: the demo replicates disk images, and a drill checks the disks without booting them.');
    }
    site = await startSite({ layout, hasQemu: qemu.kind !== 'missing', say: sayPart, onTrouble: sayTrouble });
    return await use(site, { options, layout, hasQemu: qemu.kind !== 'missing', interrupted });
  } catch (error) {
    if (interrupted.signal.aborted) return 130;
    console.error(`npm start failed: ${describeCauses(error)}`);
    if (error instanceof OutageError && error.nextStep !== undefined) console.error(error.nextStep);
    console.error(`The programs' logs are in ${layout.logs}.`);
    return 1;
  } finally {
    say('Stopping everything that was started …');
    if (site !== undefined) await stopSite(site);
    forgetProcess(ownFile);
    say(options.slackFake === true ? 'Stopped.' : 'Stopped. The state is kept; the next start goes on from here.');
  }
}

type Use = {
  readonly options: DemoOptions;
  readonly layout: Layout;
  readonly hasQemu: boolean;
  readonly interrupted: AbortController;
};

/** Shows the site in Slack, once by itself, or to whoever sits here. Returns the exit code. */
async function use(site: Site, { options, layout, hasQemu, interrupted }: Use): Promise<number> {
  const { signal } = interrupted;
  const deps = { site, layout, say, signal };
  const isScripted = options.once || process.stdin.isTTY !== true;
  const isStaying = options.serve === true || !isScripted;
  if (options.slackFake !== true) {
    const url = await startConsole(deps);
    sayPart(`console         ${url}`);
    sayPart(`metrics         ${metricsWords(site.ports)}`);
    if (isStaying) await sayLinks(deps, url);
  }
  const resumed = await protectGuests({ engine: site.engine, say, signal });
  if (options.slackFake === true) return runSlackConversation({ ...deps, isScripted });
  if (!isStaying) return runOnce({ ...deps, hasQemu, resumed });
  if (options.serve !== true) await converse(site, interrupted);
  else if (!signal.aborted) await once(signal, 'abort');
  return 0;
}

function metricsWords({ engineMetrics, processServerMetrics, botMetrics }: Site['ports']): string {
  return `http://127.0.0.1:${engineMetrics}/metrics (engine), ${processServerMetrics} (process server), ${botMetrics} (bot)`;
}

async function stopSite(site: Site): Promise<void> {
  await endDrills(site.engine, say).catch((error: unknown) => {
    sayTrouble(`open test failovers could not be cleaned up: ${describeCauses(error)}; the next start finds them.`);
  });
  await site.stop();
  await site.engine.close();
}

async function converse(site: Site, interrupted: AbortController): Promise<void> {
  say(
    'Type a command, as in chat: `failover vm-7 --test`, `status`, `help`. Ctrl-C at an empty prompt stops everything.',
  );
  const terminal = startTerminal({
    engine: site.engine,
    input: process.stdin,
    output: process.stdout,
    isColored: process.stdout.isTTY === true && !process.env.NO_COLOR,
    nowMs: () => Date.now(),
    onInterrupt: () => interrupted.abort(),
    firstLine: 'status',
  });
  interrupted.signal.addEventListener('abort', () => terminal.close(), { once: true });
  await terminal.ended;
}

/** Ctrl-C, SIGTERM and a closed terminal ask for an orderly stop; a second Ctrl-C is left to the system. */
function interruption(): AbortController {
  const controller = new AbortController();
  const onSignal = () => controller.abort();
  process.once('SIGINT', onSignal);
  process.once('SIGTERM', onSignal);
  // A closed terminal says so more than once, by the signal and by EIO at the next line; nothing of it may end this program at once.
  process.on('SIGHUP', onSignal);
  for (const stream of [process.stdout, process.stderr]) stream.on('error', onSignal);
  return controller;
}

function say(line: string): void {
  console.log(line);
}

function sayPart(line: string): void {
  console.log(`  ✓ ${line}`);
}

function sayTrouble(message: string): void {
  console.error(`  ! ${message}`);
}

import { mkdir, open, readFile, rename, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { describeCauses, OutageError } from '../../domain/outage.ts';
import { type BootFacts, failedReadsOf, judgeBoot } from './boot-verdict.ts';
import { encodePng, isBlank } from './console-picture.ts';
import { type DrillFolder, lastLines } from './drill-folder.ts';
import { type ConsoleView, type MachineConsole, openConsole } from './machine-console.ts';
import { isCode } from './process-search.ts';
import type { BootVerification, DrillPlan } from './target.ts';

export type BootWatchDeps = {
  readonly plan: DrillPlan;
  readonly paths: DrillFolder;
  readonly limitMs: number;
  /** When the machine was started, epoch milliseconds. */
  readonly startedAtMs: number;
  readonly isMachineRunning: () => Promise<boolean>;
  /** Starts a disk server again that has died. */
  readonly heal: () => Promise<unknown>;
};

const serialPollMs = 50;
const machinePollMs = 500;
/** How far apart the two looks are that tell a standing picture from a changing one. */
const settleMs = 3_000;
const markerPattern = /^LIFEBOAT-MARKER (.+)$/m;
/** A guest that writes without end must not fill our memory. */
const serialBytesMax = 4 * 1024 * 1024;
/** So much of the end of the disk server's log holds all of the read errors that it logs at most. */
const diskServerLogBytesMax = 1024 * 1024;
/** After its marker, how long a machine may take to show something on its screen, for the picture's sake only. */
const firstPictureMs = 1_000;

type Ending = { ending: BootFacts['ending']; marker?: string; endedHow?: string };

/** Watches a started machine until its marker, its end or the limit; then looks at its console and judges. */
export async function watchBoot(deps: BootWatchDeps): Promise<BootVerification> {
  if (!(await deps.isMachineRunning())) return judgeWithoutConsole(deps, 'QEMU ended');
  const console = await openConsole(deps.paths).catch((error: unknown) => describeCauses(error));
  if (typeof console === 'string') return judgeWithoutConsole(deps, `QEMU cannot be asked (${console})`);
  try {
    const views: ConsoleView[] = [];
    const ending = await waitForEnding(deps, console, views);
    const elapsedMs = Date.now() - deps.startedAtMs;
    const view = await lastLook(console, ending).catch(onlyOutage);
    if (view !== undefined) views.push(view);
    const consolePicture = view === undefined ? undefined : await keepPicture(deps.paths, view);
    const failedReads = failedReadsOf(await countFailedReads(deps, console), await diskServerLog(deps));
    return judgeBoot({ ...(await gather(deps, ending, elapsedMs)), views, consolePicture, failedReads });
  } finally {
    console.close();
  }
}

/** QEMU has ended before it could be asked, or hangs: the serial line is all that there is. */
async function judgeWithoutConsole(deps: BootWatchDeps, endedHow: string): Promise<BootVerification> {
  const ending = endingOf(endedHow, await markerIn(deps.paths.serialLog));
  const facts = await gather(deps, ending, Date.now() - deps.startedAtMs);
  const failedReads = failedReadsOf(endedHow, await diskServerLog(deps));
  return judgeBoot({ ...facts, views: [], consolePicture: undefined, failedReads });
}

async function waitForEnding(deps: BootWatchDeps, console: MachineConsole, views: ConsoleView[]): Promise<Ending> {
  const deadline = performance.now() + deps.limitMs;
  let nextMachineCheck = performance.now() + machinePollMs;
  for (;;) {
    const marker = await markerIn(deps.paths.serialLog);
    if (marker !== undefined) return { ending: 'marker', marker };
    const now = performance.now();
    if (now >= deadline) return { ending: 'limit' };
    if (now >= nextMachineCheck) {
      nextMachineCheck = now + machinePollMs;
      const endedHow = await machineEnd(deps, console);
      if (endedHow !== undefined) return endingOf(endedHow, await markerIn(deps.paths.serialLog));
      await deps.heal();
    }
    if (views.length === 0 && now >= deadline - settleMs) await lookInto(views, console);
    await pause(Math.min(serialPollMs, Math.max(1, deadline - now)));
  }
}

function endingOf(endedHow: string, marker: string | undefined): Ending {
  // It may have printed its marker and switched itself off between two looks.
  return marker === undefined ? { ending: 'guest-ended', endedHow } : { ending: 'marker', marker };
}

/** How the machine has ended, in words; undefined while it runs. */
async function machineEnd(deps: BootWatchDeps, console: MachineConsole): Promise<string | undefined> {
  if (!(await deps.isMachineRunning())) return 'QEMU ended';
  const status = await console.status().catch(onlyOutage);
  switch (status) {
    case 'shutdown':
      return 'The machine switched itself off or crashed (it asked for a power-off or a reset)';
    case 'guest-panicked':
      return 'The guest panicked';
    case 'internal-error':
    case 'io-error':
      return `The machine stopped (${status})`;
    default:
      // Running, or a QEMU that did not answer in time: the limit ends that.
      return undefined;
  }
}

async function lookInto(views: ConsoleView[], console: MachineConsole): Promise<void> {
  const view = await console.look().catch(onlyOutage);
  if (view !== undefined) views.push(view);
}

async function lastLook(console: MachineConsole, ending: Ending): Promise<ConsoleView> {
  const deadline = performance.now() + (ending.ending === 'marker' ? firstPictureMs : 0);
  for (;;) {
    const view = await console.look();
    if (!isBlank(view.picture) || performance.now() >= deadline) return view;
    await pause(serialPollMs);
  }
}

/** A console that cannot be asked is an outage, which the verdict takes into account as "not seen"; anything else is our bug. */
function onlyOutage(error: unknown): undefined {
  if (error instanceof OutageError || (error instanceof Error && error.name === 'QmpError')) return undefined;
  throw error;
}

/**
 * How many reads of the machine failed, as QEMU counts them, or in words why that cannot be known. A busy QEMU may be late once: then it
 * is asked again on a new connection.
 */
async function countFailedReads(deps: BootWatchDeps, console: MachineConsole): Promise<number | string> {
  const first = await console.failedReadCount().catch(onlyOutage);
  if (first !== undefined) return first;
  // QEMU serves one connection at a time.
  console.close();
  if (!(await deps.isMachineRunning())) return 'QEMU ended';
  const again = await openConsole(deps.paths).catch(onlyOutage);
  if (again === undefined) return 'QEMU cannot be asked';
  const second = await again.failedReadCount().catch(onlyOutage);
  again.close();
  return second ?? 'QEMU did not answer';
}

function diskServerLog(deps: BootWatchDeps): Promise<string> {
  return lastLines(deps.paths.diskServerLog, diskServerLogBytesMax);
}

async function gather(deps: BootWatchDeps, ending: Ending, elapsedMs: number) {
  return {
    ending: ending.ending,
    marker: ending.marker,
    endedHow: ending.endedHow ?? '',
    firmware: deps.plan.hardware.firmware,
    lastSerialLines: (await lastLines(deps.paths.serialLog)) || (await lastLines(deps.paths.machineLog)),
    elapsedMs,
    limitMs: deps.limitMs,
  };
}

/** The marker on the serial line, once its line is complete. */
async function markerIn(serialLog: string): Promise<string | undefined> {
  const text = await readStart(serialLog);
  const complete = text.slice(0, text.lastIndexOf('\n') + 1).replaceAll('\r', '');
  return markerPattern.exec(complete)?.[1];
}

async function readStart(file: string): Promise<string> {
  try {
    const handle = await open(file, 'r');
    try {
      const { size } = await handle.stat();
      const length = Math.min(size, serialBytesMax);
      const { buffer, bytesRead } = await handle.read(Buffer.alloc(length), 0, length, 0);
      return buffer.toString('latin1', 0, bytesRead);
    } finally {
      await handle.close();
    }
  } catch (error) {
    if (isCode(error, 'ENOENT')) return '';
    throw error;
  }
}

async function keepPicture(paths: DrillFolder, view: ConsoleView): Promise<string> {
  await mkdir(path.dirname(paths.keptPicture), { recursive: true, mode: 0o700 });
  await writeFile(`${paths.keptPicture}.new`, encodePng(view.picture));
  await rename(`${paths.keptPicture}.new`, paths.keptPicture);
  return paths.keptPicture;
}

/** Keeps what the machine said, up to a limit; the drill's folder is about to go. */
export async function keepSerialLog(paths: DrillFolder): Promise<void> {
  try {
    const text = await readFile(paths.serialLog);
    await writeFile(paths.keptSerialLog, text.subarray(-serialBytesMax), { mode: 0o600 });
  } catch (error) {
    if (!isCode(error, 'ENOENT')) throw error;
  }
}

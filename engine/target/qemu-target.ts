import { execFile } from 'node:child_process';
import { stat } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { promisify } from 'node:util';
import type { DrillId } from '../../domain/ids.ts';
import { OutageError } from '../../domain/outage.ts';
import { probeAccelerator, qemuMissing } from './accelerator.ts';
import { keepSerialLog, watchBoot } from './boot-watch.ts';
import { type OpenDisk, verifyByReading } from './disk-reading.ts';
import { type DiskServerLaunch, endDiskServers, ensureDiskServer, findDiskServers } from './disk-server-process.ts';
import { type DrillFolder, deleteDrillFolder, drillsIn, lastLines, makeDrillFolder, placeOf } from './drill-folder.ts';
import { endMachines, ensureMachine, findMachines, machineStartedAtMs } from './drill-machine.ts';
import { fillDisks, type HydrationDeps } from './hydration.ts';
import type { HostLimits } from './machine-arguments.ts';
import { createDrillOverlays, readBackedDisks } from './overlays.ts';
import { type FoundProcess, isCode } from './process-search.ts';
import type { BootVerification, DrillCondition, DrillPlan, ProcessCondition, Target } from './target.ts';

const run = promisify(execFile);

export type QemuTargetDeps = {
  /** Holds `drills/<drillId>/` while they run and `pictures/` for good. */
  readonly stateFolder: string;
  /** Default: `qemu-system-x86_64` and `qemu-img` from PATH. */
  readonly qemuPath?: string;
  readonly qemuImgPath?: string;
  readonly diskServer: DiskServerLaunch;
  readonly hostLimits: HostLimits;
  /** Opens a disk of the vault in this process: for drills that read the disks without booting them. */
  readonly openDisk: OpenDisk;
};

/** Half of the host's memory and all of its processors: what one drill may take unless the operator says otherwise. */
export function defaultHostLimits(): HostLimits {
  return { memoryBytes: Math.floor(os.totalmem() / 2), cpuCount: os.availableParallelism() };
}

/** Drills on this host with QEMU. Linux only: processes are found through /proc. */
export function createQemuTarget(deps: QemuTargetDeps): Target {
  const qemuPath = deps.qemuPath ?? 'qemu-system-x86_64';
  const qemuImgPath = deps.qemuImgPath ?? 'qemu-img';
  const pathsOf = (plan: DrillPlan) => placeOf(deps.stateFolder, plan);
  const accelerator = () => probeAccelerator({ qemuPath, cacheFolder: deps.stateFolder });
  const healDrill = async (plan: DrillPlan) => {
    const paths = pathsOf(plan);
    const isOrphaned = (await findMachines(plan)).length > 0 && (await findDiskServers(paths)).length === 0;
    if (!isOrphaned) return 'nothing-to-do';
    await ensureDiskServer(plan, paths, deps.diskServer);
    return 'disk-server-restarted';
  };
  const startMachine = async (plan: DrillPlan) => {
    const launch = { qemuPath, qemuImgPath, hostLimits: deps.hostLimits, accelerator: await accelerator() };
    return ensureMachine(plan, pathsOf(plan), launch);
  };
  const hydration: HydrationDeps = {
    serveDisks: (plan) => ensureDiskServer(plan, pathsOf(plan), deps.diskServer),
    stopServing: (plan) => endDiskServers(pathsOf(plan)),
    isRunning: async (plan) => (await findMachines(plan)).length > 0,
    backedDisks: (plan) => readBackedDisks(plan, pathsOf(plan), qemuImgPath),
    startMachine,
  };
  return {
    describe: async () => {
      const { kind, why } = await accelerator();
      return {
        target: `QEMU on ${os.hostname()}`,
        network: 'isolated (no network card)',
        accelerator: `${kind} (${why})`,
        memoryBytesMax: deps.hostLimits.memoryBytes,
      };
    },
    check: async () => {
      await checkProgram(qemuPath);
      await checkProgram(qemuImgPath);
      await accelerator();
    },
    prepareDrill: (plan) => makeDrillFolder(pathsOf(plan)),
    startDiskServer: (plan) => ensureDiskServer(plan, pathsOf(plan), deps.diskServer),
    stopDiskServer: (plan) => endDiskServers(pathsOf(plan)),
    createOverlays: (plan) => createDrillOverlays(plan, pathsOf(plan), qemuImgPath),
    startMachine: async (plan) => {
      await healDrill(plan);
      return startMachine(plan);
    },
    stopMachine: (plan) => endMachines(plan),
    verifyBoot: (plan, { limitMs }) => verifyBoot(plan, pathsOf(plan), { limitMs, heal: () => healDrill(plan) }),
    verifyWithoutBoot: (plan, onProgress) => verifyByReading(plan, deps.openDisk, onProgress),
    removeDrill: (plan) => removeDrill(plan, pathsOf(plan)),
    drillState: (plan) => drillState(plan, pathsOf(plan)),
    healDrill,
    fillDisks: (plan) => fillDisks(plan, pathsOf(plan), hydration),
    drillsPresent: (): Promise<readonly DrillId[]> => drillsIn(deps.stateFolder),
  };
}

async function checkProgram(program: string): Promise<void> {
  try {
    await run(program, ['--version'], { timeout: 10_000 });
  } catch (cause) {
    if (isCode(cause, 'ENOENT')) throw qemuMissing(program, cause);
    throw new OutageError(`run ${program} --version`, { cause, retryable: true });
  }
}

async function verifyBoot(
  plan: DrillPlan,
  paths: DrillFolder,
  options: { limitMs: number; heal: () => Promise<unknown> },
): Promise<BootVerification> {
  const startedAtMs = await machineStartedAtMs(paths);
  if (startedAtMs === undefined) {
    const explanation = 'The machine was not started.';
    return {
      kind: 'failed',
      verified: false,
      why: 'not-running',
      explanation,
      consolePicture: undefined,
      elapsedMs: 0,
    };
  }
  const isMachineRunning = async () => (await findMachines(plan)).length > 0;
  return watchBoot({ plan, paths, startedAtMs, isMachineRunning, ...options });
}

/** Machine first, then its disks, then their files; then looks whether anything is left. */
async function removeDrill(plan: DrillPlan, paths: DrillFolder): Promise<void> {
  await endMachines(plan);
  await endDiskServers(paths);
  await keepSerialLog(paths);
  await deleteDrillFolder(paths);
  const state = await drillState(plan, paths);
  const left = [
    ...(state.machine.kind === 'running' ? [`process ${state.machine.pid} (the machine)`] : []),
    ...(state.diskServer.kind === 'running' ? [`process ${state.diskServer.pid} (the disk server)`] : []),
    ...(state.folder === 'present' ? [paths.folder] : []),
    ...((await isThere(paths.socketFolder)) ? [paths.socketFolder] : []),
  ];
  if (left.length === 0) return;
  throw new OutageError(`remove drill ${plan.drillId}: this is left: ${left.join(', ')}`, {
    retryable: true,
    nextStep: 'Clean up again; when that does not help, end the processes and delete the folders by hand.',
  });
}

async function drillState(plan: DrillPlan, paths: DrillFolder): Promise<DrillCondition> {
  const [machines, servers] = await Promise.all([findMachines(plan), findDiskServers(paths)]);
  const wasServing = await isThere(paths.diskServerReady);
  const wasStarted = (await machineStartedAtMs(paths)) !== undefined;
  return {
    folder: (await isThere(paths.folder)) ? 'present' : 'absent',
    diskServer: await conditionOf(servers, wasServing, paths.diskServerLog),
    machine: await conditionOf(machines, wasStarted, paths.machineLog),
  };
}

async function conditionOf(found: FoundProcess[], wasStarted: boolean, log: string): Promise<ProcessCondition> {
  const first = found[0];
  if (first !== undefined) return { kind: 'running', pid: first.pid };
  return wasStarted ? { kind: 'dead', lastLines: await lastLines(log) } : { kind: 'not-started' };
}

async function isThere(place: string): Promise<boolean> {
  try {
    await stat(path.resolve(place));
    return true;
  } catch (error) {
    if (isCode(error, 'ENOENT')) return false;
    throw error;
  }
}

import { access, copyFile, readFile, rename, writeFile } from 'node:fs/promises';
import { z } from 'zod';
import { OutageError } from '../../domain/outage.ts';
import { connectQmp } from '../../protocol/qmp.ts';
import { type Accelerator, qemuInstallCommand } from './accelerator.ts';
import { type DrillFolder, lastLines } from './drill-folder.ts';
import {
  type FirmwareFiles,
  firmwareArguments,
  grantHardware,
  type HostLimits,
  machineArguments,
} from './machine-arguments.ts';
import { readBackedDisks } from './overlays.ts';
import { endProcess, type FoundProcess, findProcesses, isCode, startDetached } from './process-search.ts';
import { type DrillPlan, machineProcessName, type StartedMachine } from './target.ts';

const machineRecord = z.object({
  startedAtMs: z.number(),
  accelerator: z.enum(['kvm', 'tcg']),
  memoryBytes: z.number(),
  cpuCount: z.number(),
  notes: z.array(z.string()),
});
type MachineRecord = z.infer<typeof machineRecord>;

export type MachineLaunch = {
  readonly qemuPath: string;
  readonly qemuImgPath: string;
  readonly hostLimits: HostLimits;
  readonly accelerator: Accelerator;
};

/** QEMU listens on its QMP socket once it has opened all disks and made the machine. */
const startLimitMs = 30_000;
const endLimitMs = 5_000;

/** Where distributions put UEFI firmware for QEMU. */
const firmwarePlaces: readonly FirmwareFiles[] = [
  { code: '/usr/share/OVMF/OVMF_CODE_4M.fd', variables: '/usr/share/OVMF/OVMF_VARS_4M.fd' },
  { code: '/usr/share/OVMF/OVMF_CODE.fd', variables: '/usr/share/OVMF/OVMF_VARS.fd' },
  { code: '/usr/share/edk2/ovmf/OVMF_CODE.fd', variables: '/usr/share/edk2/ovmf/OVMF_VARS.fd' },
];

export function findMachines(plan: DrillPlan): Promise<FoundProcess[]> {
  return findProcesses(['-name', machineProcessName(plan)]);
}

/** Starts the drill's machine unless it runs. One that has ended is started anew, as a machine is after a power cut. */
export async function ensureMachine(
  plan: DrillPlan,
  paths: DrillFolder,
  launch: MachineLaunch,
): Promise<StartedMachine> {
  const known = await readRecord(paths);
  const isUp = (await findMachines(plan)).length > 0;
  if (isUp && known !== undefined) return { vmName: machineProcessName(plan), ...known };
  const granted = grantHardware(plan.hardware, launch.hostLimits);
  const firmware = granted.firmware === 'uefi' ? await prepareFirmware(paths) : [];
  const accelerator = launch.accelerator.kind;
  const { memoryBytes, cpuCount, notes } = granted;
  // Before the start: a machine that outlives a crash of ours right here is found by its name and has its record.
  const record = { startedAtMs: Date.now(), accelerator, memoryBytes, cpuCount, notes: [...notes] };
  await writeRecord(paths, record);
  if (!isUp) {
    const backedDisks = await readBackedDisks(plan, paths, launch.qemuImgPath);
    const words = [...machineArguments(plan, paths, { ...granted, accelerator, backedDisks }), ...firmware];
    const child = await startDetached([launch.qemuPath, ...words], paths.machineLog);
    await waitUntilMade(paths, child);
  }
  return { vmName: machineProcessName(plan), ...record };
}

export async function endMachines(plan: DrillPlan): Promise<void> {
  for (const machine of await findMachines(plan)) await endProcess(machine, endLimitMs);
}

/** When the machine was started; undefined when it never was. */
export async function machineStartedAtMs(paths: DrillFolder): Promise<number | undefined> {
  return (await readRecord(paths))?.startedAtMs;
}

async function waitUntilMade(paths: DrillFolder, child: { hasEnded(): boolean }): Promise<void> {
  const failed = new AbortController();
  const watch = setInterval(() => child.hasEnded() && failed.abort(), 20);
  const ended = new Promise<'ended'>((resolve) => failed.signal.addEventListener('abort', () => resolve('ended')));
  const connecting = connectQmp(paths.qmpSocket, { timeoutMs: startLimitMs });
  try {
    const first = await Promise.race([connecting, ended]);
    if (first !== 'ended') {
      first.close();
      return;
    }
    // It goes on trying until its own deadline; its failure is the one that is thrown below.
    connecting.then((connection) => connection.close(), ignoreLateFailure);
    throw new OutageError(
      `start the drill's machine: QEMU ended at once. It said: ${await lastLines(paths.machineLog)}`,
      {
        retryable: true,
        nextStep: 'Read what QEMU said; when the disk server is gone, starting the step again brings it back.',
      },
    );
  } finally {
    clearInterval(watch);
  }
}

function ignoreLateFailure(): void {
  // Nobody waits for this connection any more.
}

async function prepareFirmware(paths: DrillFolder): Promise<string[]> {
  for (const files of firmwarePlaces) {
    if (!(await canRead(files.code))) continue;
    if (!(await canRead(paths.firmwareVariables))) await copyFile(files.variables, paths.firmwareVariables);
    return firmwareArguments(paths, files);
  }
  throw new OutageError('start a machine with UEFI firmware: the firmware is not installed on this host', {
    retryable: false,
    nextStep: `Install it with: ${qemuInstallCommand.replace('qemu-utils', 'qemu-utils ovmf')}`,
  });
}

async function canRead(file: string): Promise<boolean> {
  try {
    await access(file);
    return true;
  } catch (error) {
    if (isCode(error, 'ENOENT')) return false;
    throw error;
  }
}

async function writeRecord(paths: DrillFolder, record: MachineRecord): Promise<void> {
  await writeFile(`${paths.machineRecord}.new`, JSON.stringify(record), { mode: 0o600 });
  await rename(`${paths.machineRecord}.new`, paths.machineRecord);
}

async function readRecord(paths: DrillFolder): Promise<MachineRecord | undefined> {
  try {
    return machineRecord.parse(JSON.parse(await readFile(paths.machineRecord, 'utf8')));
  } catch (error) {
    if (isCode(error, 'ENOENT')) return undefined;
    throw error;
  }
}

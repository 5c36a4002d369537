import { formatBytes, mebibyte } from '../../domain/units.ts';
import type { MachineHardware } from '../../protocol/point-manifest.ts';
import { type DrillFolder, exportName } from './drill-folder.ts';
import { type DrillPlan, machineProcessName } from './target.ts';

/** What this host gives to one drill at most. */
export type HostLimits = { readonly memoryBytes: number; readonly cpuCount: number };

export type GrantedHardware = {
  readonly memoryBytes: number;
  readonly cpuCount: number;
  readonly firmware: MachineHardware['firmware'];
  readonly notes: readonly string[];
};

export type FirmwareFiles = { readonly code: string; readonly variables: string };

/** For how long the machine waits for a disk server that died before it sees an I/O error. */
export const reconnectLimitSeconds = 300;

/** The protected machine's hardware as far as this host can give it; the notes say what is less. */
export function grantHardware(asked: MachineHardware, limits: HostLimits): GrantedHardware {
  const memoryBytes = Math.min(asked.memoryBytes, limits.memoryBytes);
  const cpuCount = Math.min(asked.cpuCount, limits.cpuCount);
  const lessMemory = `It has ${formatBytes(memoryBytes)} of memory instead of ${formatBytes(asked.memoryBytes)}: this host gives a drill no more.`;
  const fewerProcessors = `It has ${cpuCount} processors instead of ${asked.cpuCount}: this host gives a drill no more.`;
  return {
    memoryBytes,
    cpuCount,
    firmware: asked.firmware,
    notes: [
      ...(memoryBytes < asked.memoryBytes ? [lessMemory] : []),
      ...(cpuCount < asked.cpuCount ? [fewerProcessors] : []),
    ],
  };
}

/**
 * QEMU's command line for a drill's machine: no network card at all, no way to start programs on the host (seccomp), disks on virtio in
 * boot order over overlays. It pauses where it would power off or crash, so that its last picture can be seen; a drill also where it would
 * start itself again.
 */
export function machineArguments(
  plan: DrillPlan,
  paths: DrillFolder,
  granted: GrantedHardware & { readonly accelerator: 'kvm' | 'tcg'; readonly backedDisks: readonly boolean[] },
): string[] {
  const isFailover = plan.purpose === 'failover';
  return [
    ...['-name', machineProcessName(plan), '-nodefaults', '-no-user-config'],
    ...['-sandbox', 'on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny'],
    ...['-machine', granted.firmware === 'uefi' ? 'q35' : 'pc', '-accel', granted.accelerator],
    ...['-cpu', granted.accelerator === 'kvm' ? 'host' : 'max'],
    ...['-m', `${Math.max(1, Math.floor(granted.memoryBytes / mebibyte))}`, '-smp', `${granted.cpuCount}`],
    ...['-vga', 'std', '-display', 'none', '-monitor', 'none', '-nic', 'none'],
    ...['-chardev', `file,id=serial0,append=on,path=${escapeComma(paths.serialLog)}`, '-serial', 'chardev:serial0'],
    ...['-qmp', `unix:${escapeComma(paths.qmpSocket)},server=on,wait=off`],
    ...['-action', `reboot=${isFailover ? 'reset' : 'shutdown'},shutdown=pause,panic=pause`],
    ...plan.disks.flatMap((_disk, index) =>
      diskArguments(paths, { index, isBacked: granted.backedDisks[index] ?? true, isThrownAway: !isFailover }),
    ),
  ];
}

/** Code is shared and read-only; what the firmware remembers is the drill's own copy. */
export function firmwareArguments(paths: DrillFolder, files: FirmwareFiles): string[] {
  return [
    ...['-drive', `if=pflash,format=raw,unit=0,readonly=on,file=${escapeComma(files.code)}`],
    ...['-drive', `if=pflash,format=raw,unit=1,file=${escapeComma(paths.firmwareVariables)}`],
  ];
}

type DiskShape = {
  readonly index: number;
  /** False once all of its blocks are its own. */
  readonly isBacked: boolean;
  readonly isThrownAway: boolean;
};

/** A machine's own disk, and what it is served from the vault beneath it: names of nodes in its QEMU. */
export const overlayNode = (index: number): string => `overlay${index}`;
export const servedNode = (index: number): string => `served${index}`;

function diskArguments(paths: DrillFolder, { index, isBacked, isThrownAway }: DiskShape): string[] {
  const served = {
    driver: 'nbd',
    'node-name': servedNode(index),
    server: { type: 'unix', path: paths.diskSocket },
    export: exportName(index),
    'read-only': true,
    'reconnect-delay': reconnectLimitSeconds,
  };
  const overlay = {
    driver: 'qcow2',
    'node-name': overlayNode(index),
    file: { driver: 'file', filename: paths.overlay(index) },
    backing: isBacked ? servedNode(index) : null,
    discard: 'unmap',
    // What is thrown away in every case need not survive a power cut.
    ...(isThrownAway ? { cache: { 'no-flush': true } } : {}),
  };
  const device = `virtio-blk-pci,drive=${overlayNode(index)},id=disk${index},bootindex=${index}`;
  const backing = isBacked ? ['-blockdev', JSON.stringify(served)] : [];
  return [...backing, '-blockdev', JSON.stringify(overlay), '-device', device];
}

/** QEMU's option syntax doubles a comma that belongs to a value. */
function escapeComma(value: string): string {
  return value.replaceAll(',', ',,');
}

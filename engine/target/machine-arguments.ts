import { formatBytes, mebibyte } from '../../domain/units.ts';
import type { MachineHardware } from '../../protocol/point-manifest.ts';
import { type DrillFolder, exportName } from './drill-folder.ts';
import { type DrillPlan, drillMachineName } from './target.ts';

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
 * boot order over throw-away overlays. It pauses where it would power off or crash, so that its last picture can be seen.
 */
export function machineArguments(
  plan: DrillPlan,
  paths: DrillFolder,
  granted: GrantedHardware & { readonly accelerator: 'kvm' | 'tcg' },
): string[] {
  return [
    ...['-name', drillMachineName(plan.drillId), '-nodefaults', '-no-user-config'],
    ...['-sandbox', 'on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny'],
    ...['-machine', granted.firmware === 'uefi' ? 'q35' : 'pc', '-accel', granted.accelerator],
    ...['-cpu', granted.accelerator === 'kvm' ? 'host' : 'max'],
    ...['-m', `${Math.max(1, Math.floor(granted.memoryBytes / mebibyte))}`, '-smp', `${granted.cpuCount}`],
    ...['-vga', 'std', '-display', 'none', '-monitor', 'none', '-nic', 'none'],
    ...['-chardev', `file,id=serial0,append=on,path=${escapeComma(paths.serialLog)}`, '-serial', 'chardev:serial0'],
    ...['-qmp', `unix:${escapeComma(paths.qmpSocket)},server=on,wait=off`],
    ...['-action', 'reboot=shutdown,shutdown=pause,panic=pause'],
    ...plan.disks.flatMap((_disk, index) => diskArguments(paths, index)),
  ];
}

/** Code is shared and read-only; what the firmware remembers is the drill's own copy. */
export function firmwareArguments(paths: DrillFolder, files: FirmwareFiles): string[] {
  return [
    ...['-drive', `if=pflash,format=raw,unit=0,readonly=on,file=${escapeComma(files.code)}`],
    ...['-drive', `if=pflash,format=raw,unit=1,file=${escapeComma(paths.firmwareVariables)}`],
  ];
}

function diskArguments(paths: DrillFolder, index: number): string[] {
  const served = {
    driver: 'nbd',
    'node-name': `served${index}`,
    server: { type: 'unix', path: paths.diskSocket },
    export: exportName(index),
    'read-only': true,
    'reconnect-delay': reconnectLimitSeconds,
  };
  const overlay = {
    driver: 'qcow2',
    'node-name': `overlay${index}`,
    file: { driver: 'file', filename: paths.overlay(index) },
    backing: `served${index}`,
    discard: 'unmap',
    // The overlay is thrown away in every case, so nothing in it need survive a power cut.
    cache: { 'no-flush': true },
  };
  const device = `virtio-blk-pci,drive=overlay${index},id=disk${index},bootindex=${index}`;
  return ['-blockdev', JSON.stringify(served), '-blockdev', JSON.stringify(overlay), '-device', device];
}

/** QEMU's option syntax doubles a comma that belongs to a value. */
function escapeComma(value: string): string {
  return value.replaceAll(',', ',,');
}

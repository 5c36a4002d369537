import { existsSync, readFileSync } from 'node:fs';
import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { startProcess } from './background-process.ts';
import { bootMarker } from './linux-guest.ts';
import { runCommand, waitUntil } from './measure.ts';

const bootLimitMs = 120_000;

/** Where the guest's disk comes from; `start` makes it readable and is part of the measured time. */
export type BootSource = {
  readonly start: () => Promise<{ readonly backing: readonly string[]; readonly stop: () => Promise<void> }>;
};

/** A plain file: nothing has to be started. */
export function localFileSource(imagePath: string): BootSource {
  return {
    start: async () => ({ backing: ['-F', 'raw', '-b', imagePath], stop: async () => undefined }),
  };
}

/** Seconds from "boot it" to the guest's own word on its serial port that it is up, with a throw-away overlay in both cases. */
export async function secondsToMarker(source: BootSource, folder: string): Promise<number> {
  const serial = join(folder, 'serial.log');
  const overlay = join(folder, 'overlay.qcow2');
  await Promise.all([serial, overlay].map((path) => rm(path, { force: true })));
  const startedAt = performance.now();
  const disk = await source.start();
  try {
    await runCommand(['qemu-img', 'create', '-q', '-f', 'qcow2', ...disk.backing, overlay]);
    const machine = startProcess(machineWords(overlay, serial), join(folder, 'qemu.log'));
    try {
      await waitUntil('the guest to come up', bootLimitMs, () => {
        machine.check();
        return existsSync(serial) && readFileSync(serial, 'latin1').includes(bootMarker);
      });
      return (performance.now() - startedAt) / 1000;
    } finally {
      await machine.stop();
    }
  } finally {
    await disk.stop();
  }
}

/** Always without KVM: the same in both cases, and the same on every machine. */
function machineWords(overlay: string, serial: string): string[] {
  return [
    'qemu-system-x86_64',
    ...['-machine', 'pc,accel=tcg', '-cpu', 'max', '-m', '256', '-smp', '1', '-nodefaults', '-display', 'none'],
    ...['-drive', `file=${overlay},format=qcow2,if=virtio,cache=unsafe`],
    ...['-serial', `file:${serial}`, '-nic', 'none'],
  ];
}

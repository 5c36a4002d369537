import { existsSync, renameSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { mebibyte } from '../domain/units.ts';
import { connectQmp } from '../protocol/qmp.ts';
import { type GuestDisk, makeGuestDisks } from './guest/guest-disk.ts';
import { guestArguments } from './guest/qemu-guest.ts';
import type { Layout } from './layout.ts';
import { createService, endLeftover, type Service } from './service.ts';

/** The demo site's machines. Their disks are small, so that the first replication takes seconds, and large enough to be seen. */
const machines = [
  {
    name: 'vm-7',
    disks: [
      { sizeBytes: 384 * mebibyte, filledBytes: 192 * mebibyte },
      { sizeBytes: 128 * mebibyte, filledBytes: 48 * mebibyte },
    ],
  },
  { name: 'vm-8', disks: [{ sizeBytes: 256 * mebibyte, filledBytes: 96 * mebibyte }] },
] as const;

export const guestNames = machines.map((machine) => machine.name);

/** Makes the disks that are not there yet. qcow2, because its dirty bitmaps survive a clean stop of the guest. */
export async function makeMissingDisks(layout: Layout): Promise<void> {
  for (const machine of machines) {
    const folder = join(layout.guests, machine.name);
    if (existsSync(folder)) continue;
    const unfinished = `${folder}.unfinished`;
    rmSync(unfinished, { recursive: true, force: true });
    await makeGuestDisks({ folder: unfinished, machineName: machine.name, disks: machine.disks, format: 'qcow2' });
    renameSync(unfinished, folder);
  }
}

/** For a host without QEMU: the same machines as plain image files, which nobody writes while they are replicated. */
export async function makeMissingImages(layout: Layout): Promise<{ name: string; paths: string[] }[]> {
  const images: { name: string; paths: string[] }[] = [];
  for (const machine of machines) {
    const folder = join(layout.guests, 'images', machine.name);
    if (!existsSync(folder)) {
      await makeGuestDisks({ folder, machineName: machine.name, disks: machine.disks, format: 'raw' });
    }
    images.push({ name: machine.name, paths: machine.disks.map((_, index) => join(folder, `disk${index}.raw`)) });
  }
  return images;
}

/** Starts every guest; each is a QEMU process of its own that is started again when it dies. */
export async function startGuests(order: {
  readonly layout: Layout;
  /** Names of machines that run elsewhere. */
  readonly leaveOff: readonly string[];
  readonly restartDelayMsMax?: number | undefined;
  readonly onUnexpectedEnd: (message: string) => void;
}): Promise<{ readonly name: string; readonly service: Service }[]> {
  const { layout, leaveOff, restartDelayMsMax, onUnexpectedEnd } = order;
  const guests: { name: string; service: Service }[] = [];
  for (const machine of machines.filter(({ name }) => !leaveOff.includes(name))) {
    const name = `guest-${machine.name}`;
    await endLeftover(layout.processes, name);
    const service = createService({
      name,
      command: 'qemu-system-x86_64',
      arguments: guestArguments({
        machineName: machine.name,
        disks: machine.disks.map((disk, index) => diskOf(layout, machine.name, { index, sizeBytes: disk.sizeBytes })),
        qmpSocketPaths: [join(layout.sockets, `${machine.name}.qmp`), controlSocket(layout, machine.name)],
        serialPath: join(layout.guests, machine.name, 'serial.log'),
      }),
      logFolder: layout.logs,
      processFolder: layout.processes,
      restartDelayMsMax,
      onUnexpectedEnd,
    });
    service.start();
    guests.push({ name, service });
  }
  return guests;
}

function diskOf(layout: Layout, machine: string, disk: { index: number; sizeBytes: number }): GuestDisk {
  const path = join(layout.guests, machine, `disk${disk.index}.qcow2`);
  return { path, format: 'qcow2', sizeBytes: disk.sizeBytes };
}

/** The agent has a monitor of its own; this one is for the demo, and `.qmp` is what the agent looks for. */
function controlSocket(layout: Layout, machine: string): string {
  return join(layout.sockets, `${machine}.control`);
}

/** How many writes the guest has sent to its disks since it was started: proof that it is at work. */
export async function guestWriteCount(layout: Layout, machine: string): Promise<number> {
  const monitor = await connectQmp(controlSocket(layout, machine), { timeoutMs: 5000 });
  try {
    const devices = await monitor.execute('query-blockstats', {});
    return writeOperations(devices);
  } finally {
    await monitor.close();
  }
}

function writeOperations(devices: unknown): number {
  if (!Array.isArray(devices)) return 0;
  return devices.reduce<number>((sum, device: { stats?: { wr_operations?: unknown } }) => {
    const count = device.stats?.wr_operations;
    return sum + (typeof count === 'number' ? count : 0);
  }, 0);
}

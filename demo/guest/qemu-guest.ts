import type { GuestDisk } from './guest-disk.ts';

/** How a demo guest is started as a source machine. */
export type GuestLaunch = {
  /** What `ps` and QEMU's own messages call it. */
  readonly machineName: string;
  readonly disks: readonly GuestDisk[];
  /** Unix sockets for QMP; each serves one client at a time: one for the agent, others for people and tests. */
  readonly qmpSocketPaths: readonly string[];
  readonly serialPath: string;
  readonly memoryMib?: number;
  /** A pidfile, when the starter wants one. */
  readonly pidPath?: string;
};

/** The lines that the guest says on its serial line once it has read its disks. */
export const guestReadyLine = 'LIFEBOAT-READY';

/** What a guest said about its disks at boot; `disk1` is undefined for a machine with one disk. */
export type GuestMarker = {
  readonly machineName: string;
  readonly disk0: number;
  readonly disk1: number | undefined;
  readonly agree: boolean;
};

/**
 * Arguments of `qemu-system-x86_64` for a demo guest: no picture window, no network, disks `disk0`, `disk1` on virtio.
 *
 * TCG, because /dev/kvm may exist and still hang a guest. Source: REPLICATION 4
 */
export function guestArguments(launch: GuestLaunch): string[] {
  return [
    ...[
      '-name',
      launch.machineName,
      '-nodefaults',
      '-no-user-config',
      '-accel',
      'tcg',
      '-m',
      `${launch.memoryMib ?? 32}`,
    ],
    ...['-display', 'none', '-vga', 'std', '-serial', `file:${launch.serialPath}`, '-monitor', 'none'],
    ...(launch.pidPath === undefined ? [] : ['-pidfile', launch.pidPath]),
    ...launch.qmpSocketPaths.flatMap((socketPath) => ['-qmp', `unix:${escapeComma(socketPath)},server=on,wait=off`]),
    ...launch.disks.flatMap(diskArguments),
  ];
}

// Without flushes: the BIOS has each sector made durable while it spins (measured: 8 % of a processor, 6 % without).
// A demo machine may lose its last counters when the host loses power; it loses nothing when QEMU is killed.
function diskArguments(disk: GuestDisk, index: number): string[] {
  const cache = { 'no-flush': true };
  const file = { driver: 'file', filename: disk.path, 'node-name': `file${index}`, discard: 'unmap', cache };
  const node = { driver: disk.format, file: `file${index}`, 'node-name': `node${index}`, discard: 'unmap' };
  const device = `virtio-blk-pci,drive=node${index},id=disk${index},bootindex=${index}`;
  return ['-blockdev', JSON.stringify(file), '-blockdev', JSON.stringify(node), '-device', device];
}

/** QEMU's option syntax doubles a comma that belongs to a value. */
function escapeComma(value: string): string {
  return value.replaceAll(',', ',,');
}

/** Finds the marker in a serial line's text; undefined while it has not come. */
export function parseGuestMarker(serialText: string): GuestMarker | undefined {
  const found = /LIFEBOAT-MARKER machine=(\S+) disk0=(\d+) disk1=(\d+|none) agree=(yes|no)\r\n/.exec(serialText);
  if (found === null) return undefined;
  const [, machineName = '', disk0, disk1, agree] = found;
  return {
    machineName,
    disk0: Number(disk0),
    disk1: disk1 === 'none' ? undefined : Number(disk1),
    agree: agree === 'yes',
  };
}

import { z } from 'zod';
import { OutageError } from '../../domain/outage.ts';
import type { MachineHardware } from '../../protocol/point-manifest.ts';
import { type QmpConnection, QmpError } from '../../protocol/qmp.ts';

/** One dirty bitmap on one node. */
export type NodeBitmap = {
  readonly node: string;
  readonly name: string;
  /** It takes note of new writes. */
  readonly isRecording: boolean;
  /** QEMU ended without saving it; it can only be removed. */
  readonly isInconsistent: boolean;
};

/** A disk of the guest as QEMU presents it now. */
export type GuestDevice = {
  /** The device's id, e.g. `disk0`: stable over restarts. */
  readonly key: string;
  /** Its object, e.g. `/machine/peripheral/disk0`. */
  readonly qomPath: string;
  /** The block node that the device uses now: the guest's own, or one of ours that a killed agent left. */
  readonly node: string;
  /** Driver of that node, e.g. `qcow2`. */
  readonly driver: string;
  readonly sizeBytes: number;
};

const nodeInfo = z.object({
  'node-name': z.string(),
  drv: z.string(),
  ro: z.boolean(),
  image: z.object({ 'virtual-size': z.number() }),
  'dirty-bitmaps': z
    .array(
      z.object({
        name: z.string().default(''),
        recording: z.boolean(),
        inconsistent: z.boolean().default(false),
      }),
    )
    .default([]),
});
const blockDevices = z.array(
  z.object({ qdev: z.string().optional(), removable: z.boolean(), inserted: nodeInfo.optional() }),
);
const blockNodes = z.array(nodeInfo);

/**
 * The guest's writable disks, in boot order. CD drives, empty drives and firmware flash are no disks.
 *
 * @throws OutageError when a writable disk has no id: leaving it out would make points without it
 */
export async function listGuestDevices(qmp: QmpConnection): Promise<GuestDevice[]> {
  const found = blockDevices.parse(await qmp.execute('query-block'));
  const devices: (GuestDevice & { readonly bootIndex: number })[] = [];
  for (const { qdev, removable, inserted } of found) {
    if (removable || inserted === undefined || inserted.ro || qdev === undefined || /flash/.test(qdev)) continue;
    const key = keyOf(qdev);
    const qomPath = `/machine/peripheral/${key}`;
    devices.push({
      key,
      qomPath,
      node: inserted['node-name'],
      driver: inserted.drv,
      sizeBytes: inserted.image['virtual-size'],
      bootIndex: await bootIndexOf(qmp, qomPath),
    });
  }
  // The sort is stable: without boot indices QEMU's own order stays.
  return devices.sort((a, b) => a.bootIndex - b.bootIndex).map(({ bootIndex: _, ...device }) => device);
}

function keyOf(qdev: string): string {
  const named = /^(?:\/machine\/peripheral\/)?([^/]+)(?:\/.*)?$/.exec(qdev)?.[1];
  if (named !== undefined && qdev !== '') return named;
  throw new OutageError(`the guest has a disk without an id (${qdev})`, {
    retryable: false,
    nextStep: 'Give each -device of a disk an id, for example id=disk0, and start the machine again.',
  });
}

async function bootIndexOf(qmp: QmpConnection, qomPath: string): Promise<number> {
  const index = await optionalProperty(qmp, qomPath, 'bootindex');
  return typeof index === 'number' && index >= 0 ? index : Number.MAX_SAFE_INTEGER;
}

/** A property that not every device or machine type has; undefined then. */
async function optionalProperty(qmp: QmpConnection, qomPath: string, property: string): Promise<unknown> {
  try {
    return await qmp.execute('qom-get', { path: qomPath, property });
  } catch (error) {
    if (error instanceof QmpError) return undefined;
    throw error;
  }
}

/** All named block nodes with their bitmaps. */
export async function listNodes(
  qmp: QmpConnection,
): Promise<{ readonly names: readonly string[]; readonly bitmaps: readonly NodeBitmap[] }> {
  const nodes = blockNodes.parse(await qmp.execute('query-named-block-nodes', { flat: true }));
  const bitmaps = nodes.flatMap((node) =>
    node['dirty-bitmaps'].map((bitmap) => ({
      node: node['node-name'],
      name: bitmap.name,
      isRecording: bitmap.recording,
      isInconsistent: bitmap.inconsistent,
    })),
  );
  return { names: nodes.map((node) => node['node-name']), bitmaps };
}

/** Memory, processors and firmware, as a target needs them to start the machine again. */
export async function readHardware(qmp: QmpConnection): Promise<MachineHardware> {
  const memory = z.object({ 'base-memory': z.number(), 'plugged-memory': z.number().default(0) });
  const { 'base-memory': baseBytes, 'plugged-memory': pluggedBytes } = memory.parse(
    await qmp.execute('query-memory-size-summary'),
  );
  const processors = z.array(z.unknown()).parse(await qmp.execute('query-cpus-fast'));
  const flash = await optionalProperty(qmp, '/machine', 'pflash0');
  const image = await optionalProperty(qmp, '/machine', 'firmware');
  const isUefi = (typeof flash === 'string' && flash !== '') || /ovmf|edk2|efi/i.test(String(image ?? ''));
  return {
    memoryBytes: baseBytes + pluggedBytes,
    cpuCount: Math.max(1, processors.length),
    firmware: isUefi ? 'uefi' : 'bios',
  };
}

/**
 * Refuses a QEMU in which a capture could harm its guest.
 *
 * @throws OutageError before 7.1 (a view could not be given up in favour of the guest), and before 9.1 when the machine has I/O threads: the
 * NBD server of Debian 12's 7.2 ends QEMU, and the guest with it, when a client of a disk in an I/O thread hangs up (tried)
 */
export async function refuseUnsafeQemu(qmp: QmpConnection): Promise<void> {
  const schema = z.object({ qemu: z.object({ major: z.number(), minor: z.number() }) });
  const { qemu } = schema.parse(await qmp.execute('query-version'));
  const isBefore = (major: number, minor: number) => qemu.major < major || (qemu.major === major && qemu.minor < minor);
  if (isBefore(7, 1)) {
    throw new OutageError(`QEMU ${qemu.major}.${qemu.minor} cannot give up a view in favour of its guest`, {
      retryable: false,
      nextStep: 'Run this machine with QEMU 7.1 or newer, or protect its disk image files instead.',
    });
  }
  const ioThreads = z.array(z.unknown()).parse(await qmp.execute('query-iothreads'));
  if (ioThreads.length > 0 && isBefore(9, 1)) {
    throw new OutageError(
      `reading the disks of a machine with I/O threads would crash QEMU ${qemu.major}.${qemu.minor}`,
      {
        retryable: false,
        nextStep: 'Start this machine without iothread objects, or with QEMU 9.1 or newer.',
      },
    );
  }
}

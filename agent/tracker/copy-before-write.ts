import { readFile } from 'node:fs/promises';
import { z } from 'zod';
import { OutageError } from '../../domain/outage.ts';
import { type QmpConnection, QmpError } from '../../protocol/qmp.ts';
import { type GuestDevice, listGuestDevices, listNodes } from './qemu-machine.ts';

/**
 * What a capture puts into the guest's block graph, and takes out again:
 *
 * ```
 * device ──▶ gate ──▶ filter ──▶ the guest's own node (with the change records)
 *                       │  └───▶ fleece (takes old data before it is overwritten)
 *                       └──◀──── view (reads the instant) ──◀── NBD export
 * ```
 * The gate passes everything through. It exists because `blockdev-reopen` can hang the gates of all disks onto their filters at one
 * instant, while their requests are held: so the machine never has to stop. An agent that dies leaves a machine that runs.
 */

const gateNode = (index: number) => `lifeboat-gate-${index}`;
export const filterNode = (index: number) => `lifeboat-filter-${index}`;
const fleeceNode = (index: number) => `lifeboat-fleece-${index}`;
export const viewNode = (index: number) => `lifeboat-view-${index}`;
const ourNode = /^lifeboat-(?:gate|filter|fleece|view)-\d+$/;
const ourExport = /^lifeboat-export-/;
export const exportId = (index: number) => `lifeboat-export-${index}`;

/** How long a guest's write may wait for the fleece before the view is given up in favour of the guest. */
const copyTimeoutSeconds = 2;
const exportDeletedTimeoutMs = 10_000;

/**
 * A switched-off bitmap on the guest's own node while a filter is over it: tells a later agent which node belongs to which device.
 * Never persistent, so that it cannot travel with an image.
 */
const markerPrefix = 'lifeboat-below:';
const markerGranularityBytes = 1024 * 1024 * 1024;

/** The action, for a transaction, that marks the device's own node. */
export function markOwnNode(device: GuestDevice): unknown {
  const name = `${markerPrefix}${device.key}`;
  return {
    type: 'block-dirty-bitmap-add',
    data: { node: device.node, name, granularity: markerGranularityBytes, disabled: true },
  };
}

/** Adds fleece and filter of one disk; the guest does not use them yet. */
export async function addFilter(
  qmp: QmpConnection,
  device: GuestDevice,
  fleece: { readonly index: number; readonly path: string; readonly capacityBytes: number },
): Promise<void> {
  const { index } = fleece;
  await qmp.execute('blockdev-add', {
    driver: 'qcow2',
    'node-name': fleeceNode(index),
    // Its content is worth nothing after a crash, so nothing of it need be durable.
    cache: { 'no-flush': true },
    file: {
      driver: 'raw',
      size: fleece.capacityBytes,
      file: { driver: 'file', filename: fleece.path, cache: { 'no-flush': true } },
    },
  });
  await qmp.execute('blockdev-add', {
    driver: 'copy-before-write',
    'node-name': filterNode(index),
    discard: 'unmap',
    file: device.node,
    target: fleeceNode(index),
    'on-cbw-error': 'break-snapshot',
    'cbw-timeout': copyTimeoutSeconds,
  });
}

function gateOptions(gate: string, below: string) {
  return { driver: 'raw', 'node-name': gate, discard: 'unmap', file: below };
}

/** Puts a gate between the device and its node. The guest notices nothing. */
export async function addGate(qmp: QmpConnection, device: GuestDevice, index: number): Promise<void> {
  await qmp.execute('blockdev-add', gateOptions(gateNode(index), device.node));
  await qmp.execute('qom-set', { path: device.qomPath, property: 'drive', value: gateNode(index) });
}

/** The instant: from here on every gate leads through its filter. Holds the guest's requests for the time of this command. */
export async function switchGates(qmp: QmpConnection, count: number): Promise<void> {
  const options = Array.from({ length: count }, (_, index) => gateOptions(gateNode(index), filterNode(index)));
  await qmp.execute('blockdev-reopen', { options });
}

export async function addView(qmp: QmpConnection, index: number): Promise<void> {
  await qmp.execute('blockdev-add', {
    driver: 'snapshot-access',
    'node-name': viewNode(index),
    file: filterNode(index),
  });
}

/**
 * Starts QEMU's NBD server on a unix socket, or goes on with the one that is there.
 *
 * It is not stopped after each capture: stopping it while a client's connection is just ending crashes QEMU, and the guest with it.
 * Source: CVE-2024-7409
 */
export async function startExportServer(qmp: QmpConnection, socketPath: string): Promise<void> {
  try {
    await qmp.execute('nbd-server-start', { addr: { type: 'unix', data: { path: socketPath } } });
  } catch (cause) {
    if (!(cause instanceof QmpError)) throw cause;
    if (await isListening(socketPath)) return;
    throw new OutageError("QEMU's NBD server is in use by somebody else", {
      cause,
      retryable: true,
      nextStep: 'Wait for the other export (a backup?) to end, or run nbd-server-stop; QEMU has only one NBD server.',
    });
  }
}

/** Asks the kernel, not the server: a connection that ends at once is just what must not be about when it stops. */
async function isListening(socketPath: string): Promise<boolean> {
  const sockets = await readFile('/proc/net/unix', 'utf8');
  return sockets.split('\n').some((line) => line.endsWith(` ${socketPath}`));
}

/** Stops QEMU's NBD server if it is ours and nothing is exported; for the end of protection, when no client is about. */
export async function stopExportServer(qmp: QmpConnection, socketPath: string): Promise<void> {
  if (!(await isListening(socketPath)) || (await listExports(qmp)).length > 0) return;
  await qmp.execute('nbd-server-stop');
}

async function listExports(qmp: QmpConnection): Promise<string[]> {
  const exports = z.array(z.object({ id: z.string() })).parse(await qmp.execute('query-block-exports'));
  return exports.map((found) => found.id);
}

/**
 * Takes everything of ours out of the guest's block graph, in whatever state a capture or a killed agent left it.
 *
 * Change records stay. Safe to run at any time, and twice.
 */
export async function removeViews(qmp: QmpConnection): Promise<void> {
  await removeExports(qmp);
  const { names, bitmaps } = await listNodes(qmp);
  const leftover = names.filter((name) => ourNode.test(name));
  const markers = bitmaps.filter((bitmap) => bitmap.name.startsWith(markerPrefix));
  await removeNodes(qmp, leftover, ['view']);
  for (const device of leftover.length === 0 ? [] : await listGuestDevices(qmp)) {
    const marker = markers.find((found) => found.name === `${markerPrefix}${device.key}`);
    if (ourNode.test(device.node)) await restoreDrive(qmp, device, marker?.node);
  }
  await removeNodes(qmp, leftover, ['gate', 'filter', 'fleece']);
  for (const { node, name } of markers) await qmp.execute('block-dirty-bitmap-remove', { node, name });
}

async function restoreDrive(qmp: QmpConnection, device: GuestDevice, original: string | undefined): Promise<void> {
  if (original === undefined) {
    throw new OutageError(`find the own block node of disk ${device.key}`, {
      retryable: false,
      nextStep: 'The disk works, but through our filter. Restart the machine to take the filter out.',
    });
  }
  // The gate first lets go of the filter: two parents that write would not be allowed.
  await qmp.execute('blockdev-reopen', { options: [gateOptions(device.node, original)] });
  await qmp.execute('qom-set', { path: device.qomPath, property: 'drive', value: original });
}

async function removeExports(qmp: QmpConnection): Promise<void> {
  const ours = (await listExports(qmp)).filter((id) => ourExport.test(id));
  for (const id of ours) {
    const since = qmp.mark();
    await qmp.execute('block-export-del', { id, mode: 'hard' });
    const isGone = (event: { data: { readonly [name: string]: unknown } }) => event.data.id === id;
    await qmp.waitForEvent('BLOCK_EXPORT_DELETED', isGone, { timeoutMs: exportDeletedTimeoutMs, since });
  }
}

async function removeNodes(qmp: QmpConnection, names: readonly string[], kinds: readonly string[]): Promise<void> {
  for (const kind of kinds) {
    for (const name of names.filter((candidate) => candidate.startsWith(`lifeboat-${kind}-`))) {
      await qmp.execute('blockdev-del', { 'node-name': name });
    }
  }
}

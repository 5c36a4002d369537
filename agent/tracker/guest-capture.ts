import { performance } from 'node:perf_hooks';
import { blockBytes } from '../../domain/extent.ts';
import type { QmpConnection } from '../../protocol/qmp.ts';
import {
  addFilter,
  addGate,
  addView,
  exportId,
  markOwnNode,
  startExportServer,
  switchGates,
  viewNode,
} from './copy-before-write.ts';
import { type RecordChoice, recordName } from './dirty-bitmap.ts';
import { createFleeceFile, fleecePath } from './fleece.ts';
import { type GuestView, openGuestView, type ViewRecord } from './guest-view.ts';
import type { GuestDevice } from './qemu-machine.ts';

/** A disk whose records are settled: what is known since the caller's last durable capture. */
export type PreparedDisk = { readonly device: GuestDevice; readonly choice: RecordChoice };

export type CaptureRequest = {
  readonly disks: readonly PreparedDisk[];
  /** The caller's last durable capture; this one is the next. */
  readonly generation: number;
  readonly trackingId: string;
  readonly workFolder: string;
  readonly exportSocketPath: string;
  readonly fleeceBytesMax: number;
};

export type TakenViews = {
  readonly takenAtMs: number;
  readonly pauseMs: number;
  readonly views: readonly GuestView[];
  close(): void;
};

/**
 * The steps of a capture, in their order. Each may fail or be the last one before a kill: `removeViews` and `chooseRecord` put
 * right what is left.
 */
export type CaptureSteps = readonly {
  readonly name: string;
  run(qmp: QmpConnection, request: CaptureRequest): Promise<void>;
}[];

/**
 * The new records start before the instant and the old ones stop after it, so that a write between is in both: read once too often,
 * never lost. The instant itself is the one command that switches all gates.
 */
export const captureSteps: CaptureSteps = [
  { name: 'make fleece files', run: makeFleeceFiles },
  { name: 'start new records', run: startNewRecords },
  { name: 'add filters', run: addFilters },
  { name: 'add gates', run: addGates },
  { name: instantStep(), run: (qmp, request) => switchGates(qmp, request.disks.length) },
  { name: 'stop old records', run: stopOldRecords },
  { name: 'add views', run: addViews },
  { name: 'export views', run: exportViews },
];

/** Name of the step that is the point in time. */
export function instantStep(): string {
  return 'switch gates';
}

/** Room for the tables of a fleece image beside the data. */
const fleeceTableBytes = 16 * 1024 * 1024;

/** Runs the steps, then opens every view. */
export async function takeViews(qmp: QmpConnection, steps: CaptureSteps, request: CaptureRequest): Promise<TakenViews> {
  let takenAtMs = 0;
  let pauseMs = 0;
  for (const step of steps) {
    const startMs = performance.now();
    if (step.name === instantStep()) takenAtMs = Date.now();
    await step.run(qmp, request);
    if (step.name === instantStep()) pauseMs = performance.now() - startMs;
  }
  const views: GuestView[] = [];
  const close = () => {
    for (const view of views) view.close();
  };
  try {
    for (const disk of request.disks) views.push(await openView(disk, request));
  } catch (error) {
    close();
    throw error;
  }
  return { takenAtMs, pauseMs, views, close };
}

async function makeFleeceFiles(_qmp: QmpConnection, request: CaptureRequest): Promise<void> {
  for (const [index, { device }] of request.disks.entries()) {
    const file = fleecePath(request.workFolder, request.trackingId, index);
    await createFleeceFile(file, device.sizeBytes, fleeceCapacity(device, request));
  }
}

function fleeceCapacity(device: GuestDevice, request: CaptureRequest): number {
  const blocks = Math.ceil(Math.min(request.fleeceBytesMax, device.sizeBytes + fleeceTableBytes) / blockBytes);
  return blocks * blockBytes;
}

async function startNewRecords(qmp: QmpConnection, request: CaptureRequest): Promise<void> {
  const actions = request.disks.flatMap(({ device }) => [
    {
      type: 'block-dirty-bitmap-add',
      data: {
        node: device.node,
        name: recordName(request.trackingId, request.generation + 1, device),
        granularity: blockBytes,
        persistent: device.driver === 'qcow2',
      },
    },
    markOwnNode(device),
  ]);
  await qmp.execute('transaction', { actions });
}

async function addFilters(qmp: QmpConnection, request: CaptureRequest): Promise<void> {
  for (const [index, { device }] of request.disks.entries()) {
    const file = fleecePath(request.workFolder, request.trackingId, index);
    await addFilter(qmp, device, { index, path: file, capacityBytes: fleeceCapacity(device, request) });
  }
}

async function addGates(qmp: QmpConnection, request: CaptureRequest): Promise<void> {
  for (const [index, { device }] of request.disks.entries()) await addGate(qmp, device, index);
}

async function stopOldRecords(qmp: QmpConnection, request: CaptureRequest): Promise<void> {
  const actions = request.disks.flatMap(({ choice }) => {
    if (choice.kind === 'unknown') return [];
    const { node, name } = choice.current;
    return [{ type: 'block-dirty-bitmap-disable', data: { node, name } }];
  });
  if (actions.length > 0) await qmp.execute('transaction', { actions });
}

async function addViews(qmp: QmpConnection, request: CaptureRequest): Promise<void> {
  for (const index of request.disks.keys()) await addView(qmp, index);
}

async function exportViews(qmp: QmpConnection, request: CaptureRequest): Promise<void> {
  await startExportServer(qmp, request.exportSocketPath);
  for (const [index, disk] of request.disks.entries()) {
    await exportNode(qmp, { node: viewNode(index), index, disk });
  }
}

/** Makes one node readable for the agent, with the disk's old record beside it. */
export async function exportNode(
  qmp: QmpConnection,
  what: { readonly node: string; readonly index: number; readonly disk: PreparedDisk },
): Promise<void> {
  const { choice, device } = what.disk;
  const bitmaps = choice.kind === 'unknown' ? [] : [{ node: choice.current.node, name: choice.current.name }];
  await qmp.execute('block-export-add', {
    type: 'nbd',
    id: exportId(what.index),
    'node-name': what.node,
    name: device.key,
    bitmaps,
  });
}

function openView({ device, choice }: PreparedDisk, request: CaptureRequest): Promise<GuestView> {
  const record: ViewRecord =
    choice.kind === 'unknown'
      ? { kind: 'unknown', why: choice.why }
      : { kind: 'recorded', bitmapName: choice.current.name };
  const disk = { key: device.key, sizeBytes: device.sizeBytes };
  return openGuestView({ socketPath: request.exportSocketPath, exportName: device.key, disk, record });
}

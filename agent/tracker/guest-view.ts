import { alignExtents, blockBytes, type Extent } from '../../domain/extent.ts';
import { OutageError } from '../../domain/outage.ts';
import { allocationContext, allocationFlag, dirtyBitmapContext, dirtyFlag, nbdError } from '../../protocol/nbd.ts';
import { connectNbd, type NbdClient, NbdReadError } from '../nbd-client.ts';
import { type CapturedDisk, type Changes, SnapshotBrokenError, type SourceDisk } from './change-tracker.ts';

/** One disk's view as the tracker hands it out, and what it holds. */
export type GuestView = { readonly captured: CapturedDisk; close(): void };

/** How a view's changes are found: from the record exported beside it, or not at all. */
export type ViewRecord =
  | { readonly kind: 'recorded'; readonly bitmapName: string }
  | { readonly kind: 'unknown'; readonly why: string };

/** Connects to a view's export and reads the list of its changes. */
export async function openGuestView(options: {
  readonly socketPath: string;
  readonly exportName: string;
  readonly disk: SourceDisk;
  readonly record: ViewRecord;
}): Promise<GuestView> {
  const { disk, record } = options;
  const recorded = record.kind === 'recorded' ? [dirtyBitmapContext(record.bitmapName)] : [];
  const client = await connectNbd({
    socketPath: options.socketPath,
    exportName: options.exportName,
    metaContexts: [allocationContext, ...recorded],
  });
  try {
    const changes = await readChanges(client, disk, record);
    return { captured: capturedDisk(client, disk, changes), close: () => client.close() };
  } catch (error) {
    client.close();
    throw brokenOrOutage(disk, error);
  }
}

async function readChanges(client: NbdClient, disk: SourceDisk, record: ViewRecord): Promise<Changes> {
  if (record.kind === 'unknown') return { kind: 'everything-unknown', why: record.why };
  const dirty: Extent[] = [];
  for await (const run of client.status(dirtyBitmapContext(record.bitmapName), 0, disk.sizeBytes)) {
    if ((run.flags & dirtyFlag) !== 0) dirty.push(run);
  }
  const extents = alignExtents(dirty, disk.sizeBytes);
  return { kind: 'extents', extents };
}

function capturedDisk(client: NbdClient, disk: SourceDisk, changes: Changes): CapturedDisk {
  return {
    disk,
    changes,
    read: async (offsetBytes, lengthBytes, into) => {
      try {
        return await client.read(offsetBytes, lengthBytes, into);
      } catch (error) {
        throw brokenOrOutage(disk, error);
      }
    },
    allocated: () => allocatedExtents(client, disk),
  };
}

/** Runs that may hold something other than zeros, rounded out to whole blocks, without overlap. */
async function* allocatedExtents(client: NbdClient, disk: SourceDisk): AsyncIterable<Extent> {
  let open: { start: number; end: number } | undefined;
  try {
    for await (const run of client.status(allocationContext, 0, disk.sizeBytes)) {
      if ((run.flags & allocationFlag.zero) !== 0) continue;
      const start = Math.floor(run.offsetBytes / blockBytes) * blockBytes;
      const runEnd = Math.ceil((run.offsetBytes + run.lengthBytes) / blockBytes) * blockBytes;
      const end = Math.min(runEnd, disk.sizeBytes);
      if (open !== undefined && start <= open.end) open = { start: open.start, end: Math.max(open.end, end) };
      else {
        if (open !== undefined) yield { offsetBytes: open.start, lengthBytes: open.end - open.start };
        open = { start, end };
      }
    }
  } catch (error) {
    throw brokenOrOutage(disk, error);
  }
  if (open !== undefined) yield { offsetBytes: open.start, lengthBytes: open.end - open.start };
}

/** QEMU answers "invalid" for every access to a view that it gave up; other numbers are the disk's own errors. */
function brokenOrOutage(disk: SourceDisk, error: unknown): Error {
  if (error instanceof NbdReadError && error.error === nbdError.invalid) {
    const message = `QEMU gave up the view of ${disk.key} in favour of the guest (its fleece was full, slow or failing)`;
    return new SnapshotBrokenError(message, { cause: error });
  }
  return new OutageError(`read the view of ${disk.key}`, { cause: error, retryable: true });
}

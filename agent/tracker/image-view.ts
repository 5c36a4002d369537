import { type FileHandle, open } from 'node:fs/promises';
import { alignExtents, type Extent } from '../../domain/extent.ts';
import { OutageError } from '../../domain/outage.ts';
import { type CapturedDisk, type Changes, SnapshotBrokenError, type SourceDisk } from './change-tracker.ts';
import { changedExtents, readExtentMap } from './extent-map.ts';
import { type CloneShelf, clonePath, listClones } from './image-clone.ts';
import {
  type ImageIdentity,
  type ImageRecord,
  identityOf,
  readImageRecord,
  sameIdentity,
  settledIdentity,
  writeImageRecord,
} from './image-identity.ts';

/** One image's point-in-time view. */
export type ImageView = {
  readonly captured: CapturedDisk;
  readonly identity: ImageIdentity;
  close(): Promise<void>;
};

/** A view of the clone of capture `generation + 1`, compared with the clone of capture `generation` when there is one. */
export async function openClonedView(options: {
  readonly disk: SourceDisk;
  readonly shelf: CloneShelf;
  readonly generation: number;
}): Promise<ImageView> {
  const { shelf, generation } = options;
  const file = clonePath(shelf, generation + 1);
  const handle = await open(file, 'r');
  try {
    const identity = await identityOf(handle);
    // The clone's own size: the image may have grown since it was looked at.
    const disk = { key: options.disk.key, sizeBytes: identity.sizeBytes };
    const changes = await compareClones(shelf, generation, disk);
    return viewOf({ handle, disk, changes, identity, file });
  } catch (error) {
    await handle.close();
    throw error;
  }
}

async function compareClones(shelf: CloneShelf, generation: number, disk: SourceDisk): Promise<Changes> {
  const unknown = (why: string): Changes => ({ kind: 'everything-unknown', why });
  const clones = (await listClones(shelf)).filter((found) => found !== generation + 1);
  if (generation === 0) return unknown('this is the first capture');
  if (!clones.includes(generation)) {
    const newest = Math.max(0, ...clones);
    return unknown(
      newest === 0
        ? 'there is no clone to compare with'
        : `the clone is of capture ${newest}, not of capture ${generation}`,
    );
  }
  const before = await open(clonePath(shelf, generation), 'r');
  const { sizeBytes } = await identityOf(before).finally(() => before.close());
  if (sizeBytes !== disk.sizeBytes) {
    return unknown(`the disk was resized from ${sizeBytes} to ${disk.sizeBytes} bytes`);
  }
  const [oldMap, newMap] = [
    await readExtentMap(clonePath(shelf, generation)),
    await readExtentMap(clonePath(shelf, generation + 1)),
  ];
  return { kind: 'extents', extents: changedExtents(oldMap, newMap, disk.sizeBytes) };
}

/** A view of the image itself, which nobody may write meanwhile. */
export async function openStillView(options: {
  readonly disk: SourceDisk;
  readonly generation: number;
  readonly recordPath: string;
}): Promise<ImageView> {
  const file = options.disk.key;
  const handle = await open(file, 'r');
  try {
    const identity = await settledIdentity(handle, file);
    const disk = { key: file, sizeBytes: identity.sizeBytes };
    const record = await readImageRecord(options.recordPath);
    const changes = compareWithRecord(record, { file, identity, generation: options.generation });
    return viewOf({ handle, disk, changes, identity, file });
  } catch (error) {
    await handle.close();
    throw error;
  }
}

function compareWithRecord(
  record: ImageRecord | undefined,
  now: { readonly file: string; readonly identity: ImageIdentity; readonly generation: number },
): Changes {
  const unknown = (why: string): Changes => ({ kind: 'everything-unknown', why });
  if (now.generation === 0) return unknown('this is the first capture');
  if (record === undefined) return unknown('there is no record of what the file looked like');
  if (record.generation !== now.generation) {
    return unknown(`the record is of capture ${record.generation}, not of capture ${now.generation}`);
  }
  const before = record.images[now.file];
  if (before === undefined) return unknown('a new disk: there is no record of it');
  if (before.sizeBytes !== now.identity.sizeBytes) {
    return unknown(`the disk was resized from ${before.sizeBytes} to ${now.identity.sizeBytes} bytes`);
  }
  if (sameIdentity(before, now.identity)) return { kind: 'extents', extents: [] };
  return unknown('the file was written, and its file system (without reflinks) does not say where');
}

/** Writes down what the files looked like at a capture that is durable now. */
export async function saveStillRecord(recordPath: string, generation: number, views: readonly ImageView[]) {
  const images = Object.fromEntries(views.map((view) => [view.captured.disk.key, view.identity]));
  await writeImageRecord(recordPath, { format: 'lifeboat-image-record/1', generation, images });
}

function viewOf(what: {
  readonly handle: FileHandle;
  readonly disk: SourceDisk;
  readonly changes: Changes;
  readonly identity: ImageIdentity;
  readonly file: string;
}): ImageView {
  const { handle, disk, changes, identity, file } = what;
  return {
    identity,
    captured: {
      disk,
      changes,
      read: async (offsetBytes, lengthBytes, into) => {
        const data = into?.subarray(0, lengthBytes) ?? Buffer.allocUnsafe(lengthBytes);
        await readExactly(handle, { file, offsetBytes, data });
        if (sameIdentity(identity, await identityOf(handle))) return data;
        throw new SnapshotBrokenError(`${file} was written while it was read`);
      },
      allocated: () => allocatedExtents(file, disk.sizeBytes),
    },
    close: () => handle.close(),
  };
}

/** Fills `data` from the file. */
async function readExactly(
  handle: FileHandle,
  { file, offsetBytes, data }: { readonly file: string; readonly offsetBytes: number; readonly data: Buffer },
): Promise<void> {
  let done = 0;
  while (done < data.length) {
    const at = offsetBytes + done;
    const { bytesRead } = await handle.read(data, done, data.length - done, at).catch((cause: unknown) => {
      throw new OutageError(`read ${file} at ${at}`, { cause, retryable: true });
    });
    if (bytesRead === 0) throw new SnapshotBrokenError(`${file} became shorter while it was read`);
    done += bytesRead;
  }
}

/** What the file system has data for; the whole file where it cannot say. */
async function* allocatedExtents(file: string, sizeBytes: number): AsyncIterable<Extent> {
  let extents: Extent[];
  try {
    extents = await readExtentMap(file);
  } catch (error) {
    if (!(error instanceof OutageError)) throw error;
    extents = [{ offsetBytes: 0, lengthBytes: sizeBytes }];
  }
  yield* alignExtents(extents, sizeBytes);
}

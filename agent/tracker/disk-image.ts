import { open, stat } from 'node:fs/promises';
import path from 'node:path';
import { invariant } from '../../domain/invariant.ts';
import { OutageError } from '../../domain/outage.ts';
import { mebibyte } from '../../domain/units.ts';
import type { MachineHardware } from '../../protocol/point-manifest.ts';
import { type Capture, type ChangeTracker, SourceBusyError, type SourceDisk } from './change-tracker.ts';
import { findWriters } from './file-writers.ts';
import { cloneShelf, keepOnlyClone, takeClone } from './image-clone.ts';
import { removeImageRecord } from './image-identity.ts';
import { type ImageView, openClonedView, openStillView, saveStillRecord } from './image-view.ts';

export type DiskImageOptions = {
  /** Raw images of one machine's disks, in boot order. */
  readonly paths: readonly string[];
  /** Names this machine's clones and record: its machine id. */
  readonly trackingId: string;
  /** For the record of what the files looked like. */
  readonly workFolder: string;
  /** What the machine needs to start; an image does not say. Default 512 MiB, one processor, BIOS. */
  readonly hardware?: MachineHardware;
  /** Never use reflinks, even where the file system has them. Default true. */
  readonly useReflink?: boolean;
};

const defaultHardware: MachineHardware = { memoryBytes: 512 * mebibyte, cpuCount: 1, firmware: 'bios' };

/**
 * Follows disk image files.
 *
 * Where the file system has reflinks (XFS, btrfs), a clone is the point-in-time view and two clones' extent maps tell what changed; a
 * single image may then be in use. Elsewhere an image must stand still: a writer is refused, a change while reading breaks the view, and a
 * changed file is scanned whole. Source: REPLICATION 1(i), 3f
 */
export function openDiskImageTracker(options: DiskImageOptions): ChangeTracker {
  invariant(options.paths.length > 0, 'a machine has at least one disk image');
  invariant(/^[\w-]{1,64}$/.test(options.trackingId), 'a tracking id has 1 to 64 letters, digits, _ and -');
  return new DiskImageTracker(options);
}

class DiskImageTracker implements ChangeTracker {
  readonly kind = 'disk-image';
  #options: DiskImageOptions;
  #isCapturing = false;
  #openViews: ImageView[] = [];

  constructor(options: DiskImageOptions) {
    this.#options = options;
  }

  async describe(): Promise<string> {
    const hasReflink = await this.#hasReflink();
    return hasReflink ? 'reflink clones compared by extent maps' : 'hash scan (no reflink here)';
  }

  async disks(): Promise<SourceDisk[]> {
    return Promise.all(this.#options.paths.map(describeImage));
  }

  async hardware(): Promise<MachineHardware> {
    return this.#options.hardware ?? defaultHardware;
  }

  async capture(generation: number): Promise<Capture> {
    invariant(Number.isSafeInteger(generation) && generation >= 0, `capture ${generation} counts from 0`);
    invariant(!this.#isCapturing, 'the capture before this one was acknowledged or abandoned');
    this.#isCapturing = true;
    try {
      const disks = await this.disks();
      const clones = await this.#cloneAll(generation + 1);
      return clones === undefined
        ? await this.#still(disks, generation)
        : await this.#cloned(disks, generation, clones);
    } catch (error) {
      this.#isCapturing = false;
      throw error;
    }
  }

  async remove(): Promise<void> {
    for (const shelf of this.#shelves()) await keepOnlyClone(shelf, undefined);
    await removeImageRecord(this.#recordPath());
  }

  async close(): Promise<void> {
    for (const view of this.#openViews.splice(0)) await view.close();
  }

  #shelves() {
    return this.#options.paths.map((imagePath) => cloneShelf(imagePath, this.#options.trackingId));
  }

  #recordPath(): string {
    return path.join(this.#options.workFolder, `lifeboat-image-${this.#options.trackingId}.json`);
  }

  async #hasReflink(): Promise<boolean> {
    if (this.#options.useReflink === false) return false;
    for (const shelf of this.#shelves()) {
      const probe = cloneShelf(shelf.imagePath, `${this.#options.trackingId}-probe`);
      const outcome = await takeClone(probe, 0);
      await keepOnlyClone(probe, undefined);
      if (outcome === 'unsupported') return false;
    }
    return true;
  }

  /** Clones every image, or answers undefined where that is impossible. Several images are one instant only while nobody writes. */
  async #cloneAll(generation: number): Promise<{ takenAtMs: number; pauseMs: number } | undefined> {
    if (this.#options.useReflink === false) return undefined;
    if (this.#options.paths.length > 1) await this.#refuseWriters();
    const takenAtMs = Date.now();
    const startMs = performance.now();
    for (const shelf of this.#shelves()) {
      if ((await takeClone(shelf, generation)) === 'cloned') continue;
      for (const other of this.#shelves()) await keepOnlyClone(other, undefined);
      return undefined;
    }
    const pauseMs = performance.now() - startMs;
    if (this.#options.paths.length > 1) await this.#refuseWriters();
    return { takenAtMs, pauseMs };
  }

  async #cloned(
    disks: readonly SourceDisk[],
    generation: number,
    taken: { takenAtMs: number; pauseMs: number },
  ): Promise<Capture> {
    const shelves = this.#shelves();
    const views = await openAll(disks, (disk, index) => {
      // One shelf for each path, in the same order as the disks.
      const shelf = shelves[index]!;
      return openClonedView({ disk, shelf, generation });
    });
    return this.#captureOf(
      views,
      taken,
      async (durable) => {
        for (const shelf of shelves) await keepOnlyClone(shelf, durable);
      },
      generation,
    );
  }

  async #still(disks: readonly SourceDisk[], generation: number): Promise<Capture> {
    await this.#refuseWriters();
    const takenAtMs = Date.now();
    const views = await openAll(disks, (disk) => openStillView({ disk, generation, recordPath: this.#recordPath() }));
    return this.#captureOf(
      views,
      { takenAtMs, pauseMs: 0 },
      async (durable) => {
        if (durable > generation) await saveStillRecord(this.#recordPath(), durable, views);
      },
      generation,
    );
  }

  #captureOf(
    views: readonly ImageView[],
    taken: { takenAtMs: number; pauseMs: number },
    keep: (durable: number) => Promise<void>,
    generation: number,
  ): Capture {
    this.#openViews = [...views];
    const end = async (durable: number) => {
      invariant(this.#isCapturing, 'a capture is acknowledged or abandoned once');
      this.#isCapturing = false;
      await this.close();
      await keep(durable);
    };
    return {
      ...taken,
      disks: views.map((view) => view.captured),
      acknowledge: () => end(generation + 1),
      abandon: () => end(generation),
    };
  }

  async #refuseWriters(): Promise<void> {
    const writers = await findWriters(this.#options.paths);
    if (writers.length === 0) return;
    const told = writers.map(({ file, who }) => `${file} is open for writing by ${who}`);
    throw new SourceBusyError([...new Set(told)].join('; '));
  }
}

/** Opens one view per disk; when one fails, closes those before it. */
async function openAll(
  disks: readonly SourceDisk[],
  openView: (disk: SourceDisk, index: number) => Promise<ImageView>,
): Promise<ImageView[]> {
  const views: ImageView[] = [];
  try {
    for (const [index, disk] of disks.entries()) views.push(await openView(disk, index));
    return views;
  } catch (error) {
    for (const view of views) await view.close();
    throw error;
  }
}

async function describeImage(imagePath: string): Promise<SourceDisk> {
  try {
    const found = await stat(imagePath);
    if (!found.isFile()) throw notAnImage(imagePath, 'is not a file');
    await refuseContainerFormat(imagePath);
    return { key: imagePath, sizeBytes: found.size };
  } catch (cause) {
    if (cause instanceof OutageError) throw cause;
    throw new OutageError(`look at the disk image ${imagePath}`, {
      cause,
      retryable: true,
      nextStep: 'See whether the file exists and the agent may read it.',
    });
  }
}

/** Formats whose bytes are not the disk's bytes: replicating them as they are would make points that do not boot. */
const containerMagics = [
  { magic: 'QFI\xfb', name: 'qcow2' },
  { magic: 'KDMV', name: 'VMDK' },
  { magic: 'vhdxfile', name: 'VHDX' },
  { magic: 'conectix', name: 'VHD' },
];

async function refuseContainerFormat(imagePath: string): Promise<void> {
  const handle = await open(imagePath, 'r');
  try {
    const { buffer } = await handle.read(Buffer.alloc(8), 0, 8, 0);
    const start = buffer.toString('latin1');
    const format = containerMagics.find(({ magic }) => start.startsWith(magic));
    if (format !== undefined) throw notAnImage(imagePath, `is a ${format.name} image, not a raw one`);
  } finally {
    await handle.close();
  }
}

function notAnImage(imagePath: string, what: string): OutageError {
  return new OutageError(`${imagePath} ${what}`, {
    retryable: false,
    nextStep:
      'Protect the running machine through its QMP socket, or convert the image with `qemu-img convert -O raw`.',
  });
}

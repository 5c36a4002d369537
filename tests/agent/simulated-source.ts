import { mkdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import {
  type Capture,
  type CapturedDisk,
  type Changes,
  type ChangeTracker,
  SnapshotBrokenError,
} from '../../agent/tracker/change-tracker.ts';
import { alignExtents, blockBytes, type Extent } from '../../domain/extent.ts';

/**
 * A machine whose disks are files and whose change record is a file too, so that an agent can be killed and started again over it.
 *
 * It simulates a source, not our code: writes go through `write`, which marks blocks as a hypervisor's bitmap would. Like QEMU's
 * bitmaps it keeps two records while a capture is open (before it, since it). `forgets` makes it a tracker that answers
 * `everything-unknown` whenever the generation is not exactly its own.
 */
export function openSimulatedSource(folder: string, options: SourceOptions = {}) {
  const recordPath = join(folder, 'record.json');
  const imagePath = (key: string) => join(folder, `${key}.img`);
  const readRecord = (): SourceRecord => JSON.parse(readFileSync(recordPath, 'utf8'));
  const writeRecord = (record: SourceRecord) => {
    writeFileSync(`${recordPath}.new`, JSON.stringify(record));
    renameSync(`${recordPath}.new`, recordPath);
  };
  let isBroken = false;

  const source = {
    folder,
    image: (key: string): Buffer => readFileSync(imagePath(key)),
    /** As a guest's write: the data, and the mark of every block that it touches. */
    write(key: string, offsetBytes: number, data: Buffer) {
      const image = readFileSync(imagePath(key));
      data.copy(image, offsetBytes);
      writeFileSync(imagePath(key), image);
      const record = readRecord();
      const touched = { offsetBytes, lengthBytes: data.length };
      (record.sinceCapture ?? record.dirty)[key]?.push(touched);
      writeRecord(record);
    },
    breakView() {
      isBroken = true;
    },
    record: readRecord,
    tracker: (): ChangeTracker => ({
      kind: 'qemu-guest',
      describe: () => Promise.resolve('a simulated source'),
      disks: () => Promise.resolve(readRecord().disks),
      hardware: () => Promise.resolve({ memoryBytes: 1 << 28, cpuCount: 1, firmware: 'bios' }),
      capture: (generation) => Promise.resolve(beginCapture(generation)),
      remove: () => {
        const record = readRecord();
        writeRecord({ ...record, generation: undefined, isRemoved: true, sinceCapture: undefined });
        return Promise.resolve();
      },
      close: () => Promise.resolve(),
    }),
  };

  function beginCapture(generation: number): Capture {
    isBroken = false;
    const record = settleOpenCapture(readRecord(), generation, options.forgets ?? false);
    writeRecord({ ...record, sinceCapture: emptyMarks(record) });
    if (options.isCareless) writeRecord(acknowledgedRecord(readRecord(), generation + 1));
    const views = new Map(record.disks.map((disk) => [disk.key, readFileSync(imagePath(disk.key))]));
    const end = (acknowledged: boolean) => {
      const now = readRecord();
      if (!options.isCareless) {
        writeRecord(acknowledged ? acknowledgedRecord(now, generation + 1) : abandonedRecord(now));
      }
      return Promise.resolve();
    };
    return {
      takenAtMs: Date.now(),
      pauseMs: 1,
      disks: record.disks.map((disk) =>
        viewOf(disk, views.get(disk.key) ?? Buffer.alloc(0), changesOf(record, generation, disk.key)),
      ),
      acknowledge: () => end(true),
      abandon: () => end(false),
    };
  }

  function viewOf(disk: SourceRecord['disks'][number], view: Buffer, changes: Changes): CapturedDisk {
    return {
      disk,
      changes,
      read(offsetBytes, lengthBytes) {
        if (isBroken) return Promise.reject(new SnapshotBrokenError('the view was given up'));
        return Promise.resolve(Buffer.from(view.subarray(offsetBytes, offsetBytes + lengthBytes)));
      },
      async *allocated() {
        for (let at = 0; at < view.length; at += blockBytes) {
          const block = view.subarray(at, at + blockBytes);
          if (block.some((byte) => byte !== 0)) yield { offsetBytes: at, lengthBytes: block.length };
        }
      },
    };
  }

  function changesOf(record: SourceRecord, generation: number, key: string): Changes {
    const size = record.disks.find((disk) => disk.key === key)?.sizeBytes ?? 0;
    const isCareless = options.isCareless === true && record.generation !== undefined;
    if (!isCareless && (record.generation !== generation || generation === 0)) {
      return { kind: 'everything-unknown', why: generation === 0 ? 'first capture' : 'another generation' };
    }
    return { kind: 'extents', extents: alignExtents(record.dirty[key] ?? [], size) };
  }
  return source;
}

export type SimulatedSource = ReturnType<typeof openSimulatedSource>;
export type SourceOptions = {
  readonly forgets?: boolean;
  /** A planted bug: the record is moved on before the changes are durable, and no generation is compared. */
  readonly isCareless?: boolean;
};

type Marks = Record<string, Extent[]>;
type SourceRecord = {
  disks: { key: string; sizeBytes: number }[];
  generation: number | undefined;
  dirty: Marks;
  /** There while a capture is open: what was written since it was taken. */
  sinceCapture?: Marks | undefined;
  isRemoved?: boolean;
};

export function createSimulatedSource(
  folder: string,
  disks: { key: string; sizeBytes: number }[],
  options?: SourceOptions,
) {
  mkdirSync(folder, { recursive: true });
  for (const { key, sizeBytes } of disks) writeFileSync(join(folder, `${key}.img`), Buffer.alloc(sizeBytes));
  const record = { disks, generation: undefined, dirty: {} };
  writeFileSync(join(folder, 'record.json'), JSON.stringify({ ...record, dirty: emptyMarks(record) }));
  return openSimulatedSource(folder, options);
}

/** A capture that a killed agent left open: the caller's generation says whether it became durable. */
function settleOpenCapture(record: SourceRecord, generation: number, forgets: boolean): SourceRecord {
  if (record.sinceCapture === undefined) return record;
  const wasDurable = !forgets && generation === (record.generation ?? 0) + 1;
  return wasDurable ? acknowledgedRecord(record, generation) : abandonedRecord(record);
}

function acknowledgedRecord(record: SourceRecord, generation: number): SourceRecord {
  return { ...record, generation, dirty: record.sinceCapture ?? record.dirty, sinceCapture: undefined };
}

function abandonedRecord(record: SourceRecord): SourceRecord {
  const dirty = Object.fromEntries(
    Object.entries(record.dirty).map(([key, marks]) => [key, [...marks, ...(record.sinceCapture?.[key] ?? [])]]),
  );
  return { ...record, dirty, sinceCapture: undefined };
}

function emptyMarks(record: { disks: { key: string }[] }): Marks {
  return Object.fromEntries(record.disks.map(({ key }) => [key, []]));
}

import { invariant } from '../domain/invariant.ts';
import {
  encodeHrlBlock,
  encodeHrlHeader,
  type HrlEntry,
  hrlBlockBytes,
  hrlEntriesPerBlockMax,
  hrlEntryDataBytesMax,
  hrlHeaderBytes,
} from './hrl.ts';

/** Who wrote a log, and after which one. Times are epoch milliseconds. */
export type HrlIdentity = {
  readonly uniqueId: string;
  readonly previousUniqueId: string;
  readonly dataWriteId: string;
  readonly createdAtMs: number;
};

/** Where a metadata block goes, and where the run that it describes begins. */
export type HrlRun = {
  readonly runAt: number;
  readonly blockAt: number;
  readonly block: Buffer;
  readonly count: number;
};

/**
 * Decides where every byte of a log goes; the file writer and the in-memory builder both follow it, so that they produce the same bytes.
 *
 * Like Hyper-V's own files the log starts with an empty metadata block, so that a log without changes is well formed.
 */
export type HrlLayout = {
  /** Places data at most `hrlEntryDataBytesMax` long; call `closeRun` first when `isRunFull`. */
  place(entry: HrlEntry): number;
  isRunFull(): boolean;
  hasOpenRun(): boolean;
  closeRun(): HrlRun;
  endBytes(): number;
  dataBytes(): number;
  firstBlock(): Buffer;
  openHeader(): Buffer;
  closedHeader(): Buffer;
};

export function createHrlLayout(identity: HrlIdentity): HrlLayout {
  let entries: HrlEntry[] = [];
  let entryCount = 0;
  let dataBytes = 0;
  let runAt = hrlHeaderBytes + hrlBlockBytes;
  let nextAt = runAt;
  let previousBlockAt = hrlHeaderBytes;
  let modifiedAtMs = identity.createdAtMs;
  const header = (endOfLogBytes: number) =>
    encodeHrlHeader({ ...identity, modifiedAtMs, endOfLogBytes, entryCount: endOfLogBytes === 0 ? 0 : entryCount });
  return {
    place(entry) {
      invariant(entry.dataBytes > 0 && entry.dataBytes <= hrlEntryDataBytesMax, 'an entry holds 1 byte to 1 MiB');
      const at = nextAt;
      const last = entries.at(-1);
      if (last !== undefined && isContinuedBy(last, entry)) {
        entries[entries.length - 1] = { ...last, dataBytes: last.dataBytes + entry.dataBytes };
      } else {
        invariant(entries.length < hrlEntriesPerBlockMax, 'the run is full');
        entries.push(entry);
        entryCount += 1;
      }
      nextAt += entry.dataBytes;
      dataBytes += entry.dataBytes;
      modifiedAtMs = entry.writtenAtMs;
      return at;
    },
    isRunFull: () => entries.length === hrlEntriesPerBlockMax,
    hasOpenRun: () => entries.length > 0,
    closeRun() {
      const run = {
        runAt,
        blockAt: nextAt,
        block: encodeHrlBlock(nextAt - previousBlockAt, entries),
        count: entries.length,
      };
      previousBlockAt = nextAt;
      nextAt += hrlBlockBytes;
      runAt = nextAt;
      entries = [];
      return run;
    },
    endBytes: () => nextAt,
    dataBytes: () => dataBytes,
    firstBlock: () => encodeHrlBlock(0, []),
    openHeader: () => header(0),
    closedHeader: () => header(nextAt),
  };
}

function isContinuedBy(last: HrlEntry, next: HrlEntry): boolean {
  const isAdjacent = last.offsetBytes + last.dataBytes === next.offsetBytes;
  return isAdjacent && last.dataBytes + next.dataBytes <= hrlEntryDataBytesMax;
}

/** How large the image of a log can become whose entries are whole blocks of `entryBytes`. */
export function hrlImageBytesMax(dataBytesMax: number, entryBytes: number): number {
  const runCount = Math.ceil(Math.ceil(dataBytesMax / entryBytes) / hrlEntriesPerBlockMax) + 1;
  return hrlHeaderBytes + hrlBlockBytes * (1 + runCount) + dataBytesMax;
}

export type HrlImageBuilder = {
  /** Copies the data in. */
  append(offsetBytes: number, data: Uint8Array): void;
  dataBytes(): number;
  /** The closed log: a view of the buffer that the builder was given. */
  seal(): Buffer;
};

/**
 * Builds a closed log in a buffer of the caller (so that buffers can be used again).
 *
 * @param memory at least `hrlImageBytesMax` of what will be appended
 */
export function createHrlImageBuilder(memory: Buffer, identity: HrlIdentity, nowMs: () => number): HrlImageBuilder {
  const layout = createHrlLayout(identity);
  const closeRun = () => {
    const run = layout.closeRun();
    run.block.copy(memory, run.blockAt);
  };
  return {
    append(offsetBytes, data) {
      for (let done = 0; done < data.length; done += hrlEntryDataBytesMax) {
        const piece = data.subarray(done, done + hrlEntryDataBytesMax);
        if (layout.isRunFull()) closeRun();
        invariant(layout.endBytes() + piece.length + hrlBlockBytes <= memory.length, 'the image fits its buffer');
        const entry = { offsetBytes: offsetBytes + done, dataBytes: piece.length, writtenAtMs: nowMs() };
        memory.set(piece, layout.place(entry));
      }
    },
    dataBytes: () => layout.dataBytes(),
    seal() {
      if (layout.hasOpenRun()) closeRun();
      layout.firstBlock().copy(memory, hrlHeaderBytes);
      layout.closedHeader().copy(memory, 0);
      return memory.subarray(0, layout.endBytes());
    },
  };
}

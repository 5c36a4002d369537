import { randomUUID, webcrypto } from 'node:crypto';
import { alignExtents, blockBytes, blockCount, type Extent } from '../domain/extent.ts';
import { OutageError } from '../domain/outage.ts';
import type { Position } from '../domain/position.ts';
import { blockDigest, type ContentBlock, contentDigestOf, isZeroBlock } from '../protocol/content-digest.ts';
import { nilUuid } from '../protocol/hrl.ts';
import { createHrlImageBuilder, hrlImageBytesMax } from '../protocol/hrl-writer.ts';
import type { ChangeSender, DiskCall, SegmentCall } from './change-sender.ts';
import { type Piece, readAhead } from './read-ahead.ts';
import type { CapturedDisk } from './tracker/change-tracker.ts';

/** Data in one segment of a scan. Two such images are in memory per scan: one is being sent, one is being filled. */
export const scanBatchBytes = 16 * 1_048_576;
/** Digests are asked for 1 GiB of disk at a time (512 KiB of answer). */
const windowBlocks = 16_384;
const digestBytes = 32;

export type ScanOrder = DiskCall & {
  readonly captured: CapturedDisk;
  readonly sender: ChangeSender;
  readonly nowMs: () => number;
  /** Called after each window or batch, with what was compared and sent since the call before. */
  readonly onProgress: (step: { readonly comparedBytes: number; readonly sentBytes: number }) => void;
};

/**
 * Makes the vault's newest version of a disk equal to a point-in-time view: compares block by block with the vault's digests and
 * sends what differs. An interrupted scan that starts again skips what has arrived; a first copy is a scan against nothing.
 *
 * @returns the position at which the vault equals the view
 */
export async function scanDisk(order: ScanOrder): Promise<Position> {
  const { sizeBytes } = order.captured.disk;
  const start = await order.sender.position(order);
  const outbox = createOutbox(order, start);
  const runs = allocatedRuns(order.captured.allocated(), sizeBytes);
  let nextDigests = windowDigests(order, start, 0);
  try {
    for (let first = 0; first < blockCount(sizeBytes); first += windowBlocks) {
      const digests = await nextDigests;
      nextDigests = windowDigests(order, start, first + windowBlocks);
      // Awaited in the next round; if that does not come, its failure no longer matters.
      void Promise.allSettled([nextDigests]);
      const window = { firstBlock: first, endBytes: Math.min(sizeBytes, (first + windowBlocks) * blockBytes), digests };
      await compareWindow(order, { window, extents: await runs.upTo(window.endBytes), outbox });
    }
    return await outbox.finish();
  } finally {
    await runs.close();
    await outbox.settle();
  }
}

type Window = { readonly firstBlock: number; readonly endBytes: number; readonly digests: Buffer | undefined };
type Outbox = ReturnType<typeof createOutbox>;

/** Undefined stands for "all zeros": a disk of which the vault has nothing need not be asked about. */
async function windowDigests(order: ScanOrder, start: Position, firstBlock: number): Promise<Buffer | undefined> {
  const count = Math.min(windowBlocks, blockCount(order.captured.disk.sizeBytes) - firstBlock);
  if (start.sequence === 0 || count <= 0) return undefined;
  return order.sender.digests({ ...order, firstBlock, count });
}

async function compareWindow(order: ScanOrder, work: { window: Window; extents: Extent[]; outbox: Outbox }) {
  const { window, extents, outbox } = work;
  let doneBytes = window.firstBlock * blockBytes;
  const read: CapturedDisk['read'] = (...range) => order.captured.read(...range);
  for await (const piece of readAhead(extents, read)) {
    order.signal.throwIfAborted();
    await sendZeros(window, { from: doneBytes, to: piece.offsetBytes }, outbox);
    await comparePiece(window, piece, outbox);
    const pieceEnd = piece.offsetBytes + piece.data.length;
    order.onProgress({ comparedBytes: pieceEnd - doneBytes, sentBytes: 0 });
    doneBytes = pieceEnd;
  }
  await sendZeros(window, { from: doneBytes, to: window.endBytes }, outbox);
  order.onProgress({ comparedBytes: window.endBytes - doneBytes, sentBytes: 0 });
}

/** Joins neighbouring blocks that differ, so that they are copied and described once. */
async function comparePiece(window: Window, piece: Piece, outbox: Outbox) {
  const known = await digestsOfKnownBlocks(window, piece);
  let differsFrom = 0;
  let digests: Uint8Array[] = [];
  const flush = async (to: number) => {
    if (digests.length > 0) {
      await outbox.add({
        offsetBytes: piece.offsetBytes + differsFrom,
        data: piece.data.subarray(differsFrom, to),
        digests,
      });
    }
    digests = [];
  };
  for (let at = 0; at < piece.data.length; at += blockBytes) {
    const block = piece.data.subarray(at, at + blockBytes);
    const index = (piece.offsetBytes + at) / blockBytes - window.firstBlock;
    const digest = digestOfOther(block, window.digests, { index, own: known[at / blockBytes] });
    if (digest === undefined) {
      await flush(at);
      continue;
    }
    if (digests.length === 0) differsFrom = at;
    digests.push(digest);
  }
  await flush(piece.data.length);
}

const zeroBlock = Buffer.alloc(blockBytes);

/**
 * Digests of the piece's blocks of which the vault has something to compare with, worked out on all processors: while nothing differs,
 * they are all that a comparison costs. The others are on their way to the process server, which needs the second processor then.
 */
function digestsOfKnownBlocks(window: Window, piece: Piece): Promise<(Uint8Array | undefined)[]> {
  const firstIndex = piece.offsetBytes / blockBytes - window.firstBlock;
  return Promise.all(
    Array.from({ length: Math.ceil(piece.data.length / blockBytes) }, async (_, number) => {
      const { digests } = window;
      if (digests === undefined || isZeroDigest(digests, firstIndex + number)) return undefined;
      const block = piece.data.subarray(number * blockBytes, (number + 1) * blockBytes);
      // Zeros have a digest of their own, which is not their hash.
      return isZeroBlock(block) ? undefined : new Uint8Array(await webcrypto.subtle.digest('SHA-256', block));
    }),
  );
}

/** The block's digest; undefined when the vault has that very block. */
function digestOfOther(
  block: Buffer,
  digests: Buffer | undefined,
  of: { readonly index: number; readonly own: Uint8Array | undefined },
): Uint8Array | undefined {
  const { index, own } = of;
  const isZeroThere = digests === undefined || isZeroDigest(digests, index);
  if (isZeroThere && isZeroBlock(block)) return undefined;
  const digest = own ?? blockDigest(block);
  if (isZeroThere) return digest;
  return digests.compare(digest, 0, digestBytes, index * digestBytes, (index + 1) * digestBytes) === 0
    ? undefined
    : digest;
}

function isZeroDigest(digests: Buffer, index: number): boolean {
  return zeroBlock.compare(digests, index * digestBytes, (index + 1) * digestBytes, 0, digestBytes) === 0;
}

/** Blocks that are not allocated in the view hold zeros: those that the vault has otherwise are overwritten there. */
async function sendZeros(window: Window, range: { from: number; to: number }, outbox: Outbox): Promise<void> {
  if (window.digests === undefined) return;
  for (let at = range.from; at < range.to; at += blockBytes) {
    if (isZeroDigest(window.digests, at / blockBytes - window.firstBlock)) continue;
    const data = zeroBlock.subarray(0, Math.min(blockBytes, range.to - at));
    await outbox.add({ offsetBytes: at, data, digests: [blockDigest(data)] });
  }
}

/**
 * Fills one image while the other is on its way. Never more than one is, because each names the position that the one before it made.
 */
function createOutbox(order: ScanOrder, start: Position) {
  const memoryBytes = hrlImageBytesMax(scanBatchBytes, blockBytes);
  const memories = [Buffer.allocUnsafeSlow(memoryBytes), Buffer.allocUnsafeSlow(memoryBytes)] as const;
  let turn: 0 | 1 = 0;
  let builder = newBuilder(memories[0], order);
  let blocks: ContentBlock[] = [];
  let inFlight: Promise<Position> = Promise.resolve(start);
  const flush = async () => {
    // Closed while the one before it is still on its way.
    const image = builder.seal();
    const contentDigest = contentDigestOf(blocks);
    blocks = [];
    const dataBytes = builder.dataBytes();
    const previous = await inFlight;
    const handedOver = Promise.withResolvers<void>();
    const segment = { image, contentDigest, previous };
    inFlight = sendImage({ ...order, segment, onHandedOver: handedOver.resolve }).then((position) => {
      order.onProgress({ comparedBytes: 0, sentBytes: dataBytes });
      return position;
    });
    // Awaited at the next flush or at the end; until then a rejection must not count as unhandled.
    void Promise.allSettled([inFlight]);
    turn = turn === 0 ? 1 : 0;
    builder = newBuilder(memories[turn], order);
    // Comparing goes on while the process server works: before that, it would only hold up encrypting what is to leave.
    await Promise.race([handedOver.promise, Promise.allSettled([inFlight])]);
  };
  return {
    /** Copies whole blocks that follow those before; `digests` has one each. */
    async add({ offsetBytes, data, digests }: Piece & { readonly digests: readonly Uint8Array[] }) {
      if (builder.dataBytes() + data.length > scanBatchBytes) await flush();
      builder.append(offsetBytes, data);
      digests.forEach((digest, index) => {
        const at = index * blockBytes;
        const lengthBytes = Math.min(blockBytes, data.length - at);
        blocks.push({ offsetBytes: offsetBytes + at, lengthBytes, digest });
      });
    },
    async finish(): Promise<Position> {
      if (builder.dataBytes() > 0) await flush();
      return inFlight;
    },
    /** Waits for what is on its way; its outcome does not matter any more. */
    async settle() {
      await Promise.allSettled([inFlight]);
    },
  };
}

function newBuilder(memory: Buffer, order: ScanOrder) {
  const identity = {
    uniqueId: randomUUID(),
    previousUniqueId: nilUuid,
    dataWriteId: nilUuid,
    createdAtMs: order.nowMs(),
  };
  return createHrlImageBuilder(memory, identity, order.nowMs);
}

async function sendImage(order: ScanOrder & SegmentCall): Promise<Position> {
  const outcome = await order.sender.send(order);
  if (outcome.kind === 'acknowledged') return outcome.position;
  throw new OutageError(
    `compare disk ${order.captured.disk.key} with the vault: the vault moved to sequence ${outcome.position.sequence} meanwhile`,
    { retryable: true, nextStep: 'The comparison starts again by itself.' },
  );
}

/** Takes the sorted extents of the view, rounded out to blocks, window by window. */
function allocatedRuns(allocated: AsyncIterable<Extent>, sizeBytes: number) {
  const iterator = allocated[Symbol.asyncIterator]();
  let pending: Extent | undefined;
  let isAtEnd = false;
  return {
    async upTo(endBytes: number): Promise<Extent[]> {
      const found: Extent[] = [];
      while (!isAtEnd) {
        if (pending === undefined) {
          const next = await iterator.next();
          isAtEnd = next.done === true;
          pending = next.done === true ? undefined : next.value;
          continue;
        }
        if (pending.offsetBytes >= endBytes) break;
        const end = pending.offsetBytes + pending.lengthBytes;
        found.push({ offsetBytes: pending.offsetBytes, lengthBytes: Math.min(end, endBytes) - pending.offsetBytes });
        pending = end > endBytes ? { offsetBytes: endBytes, lengthBytes: end - endBytes } : undefined;
      }
      return alignExtents(found, sizeBytes);
    },
    async close() {
      await iterator.return?.();
    },
  };
}

import type { Extent } from '../domain/extent.ts';
import { reclaimBuffers } from './buffer-reclaim.ts';
import type { CapturedDisk } from './tracker/change-tracker.ts';

const pieceBytesMax = 1_048_576;
/** Enough to keep an NBD server busy; each piece is 1 MiB, so this bounds the memory too. */
const readsInFlightMax = 4;
const reclaimEveryBytes = 16 * 1_048_576;

/** `data` is valid until the next piece is asked for: its memory is used again. */
export type Piece = { readonly offsetBytes: number; readonly data: Buffer };

/** Reads extents in order, in pieces of at most 1 MiB, a few of them ahead of the consumer. */
export async function* readAhead(
  extents: Iterable<Extent> | AsyncIterable<Extent>,
  read: CapturedDisk['read'],
): AsyncGenerator<Piece> {
  const inFlight: Promise<Piece>[] = [];
  const memories: Buffer[] = [];
  let readCount = 0;
  let readBytes = 0;
  try {
    for await (const piece of pieces(extents)) {
      // Free again: the piece that was read into it last has been consumed.
      const turn = readCount % readsInFlightMax;
      const memory = memories[turn] ?? Buffer.allocUnsafeSlow(pieceBytesMax);
      memories[turn] = memory;
      readCount += 1;
      const reading = read(piece.offsetBytes, piece.lengthBytes, memory).then((data) => ({
        offsetBytes: piece.offsetBytes,
        data,
      }));
      // Awaited below, in order; until then a rejection must not count as unhandled.
      void Promise.allSettled([reading]);
      inFlight.push(reading);
      readBytes += piece.lengthBytes;
      const first = inFlight.length === readsInFlightMax ? inFlight.shift() : undefined;
      if (first !== undefined) yield await first;
      if (readBytes < reclaimEveryBytes) continue;
      reclaimBuffers();
      readBytes = 0;
    }
    for (let next = inFlight.shift(); next !== undefined; next = inFlight.shift()) yield await next;
  } finally {
    // The view must not be given back while it is still being read.
    await Promise.allSettled(inFlight);
  }
}

async function* pieces(extents: Iterable<Extent> | AsyncIterable<Extent>): AsyncGenerator<Extent> {
  for await (const extent of extents) {
    for (let done = 0; done < extent.lengthBytes; done += pieceBytesMax) {
      const lengthBytes = Math.min(pieceBytesMax, extent.lengthBytes - done);
      yield { offsetBytes: extent.offsetBytes + done, lengthBytes };
    }
  }
}

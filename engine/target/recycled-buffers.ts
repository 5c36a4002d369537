/**
 * Memory for replies that is used again once the operating system has taken a reply.
 *
 * Fresh memory for every read costs more than the read itself: it is touched for the first time, and the collector has to find it.
 */
export type RecycledBuffers = {
  /** At least so many bytes, with whatever was in them before. */
  take(sizeBytes: number): Buffer;
  /** Only what came from `take`, once, and when nobody reads it any more. */
  giveBack(buffer: Buffer): void;
};

const smallestBytes = 8_192;
/** Buffers above this are rare and not worth keeping. */
const largestKeptBytes = 4 * 1024 * 1024;
/** What one connection keeps for later at most. */
const keptBytesMax = 32 * 1024 * 1024;

export function recycledBuffers(): RecycledBuffers {
  const free = new Map<number, Buffer[]>();
  let keptBytes = 0;
  return {
    take(sizeBytes) {
      const size = sizeClass(sizeBytes);
      const kept = free.get(size)?.pop();
      if (kept === undefined) return Buffer.allocUnsafeSlow(size);
      keptBytes -= size;
      return kept;
    },
    giveBack(buffer) {
      if (buffer.length > largestKeptBytes || keptBytes + buffer.length > keptBytesMax) return;
      keptBytes += buffer.length;
      const list = free.get(buffer.length);
      if (list === undefined) free.set(buffer.length, [buffer]);
      else list.push(buffer);
    },
  };
}

/** The next power of two, and a little: a reply's header must not double the size of a 1 MiB read. */
function sizeClass(sizeBytes: number): number {
  const headBytes = 64;
  const power = 2 ** Math.ceil(Math.log2(Math.max(1, sizeBytes - headBytes)));
  return Math.max(smallestBytes, power + headBytes);
}

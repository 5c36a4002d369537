/** Opened (authenticated, unpacked) frames, shared by all readers of a vault; the longest unused are given up first. */
export type FrameCache = {
  /** A number for the segment with that header digest: the same one for every reader. */
  segmentNumber(headerDigest: Buffer): number;
  get(key: number): Buffer | undefined;
  set(key: number, plain: Buffer): void;
};

/** No segment has more frames than this: see the segment format. */
const framesPerSegmentMax = 65_536;

export function frameKey(segmentNumber: number, frame: number): number {
  return segmentNumber * framesPerSegmentMax + frame;
}

export function createFrameCache(bytesMax: number): FrameCache {
  const frames = new Map<number, Buffer>();
  const numbers = new Map<string, number>();
  let heldBytes = 0;
  return {
    segmentNumber(headerDigest) {
      const name = headerDigest.toString('latin1');
      const number = numbers.get(name) ?? numbers.size;
      numbers.set(name, number);
      return number;
    },
    get(key) {
      const plain = frames.get(key);
      if (plain === undefined) return undefined;
      frames.delete(key);
      frames.set(key, plain);
      return plain;
    },
    set(key, plain) {
      if (frames.has(key)) return;
      frames.set(key, plain);
      heldBytes += plain.length;
      for (const [oldKey, old] of frames) {
        if (heldBytes <= bytesMax || oldKey === key) return;
        frames.delete(oldKey);
        heldBytes -= old.length;
      }
    },
  };
}

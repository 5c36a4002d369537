import { hash, type KeyObject } from 'node:crypto';
import { digestBytes } from '../../protocol/segment-footer.ts';
import { blocksPerFrame, type SealedFrame, sealFrame } from '../../protocol/segment-frame.ts';

/** Blocks of one segment to be hashed, packed and encrypted, four a frame. */
export type SealJob = {
  readonly encryptionKey: KeyObject;
  readonly headerDigest: Uint8Array;
  readonly firstFrame: number;
};

export type SealedBlocks = {
  /** 32 bytes a block. */
  readonly digests: Buffer;
  readonly frames: readonly SealedFrame[];
};

/** The work itself, on the calling thread. @param plain the blocks one after the other; only the last may be short */
export function sealBlocks(job: SealJob, plain: Buffer, blockLengths: readonly number[]): SealedBlocks {
  const digests = Buffer.allocUnsafe(blockLengths.length * digestBytes);
  const frames: SealedFrame[] = [];
  let at = 0;
  let frameStart = 0;
  blockLengths.forEach((lengthBytes, index) => {
    hash('sha256', plain.subarray(at, at + lengthBytes), 'buffer').copy(digests, index * digestBytes);
    at += lengthBytes;
    const frameFull = (index + 1) % blocksPerFrame === 0 || index === blockLengths.length - 1;
    if (!frameFull) return;
    const place = { headerDigest: job.headerDigest, frameNumber: job.firstFrame + frames.length };
    frames.push(sealFrame(job.encryptionKey, place, plain.subarray(frameStart, at)));
    frameStart = at;
  });
  return { digests, frames };
}

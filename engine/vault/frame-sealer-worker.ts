import { parentPort } from 'node:worker_threads';
import { invariant } from '../../domain/invariant.ts';
import { type SealJob, sealBlocks } from './seal-blocks.ts';

/** The blocks lie in shared memory, so that only their place crosses to this thread. */
export type SealRequest = {
  readonly requestId: number;
  readonly job: SealJob;
  readonly shared: SharedArrayBuffer;
  readonly blockLengths: readonly number[];
};

/** The sealed frames one after the other in `stored`, which this thread gives away. */
export type SealAnswer =
  | {
      readonly kind: 'sealed';
      readonly requestId: number;
      readonly digests: Uint8Array;
      readonly stored: Uint8Array;
      readonly frames: readonly { readonly codec: number; readonly plainBytes: number; readonly storedBytes: number }[];
    }
  | { readonly kind: 'failed'; readonly requestId: number; readonly error: Error };

const port = parentPort;
invariant(port, 'the frame sealer runs as a worker thread');

port.on('message', (request: SealRequest) => {
  const answer = sealRequest(request);
  port.postMessage(answer, answer.kind === 'sealed' ? [answer.stored.buffer as ArrayBuffer] : []);
});

function sealRequest({ requestId, job, shared, blockLengths }: SealRequest): SealAnswer {
  try {
    const plainBytes = blockLengths.reduce((sum, length) => sum + length, 0);
    const { digests, frames } = sealBlocks(job, Buffer.from(shared, 0, plainBytes), blockLengths);
    const storedBytes = frames.reduce((sum, frame) => sum + frame.stored.length, 0);
    // Not from the buffer pool: only memory of its own can be given away.
    const stored = new Uint8Array(storedBytes);
    let at = 0;
    const table = frames.map((frame) => {
      stored.set(frame.stored, at);
      at += frame.stored.length;
      return { codec: frame.codec, plainBytes: frame.plainBytes, storedBytes: frame.stored.length };
    });
    return { kind: 'sealed', requestId, digests: new Uint8Array(digests), stored, frames: table };
  } catch (error) {
    return { kind: 'failed', requestId, error: error instanceof Error ? error : new Error(String(error)) };
  }
}

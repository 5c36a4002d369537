import type { KeyObject } from 'node:crypto';
import { availableParallelism } from 'node:os';
import { Worker } from 'node:worker_threads';
import { blockBytes } from '../../domain/extent.ts';
import { invariant } from '../../domain/invariant.ts';
import { OutageError } from '../../domain/outage.ts';
import { blocksPerFrame, type SealedFrame } from '../../protocol/segment-frame.ts';
import type { SealAnswer, SealRequest } from './frame-sealer-worker.ts';
import { type SealedBlocks, sealBlocks } from './seal-blocks.ts';

/** Hashes, packs and encrypts blocks: large batches on worker threads, small ones at once. */
export type FrameSealer = {
  /** @param blocks in order; only the last may be shorter than 64 KiB */
  seal(
    keys: { readonly encryptionKey: KeyObject; readonly headerDigest: Buffer },
    blocks: readonly Buffer[],
  ): Promise<SealedBlocks>;
  close(): Promise<void>;
};

/** One request to a worker: 4 MiB, a whole number of frames. */
const blocksPerRequest = 16 * blocksPerFrame;
/** Below this the way to a worker costs more than it gives. */
const inlineBlocksMax = 16;
const threadsMax = 2;
/** One request is worked on while the next is copied. */
const slotsPerThread = 2;

type Pending = {
  readonly resolve: (sealed: SealedBlocks) => void;
  readonly reject: (error: Error) => void;
  readonly slot: Slot;
};
type Waiting = { readonly resolve: (slot: Slot) => void; readonly reject: (error: Error) => void };
type Slot = { readonly worker: Worker; readonly shared: SharedArrayBuffer };

/** @param threads 0: everything on the calling thread */
export function createFrameSealer(threads = Math.min(threadsMax, availableParallelism())): FrameSealer {
  let pool: SealerPool | undefined;
  return {
    async seal(keys, blocks) {
      if (threads === 0 || blocks.length <= inlineBlocksMax) return sealInline(keys, blocks);
      if (pool === undefined || pool.failed()) pool = startPool(threads);
      return sealInPool(pool, keys, blocks);
    },
    async close() {
      await pool?.close();
      pool = undefined;
    },
  };
}

type SealKeys = { readonly encryptionKey: KeyObject; readonly headerDigest: Buffer };

function sealInline(keys: SealKeys, blocks: readonly Buffer[]): SealedBlocks {
  const lengths = blocks.map((block) => block.length);
  return sealBlocks({ ...keys, firstFrame: 0 }, Buffer.concat(blocks), lengths);
}

async function sealInPool(pool: SealerPool, keys: SealKeys, blocks: readonly Buffer[]): Promise<SealedBlocks> {
  const requests: Promise<SealedBlocks>[] = [];
  for (let at = 0; at < blocks.length; at += blocksPerRequest) {
    requests.push(pool.request({ ...keys, firstFrame: at / blocksPerFrame }, blocks.slice(at, at + blocksPerRequest)));
  }
  const parts = await Promise.all(requests);
  return { digests: Buffer.concat(parts.map((part) => part.digests)), frames: parts.flatMap((part) => part.frames) };
}

type SealerPool = {
  request(job: SealRequest['job'], blocks: readonly Buffer[]): Promise<SealedBlocks>;
  failed(): boolean;
  close(): Promise<void>;
};

function startPool(threads: number): SealerPool {
  const workers = Array.from(
    { length: threads },
    () => new Worker(new URL('./frame-sealer-worker.ts', import.meta.url)),
  );
  const pending = new Map<number, Pending>();
  const waiting: Waiting[] = [];
  const free: Slot[] = workers.flatMap((worker) => newSlots(worker));
  let failure: Error | undefined;
  let requestCount = 0;

  function release(slot: Slot): void {
    const next = waiting.shift();
    if (next !== undefined) next.resolve(slot);
    else free.push(slot);
    // Idle workers do not keep the program alive.
    if (pending.size === 0) for (const worker of workers) worker.unref();
  }
  function onAnswer(answer: SealAnswer): void {
    const request = pending.get(answer.requestId);
    invariant(request, 'a worker answers only what it was asked');
    pending.delete(answer.requestId);
    if (answer.kind === 'failed') request.reject(answer.error);
    else request.resolve(unpackAnswer(answer));
    release(request.slot);
  }
  function fail(cause: Error): void {
    failure = new OutageError('seal blocks: a worker thread died', { cause, retryable: true, nextStep: memoryStep });
    for (const request of pending.values()) request.reject(failure);
    for (const request of waiting.splice(0)) request.reject(failure);
    pending.clear();
  }
  for (const worker of workers) worker.on('message', onAnswer).on('error', fail).unref();

  async function request(job: SealRequest['job'], blocks: readonly Buffer[]): Promise<SealedBlocks> {
    const slot = free.pop() ?? (await new Promise<Slot>((resolve, reject) => waiting.push({ resolve, reject })));
    if (failure !== undefined) throw failure;
    requestCount += 1;
    const requestId = requestCount;
    const target = Buffer.from(slot.shared);
    let at = 0;
    for (const block of blocks) at += block.copy(target, at);
    const blockLengths = blocks.map((block) => block.length);
    return new Promise((resolve, reject) => {
      pending.set(requestId, { resolve, reject, slot });
      slot.worker.ref();
      slot.worker.postMessage({ requestId, job, shared: slot.shared, blockLengths } satisfies SealRequest);
    });
  }
  return {
    request,
    failed: () => failure !== undefined,
    close: async () => void (await Promise.all(workers.map((worker) => worker.terminate()))),
  };
}

const memoryStep = 'It is started again by itself; when this repeats, look at the memory of this host.';

function newSlots(worker: Worker): Slot[] {
  const sizeBytes = blocksPerRequest * blockBytes;
  return Array.from({ length: slotsPerThread }, () => ({ worker, shared: new SharedArrayBuffer(sizeBytes) }));
}

function unpackAnswer(answer: Extract<SealAnswer, { kind: 'sealed' }>): SealedBlocks {
  const stored = Buffer.from(answer.stored.buffer, answer.stored.byteOffset, answer.stored.byteLength);
  let at = 0;
  const frames: SealedFrame[] = answer.frames.map(({ codec, plainBytes, storedBytes }) => {
    at += storedBytes;
    return { codec, plainBytes, stored: stored.subarray(at - storedBytes, at) };
  });
  return { digests: Buffer.from(answer.digests), frames };
}

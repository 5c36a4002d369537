import type { IncomingMessage } from 'node:http';
import { finished } from 'node:stream/promises';
import { OutageError } from '../../domain/outage.ts';

/**
 * The memory for bodies: how much all of them together may take, and buffers that are used again, because fresh memory of this size
 * for every body costs more than reading it. What does not fit is refused, so that the sender waits instead of us.
 */
export type BodyMemory = {
  /** Memory of exactly that length with anything in it; undefined when there is no room now. */
  readonly take: (lengthBytes: number) => Buffer | undefined;
  /** Gives back what `take` gave; nobody may hold a view of it any more. */
  readonly giveBack: (body: Buffer) => void;
  /** Of the bodies that are in work. */
  readonly usedBytes: () => number;
};

/** Buffers are made in steps of this size, so that bodies of about the same length fit into each other's. */
const stepBytes = 4_194_304;
/** What an idle process server keeps: a few bodies of a comparison. */
const keptBytesMax = 67_108_864;

/** @param bytesMax of bodies in work; kept buffers come on top, at most 64 MiB and never more than `bytesMax` together with those */
export function createBodyMemory(bytesMax: number): BodyMemory {
  let usedBytes = 0;
  /** The one given back last is taken first. */
  let kept: ArrayBufferLike[] = [];
  const keptBytes = () => kept.reduce((sum, memory) => sum + memory.byteLength, 0);
  const shrink = () => {
    while (kept.length > 0 && keptBytes() > Math.min(keptBytesMax, bytesMax - usedBytes)) kept.shift();
  };
  const memoryFor = (lengthBytes: number): ArrayBufferLike => {
    const sizeBytes = sizeFor(lengthBytes);
    const fitting = kept.findLast((memory) => memory.byteLength === sizeBytes);
    if (fitting === undefined) return Buffer.allocUnsafeSlow(sizeBytes).buffer;
    kept = kept.filter((memory) => memory !== fitting);
    return fitting;
  };
  return {
    take(lengthBytes) {
      if (usedBytes + lengthBytes > bytesMax) return undefined;
      usedBytes += lengthBytes;
      const memory = memoryFor(lengthBytes);
      shrink();
      return Buffer.from(memory, 0, lengthBytes);
    },
    giveBack(body) {
      usedBytes -= body.length;
      if (body.buffer.byteLength >= stepBytes) kept.push(body.buffer);
      shrink();
    },
    usedBytes: () => usedBytes,
  };
}

/** Small bodies are not worth keeping: they get what they need. */
function sizeFor(lengthBytes: number): number {
  return lengthBytes < stepBytes / 4 ? lengthBytes : Math.ceil(lengthBytes / stepBytes) * stepBytes;
}

/**
 * Reads a body of exactly the announced length into `body`.
 *
 * @throws OutageError (retryable) when the sender goes away before its end
 */
export async function readBody(request: IncomingMessage, body: Buffer): Promise<void> {
  let done = 0;
  // As events: iterating would join what has arrived to a new buffer each time, which is a second copy of everything.
  request.on('data', (chunk: Buffer) => {
    // Node's HTTP parser ends the body at content-length; should it ever not, the length is wrong below.
    if (done + chunk.length <= body.length) body.set(chunk, done);
    done += chunk.length;
  });
  try {
    await finished(request, { writable: false });
  } catch (cause) {
    throw new OutageError(`read a segment: the agent went away after ${done} of ${body.length} bytes`, {
      cause,
      retryable: true,
    });
  }
  if (done !== body.length) {
    throw new OutageError(`read a segment: it ended after ${done} of ${body.length} bytes`, { retryable: true });
  }
}

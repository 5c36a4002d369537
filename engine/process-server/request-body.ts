import { createHash } from 'node:crypto';
import type { IncomingMessage } from 'node:http';
import { OutageError } from '../../domain/outage.ts';

/** How much memory all bodies together may take; what does not fit is refused, so that the sender waits instead of us. */
export type BodyBudget = {
  readonly reserve: (bytes: number) => boolean;
  readonly release: (bytes: number) => void;
  readonly usedBytes: () => number;
};

export function createBodyBudget(bytesMax: number): BodyBudget {
  let usedBytes = 0;
  return {
    reserve(bytes) {
      if (usedBytes + bytes > bytesMax) return false;
      usedBytes += bytes;
      return true;
    },
    release(bytes) {
      usedBytes -= bytes;
    },
    usedBytes: () => usedBytes,
  };
}

/**
 * Reads a body of exactly the announced length into one buffer, and its SHA-256 with it.
 *
 * @throws OutageError (retryable) when the sender goes away before its end
 */
export async function readBody(
  request: IncomingMessage,
  lengthBytes: number,
): Promise<{ readonly body: Buffer; readonly sha256: Buffer }> {
  const body = Buffer.allocUnsafeSlow(lengthBytes);
  const hash = createHash('sha256');
  let done = 0;
  try {
    // Node's HTTP parser ends the body at content-length, so no chunk can reach past the buffer.
    for await (const chunk of request as AsyncIterable<Buffer>) {
      body.set(chunk, done);
      hash.update(chunk);
      done += chunk.length;
    }
  } catch (cause) {
    throw new OutageError(`read a segment: the agent went away after ${done} of ${lengthBytes} bytes`, {
      cause,
      retryable: true,
    });
  }
  if (done !== lengthBytes) {
    throw new OutageError(`read a segment: it ended after ${done} of ${lengthBytes} bytes`, { retryable: true });
  }
  return { body, sha256: hash.digest() };
}

import type net from 'node:net';
import { OutageError } from '../domain/outage.ts';

/** Reads exact numbers of bytes from a socket, in order; one read at a time. */
export type SocketReader = {
  /** Rejects with OutageError when the socket ends first. The buffer may share memory with received data: do not change it. */
  read(lengthBytes: number): Promise<Buffer>;
};

/** Above this much unread data the socket is paused, so that a fast peer cannot fill memory. */
const unreadBytesMax = 8 * 1024 * 1024;

type Waiting = { lengthBytes: number; resolve: (bytes: Buffer) => void; reject: (error: Error) => void };

export function socketReader(socket: net.Socket): SocketReader {
  const chunks: Buffer[] = [];
  let unreadBytes = 0;
  let waiting: Waiting | undefined;
  let endError: Error | undefined;

  const serve = () => {
    if (waiting === undefined) return;
    const { lengthBytes, resolve, reject } = waiting;
    if (unreadBytes >= lengthBytes) {
      waiting = undefined;
      unreadBytes -= lengthBytes;
      resolve(takeBytes(chunks, lengthBytes));
    } else if (endError !== undefined) {
      waiting = undefined;
      reject(endError);
    }
    if (unreadBytes < (waiting?.lengthBytes ?? 0) || unreadBytes < unreadBytesMax) socket.resume();
  };
  const end = (cause: Error | undefined) => {
    endError ??= new OutageError('the NBD connection has ended', { cause, retryable: true });
    serve();
  };
  socket.on('data', (chunk: Buffer) => {
    chunks.push(chunk);
    unreadBytes += chunk.length;
    if (unreadBytes >= Math.max(unreadBytesMax, waiting?.lengthBytes ?? 0)) socket.pause();
    serve();
  });
  socket.on('error', end);
  socket.on('close', () => end(undefined));

  return {
    read: (lengthBytes) =>
      new Promise((resolve, reject) => {
        waiting = { lengthBytes, resolve, reject };
        serve();
      }),
  };
}

function takeBytes(chunks: Buffer[], lengthBytes: number): Buffer {
  const first = chunks[0];
  if (lengthBytes === 0 || first === undefined) return Buffer.alloc(0);
  if (first.length > lengthBytes) {
    chunks[0] = first.subarray(lengthBytes);
    return first.subarray(0, lengthBytes);
  }
  const parts: Buffer[] = [];
  let missing = lengthBytes;
  while (missing > 0) {
    // The caller has counted the unread bytes, so there is a chunk as long as bytes are missing.
    const chunk = chunks.shift()!;
    if (chunk.length > missing) chunks.unshift(chunk.subarray(missing));
    parts.push(chunk.subarray(0, missing));
    missing -= Math.min(missing, chunk.length);
  }
  return parts.length === 1 ? first : Buffer.concat(parts, lengthBytes);
}

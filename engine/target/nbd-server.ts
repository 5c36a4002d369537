import { chmod, rm } from 'node:fs/promises';
import net from 'node:net';
import { OutageError } from '../../domain/outage.ts';
import { clientFlagsBytes, handshakeFlag, optionHeaderBytes } from '../../protocol/nbd.ts';
import { decodeClientFlags, decodeOptionHeader, encodeServerHandshake } from '../../protocol/nbd-handshake.ts';
import type { NbdExport } from './nbd-export.ts';
import { type Handshake, type NbdSession, startHandshake } from './nbd-handshake.ts';
import { NbdTransmission, type ReadError } from './nbd-transmission.ts';

/**
 * A read-only NBD server on a unix socket that only its own user may open (mode 0600).
 *
 * Speaks fixed newstyle with structured replies and `base:allocation`; several exports by name; requests are pipelined.
 * There is no write path at all: what a machine writes goes to its overlay. Source: NetworkBlockDevice/nbd doc/proto.md
 */
export type NbdServer = {
  readonly socketPath: string;
  connectionCount(): number;
  close(): Promise<void>;
};

export type NbdServerOptions = {
  readonly socketPath: string;
  readonly exports: readonly NbdExport[];
  /** A read that the vault refused; the client was told EIO. */
  readonly onReadError: (error: ReadError) => void;
  /** A client that broke the protocol or the connection; it was cut off. */
  readonly onClientError?: (error: unknown) => void;
};

const connectionCountMax = 64;
const optionCountMax = 1000;
const handshakeLimitMs = 10_000;

export async function startNbdServer(options: NbdServerOptions): Promise<NbdServer> {
  const exports = new Map(options.exports.map((disk) => [disk.name, disk]));
  const sockets = new Set<net.Socket>();
  const server = net.createServer({ allowHalfOpen: false }, (socket) => {
    sockets.add(socket);
    socket.once('close', () => sockets.delete(socket));
    serveClient(socket, exports, options);
  });
  server.maxConnections = connectionCountMax;
  await rm(options.socketPath, { force: true });
  await listen(server, options.socketPath);
  await chmod(options.socketPath, 0o600);
  return {
    socketPath: options.socketPath,
    connectionCount: () => sockets.size,
    close: () =>
      new Promise((resolve, reject) => {
        server.close((error) => (error === undefined ? resolve() : reject(error)));
        for (const socket of sockets) socket.destroy();
      }),
  };
}

function listen(server: net.Server, socketPath: string): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once('error', (cause) => {
      reject(new OutageError(`listen on ${socketPath}`, { cause, retryable: true }));
    });
    server.listen(socketPath, resolve);
  });
}

function serveClient(socket: net.Socket, exports: ReadonlyMap<string, NbdExport>, options: NbdServerOptions): void {
  const cutOff = (error: unknown) => {
    options.onClientError?.(error);
    socket.destroy();
  };
  const timer = setTimeout(() => cutOff(new Error('an NBD client did not finish its handshake')), handshakeLimitMs);
  const transmit = (session: NbdSession) => {
    clearTimeout(timer);
    return new NbdTransmission({
      session,
      send: (parts, onSent) => sendParts(socket, parts, onSent),
      pause: () => socket.pause(),
      resume: () => socket.resume(),
      end: () => socket.end(),
      onReadError: options.onReadError,
    });
  };
  const negotiation = startNegotiation(socket, exports);
  let transmission: NbdTransmission | undefined;
  socket.on('error', cutOff);
  socket.on('close', () => clearTimeout(timer));
  const receive = (bytes: Buffer) => {
    if (transmission !== undefined) {
      transmission.receive(bytes);
      return;
    }
    const agreed = negotiation(bytes);
    if (agreed === undefined) return;
    transmission = transmit(agreed.session);
    transmission.receive(agreed.rest);
  };
  socket.on('data', (bytes: Buffer) => {
    try {
      receive(bytes);
    } catch (error) {
      cutOff(error);
    }
  });
}

/** Feeds the client's bytes to the handshake until both sides agree; then gives the session and the bytes that came after. */
function startNegotiation(socket: net.Socket, exports: ReadonlyMap<string, NbdExport>) {
  let unread = Buffer.alloc(0);
  let handshake: Handshake | undefined;
  let optionCount = 0;
  socket.write(encodeServerHandshake(handshakeFlag.fixedNewstyle | handshakeFlag.noZeroes));

  return (bytes: Buffer): { session: NbdSession; rest: Buffer } | undefined => {
    unread = Buffer.concat([unread, bytes]);
    if (handshake === undefined) {
      if (unread.length < clientFlagsBytes) return undefined;
      handshake = startHandshake(exports, hasNoZeroes(decodeClientFlags(unread)));
      unread = unread.subarray(clientFlagsBytes);
    }
    while (unread.length >= optionHeaderBytes) {
      const { option, lengthBytes } = decodeOptionHeader(unread);
      const end = optionHeaderBytes + lengthBytes;
      if (unread.length < end) return undefined;
      optionCount += 1;
      if (optionCount > optionCountMax)
        throw new OutageError('an NBD client haggles without end', { retryable: false });
      const outcome = handshake(option, unread.subarray(optionHeaderBytes, end));
      unread = unread.subarray(end);
      if (outcome.replies.length > 0) socket.write(Buffer.concat(outcome.replies));
      if (outcome.kind === 'transmission') return { session: outcome.session, rest: unread };
      if (outcome.kind === 'end') {
        socket.end();
        unread = Buffer.alloc(0);
      }
    }
    return undefined;
  };
}

function hasNoZeroes(clientFlags: number): boolean {
  const known = handshakeFlag.fixedNewstyle | handshakeFlag.noZeroes;
  if ((clientFlags & ~known) !== 0) {
    throw new OutageError('an NBD client wants a handshake that we do not know', { retryable: false });
  }
  return (clientFlags & handshakeFlag.noZeroes) !== 0;
}

function sendParts(socket: net.Socket, parts: readonly Buffer[], onSent: () => void): void {
  if (socket.destroyed) return;
  const [first] = parts;
  if (parts.length === 1 && first !== undefined) {
    socket.write(first, onSent);
    return;
  }
  socket.cork();
  for (const [index, part] of parts.entries()) socket.write(part, index === parts.length - 1 ? onSent : undefined);
  socket.uncork();
}

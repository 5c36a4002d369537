import net from 'node:net';
import { invariant } from '../domain/invariant.ts';
import { OutageError } from '../domain/outage.ts';
import {
  chunkFlag,
  chunkType,
  decodeBlockStatus,
  decodeChunkHeader,
  decodeDataOffset,
  decodeErrorChunk,
  decodeHole,
  encodeRequest,
  nbdCommand,
  nbdMagic,
  type StatusRun,
  simpleReplyBytes,
  structuredReplyHeaderBytes,
} from '../protocol/nbd.ts';
import { type SocketReader, socketReader } from '../protocol/socket-reader.ts';
import { negotiateExport } from './nbd-handshake.ts';

/** A read-only NBD connection to one export. Any number of calls may be under way; the wire carries a bounded number. */
export type NbdClient = {
  readonly sizeBytes: number;
  /**
   * @param into memory of at least that length for the answer, which the caller may use again
   * @throws NbdReadError when the server refuses; OutageError (retryable) when the connection ends or an answer is late
   */
  read(offsetBytes: number, lengthBytes: number, into?: Buffer): Promise<Buffer>;
  /** The flags of one meta context over a range, in order and without gaps. Adjacent runs may have the same flags. */
  status(context: string, offsetBytes: number, lengthBytes: number): AsyncIterable<StatusExtent>;
  close(): void;
};

export type StatusExtent = { readonly offsetBytes: number; readonly lengthBytes: number; readonly flags: number };

/** The server answered a request with an error number (of protocol/nbd.ts nbdError). */
export class NbdReadError extends Error {
  override name = 'NbdReadError';
  readonly error: number;

  constructor(message: string, error: number) {
    super(`${message} (error ${error})`);
    this.error = error;
  }
}

const requestBytesMax = 1024 * 1024;
const requestsInFlightMax = 8;
/** The longest range of one block status request; the wire has 32 bits for it. */
const statusBytesMax = 1024 * 1024 * 1024;
const answerTimeoutMs = 30_000;
const connectTimeoutMs = 10_000;

/**
 * Connects to an export on a unix socket.
 *
 * @param metaContexts names that the server must know; an unknown one is an OutageError
 */
export async function connectNbd(options: {
  readonly socketPath: string;
  readonly exportName: string;
  readonly metaContexts: readonly string[];
}): Promise<NbdClient> {
  const socket = net.connect(options.socketPath);
  socket.setTimeout(connectTimeoutMs, () => socket.destroy(new Error('no answer')));
  const reader = socketReader(socket);
  try {
    const agreed = await negotiateExport(socket, reader, options);
    socket.setTimeout(0);
    return new Client(socket, reader, agreed.sizeBytes, agreed.contexts);
  } catch (cause) {
    socket.destroy();
    throw new OutageError(`open the NBD export ${options.exportName} at ${options.socketPath}`, {
      cause,
      retryable: true,
    });
  }
}

type PendingRequest = {
  readonly command: number;
  readonly offsetBytes: number;
  readonly data: Buffer;
  readonly runs: Map<number, StatusRun[]>;
  error: NbdReadError | undefined;
  readonly timer: NodeJS.Timeout;
  readonly resolve: () => void;
  readonly reject: (error: Error) => void;
};

class Client implements NbdClient {
  readonly sizeBytes: number;
  #socket: net.Socket;
  #reader: SocketReader;
  #contexts: ReadonlyMap<string, number>;
  #pending = new Map<bigint, PendingRequest>();
  #lastHandle = 0n;
  #waiting: (() => void)[] = [];
  #endError: Error | undefined;

  constructor(socket: net.Socket, reader: SocketReader, sizeBytes: number, contexts: ReadonlyMap<string, number>) {
    this.#socket = socket;
    this.#reader = reader;
    this.sizeBytes = sizeBytes;
    this.#contexts = contexts;
    this.#receiveAll().catch((error: Error) => this.#end(error));
  }

  async read(offsetBytes: number, lengthBytes: number, into?: Buffer): Promise<Buffer> {
    invariant(
      offsetBytes >= 0 && lengthBytes >= 0 && offsetBytes + lengthBytes <= this.sizeBytes,
      `read ${offsetBytes}+${lengthBytes} lies inside the export of ${this.sizeBytes} bytes`,
    );
    const data = into?.subarray(0, lengthBytes) ?? Buffer.allocUnsafe(lengthBytes);
    const pieces: Promise<unknown>[] = [];
    for (let at = 0; at < lengthBytes; at += requestBytesMax) {
      const piece = data.subarray(at, Math.min(lengthBytes, at + requestBytesMax));
      pieces.push(this.#request({ command: nbdCommand.read, offsetBytes: offsetBytes + at, data: piece }));
    }
    await Promise.all(pieces);
    return data;
  }

  async *status(context: string, offsetBytes: number, lengthBytes: number): AsyncIterable<StatusExtent> {
    const contextId = this.#contexts.get(context);
    invariant(contextId !== undefined, `the meta context ${context} was asked for when connecting`);
    const endBytes = offsetBytes + lengthBytes;
    let at = offsetBytes;
    while (at < endBytes) {
      const askedBytes = Math.min(statusBytesMax, endBytes - at);
      const runs = await this.#request({ command: nbdCommand.blockStatus, offsetBytes: at, lengthBytes: askedBytes });
      const ours = runs.get(contextId) ?? [];
      if (ours.every((run) => run.lengthBytes === 0)) throw new OutageError('empty block status', { retryable: true });
      for (const run of ours) {
        const runBytes = Math.min(run.lengthBytes, endBytes - at);
        if (runBytes > 0) yield { offsetBytes: at, lengthBytes: runBytes, flags: run.flags };
        at += runBytes;
      }
    }
  }

  close(): void {
    if (this.#endError === undefined) {
      const bye = { command: nbdCommand.disconnect, flags: 0, handle: 0n, offsetBytes: 0, lengthBytes: 0 };
      this.#socket.end(encodeRequest(bye));
    }
    this.#end(new OutageError('the NBD connection was closed', { retryable: true }));
    this.#socket.destroySoon();
  }

  async #request(request: {
    command: number;
    offsetBytes: number;
    data?: Buffer;
    lengthBytes?: number;
  }): Promise<ReadonlyMap<number, StatusRun[]>> {
    while (this.#pending.size >= requestsInFlightMax) {
      await new Promise<void>((resolve) => this.#waiting.push(resolve));
    }
    if (this.#endError !== undefined) throw this.#endError;
    const handle = ++this.#lastHandle;
    const runs = new Map<number, StatusRun[]>();
    const data = request.data ?? Buffer.alloc(0);
    await new Promise<void>((resolve, reject) => {
      const late = () => this.#end(new OutageError(`no NBD answer within ${answerTimeoutMs} ms`, { retryable: true }));
      const timer = setTimeout(late, answerTimeoutMs);
      const { command, offsetBytes } = request;
      this.#pending.set(handle, { command, offsetBytes, data, runs, error: undefined, timer, resolve, reject });
      const lengthBytes = request.lengthBytes ?? data.length;
      this.#socket.write(encodeRequest({ command, flags: 0, handle, offsetBytes, lengthBytes }));
    });
    return runs;
  }

  async #receiveAll(): Promise<never> {
    for (;;) {
      const head = await this.#reader.read(simpleReplyBytes);
      if (head.readUInt32BE(0) === nbdMagic.simpleReply) await this.#takeSimple(head);
      else await this.#takeChunk(head);
    }
  }

  async #takeSimple(head: Buffer): Promise<void> {
    const handle = head.readBigUInt64BE(8);
    const pending = this.#pendingOf(handle);
    const error = head.readUInt32BE(4);
    if (error !== 0) pending.error = readError(pending, error, '');
    else if (pending.command === nbdCommand.read) (await this.#reader.read(pending.data.length)).copy(pending.data);
    this.#finish(handle, pending);
  }

  async #takeChunk(head: Buffer): Promise<void> {
    const rest = await this.#reader.read(structuredReplyHeaderBytes - simpleReplyBytes);
    const chunk = decodeChunkHeader(Buffer.concat([head, rest]));
    const payload = await this.#reader.read(chunk.lengthBytes);
    const pending = this.#pendingOf(chunk.handle);
    if (chunk.type === chunkType.offsetData) takeData(pending, payload);
    else if (chunk.type === chunkType.offsetHole) takeHole(pending, payload);
    else if (chunk.type === chunkType.blockStatus) takeStatus(pending, payload);
    else if (chunk.type >= chunkType.error) {
      const { error, message } = decodeErrorChunk(payload);
      pending.error = readError(pending, error, message);
    }
    if ((chunk.flags & chunkFlag.done) !== 0) this.#finish(chunk.handle, pending);
  }

  #pendingOf(handle: bigint): PendingRequest {
    const pending = this.#pending.get(handle);
    if (pending === undefined) throw new OutageError('the NBD server answered an unknown request', { retryable: true });
    return pending;
  }

  #finish(handle: bigint, pending: PendingRequest): void {
    this.#pending.delete(handle);
    clearTimeout(pending.timer);
    if (pending.error === undefined) pending.resolve();
    else pending.reject(pending.error);
    this.#waiting.shift()?.();
  }

  #end(error: Error): void {
    this.#endError ??= error;
    for (const pending of this.#pending.values()) {
      clearTimeout(pending.timer);
      pending.reject(this.#endError);
    }
    this.#pending.clear();
    for (const resume of this.#waiting.splice(0)) resume();
    this.#socket.destroy();
  }
}

function readError(pending: PendingRequest, error: number, message: string): NbdReadError {
  const what = pending.command === nbdCommand.read ? `read ${pending.data.length} bytes` : 'ask the block status';
  return new NbdReadError(`${what} at ${pending.offsetBytes}${message === '' ? '' : `: ${message}`}`, error);
}

/** Where a piece of a read belongs in its buffer; throws when the server sends what was not asked for. */
function placeOf(pending: PendingRequest, offsetBytes: number, lengthBytes: number): number {
  const at = offsetBytes - pending.offsetBytes;
  if (at < 0 || at + lengthBytes > pending.data.length) {
    throw new OutageError('the NBD server sent data that was not asked for', { retryable: true });
  }
  return at;
}

function takeData(pending: PendingRequest, payload: Buffer): void {
  payload.copy(pending.data, placeOf(pending, decodeDataOffset(payload), payload.length - 8), 8);
}

function takeHole(pending: PendingRequest, payload: Buffer): void {
  const hole = decodeHole(payload);
  const at = placeOf(pending, hole.offsetBytes, hole.lengthBytes);
  pending.data.fill(0, at, at + hole.lengthBytes);
}

function takeStatus(pending: PendingRequest, payload: Buffer): void {
  const { contextId, runs } = decodeBlockStatus(payload);
  pending.runs.set(contextId, runs);
}

import {
  chunkFlag,
  chunkType,
  commandFlag,
  decodeRequest,
  encodeBlockStatus,
  encodeChunkHeader,
  encodeErrorChunk,
  encodeHole,
  encodeSimpleReply,
  type NbdRequest,
  nbdCommand,
  nbdError,
  nbdMagic,
  requestBytes,
  simpleReplyBytes,
  structuredReplyHeaderBytes,
  transferBytesMax,
} from '../../protocol/nbd.ts';
import { isHole, statusRuns } from './nbd-export.ts';
import { allocationContextId, type NbdSession } from './nbd-handshake.ts';
import { recycledBuffers } from './recycled-buffers.ts';

export type ReadError = {
  readonly exportName: string;
  readonly offsetBytes: number;
  readonly lengthBytes: number;
  readonly error: unknown;
};

export type TransmissionDeps = {
  readonly session: NbdSession;
  /** Hands bytes to the client; `onSent` is called when the operating system has taken them. */
  readonly send: (parts: readonly Buffer[], onSent: () => void) => void;
  /** Stop and go on delivering the client's bytes: too many replies are under way. */
  readonly pause: () => void;
  readonly resume: () => void;
  /** No more requests will come; close when all is sent. */
  readonly end: () => void;
  readonly onReadError: (error: ReadError) => void;
};

/** Replies that a client has asked for and not taken yet, per connection; then its next requests wait. */
const inFlightBytesMax = 2 * transferBytesMax;
const inFlightCountMax = 256;
const statusRunCountMax = 4096;
/** Up to here the replies of one turn are copied into one buffer. */
const joinBytesMax = 262_144;
/** What a refused request counts against the limit. */
const smallReplyBytes = 64;

/**
 * Serves one client's requests from a disk that nobody can write.
 *
 * Requests are answered in the order in which their reads finish; the handle tells the client which is which. What the vault
 * cannot give is answered with EIO: no byte of it, and never zeros in its place.
 */
export class NbdTransmission {
  readonly #deps: TransmissionDeps;
  #unread: Buffer = Buffer.alloc(0);
  #payloadToSkipBytes = 0;
  #inFlightBytes = 0;
  #inFlightCount = 0;
  #replies: Buffer[] = [];
  #repliesCost = 0;
  #repliesCount = 0;
  /** Buffers that hold replies of the next flush. */
  #lent: Buffer[] = [];
  readonly #buffers = recycledBuffers();
  readonly #headBytes: number;
  #isPaused = false;
  #isEnding = false;

  constructor(deps: TransmissionDeps) {
    this.#deps = deps;
    this.#headBytes = deps.session.hasStructuredReplies ? structuredReplyHeaderBytes + 8 : simpleReplyBytes;
  }

  /** Throws OutageError when the client no longer speaks the protocol. */
  receive(bytes: Buffer): void {
    this.#unread = this.#unread.length === 0 ? bytes : Buffer.concat([this.#unread, bytes]);
    this.#takeRequests();
  }

  #takeRequests(): void {
    while (!this.#isEnding) {
      this.#skipPayload();
      if (this.#payloadToSkipBytes > 0 || this.#unread.length < requestBytes) break;
      if (this.#inFlightBytes >= inFlightBytesMax || this.#inFlightCount >= inFlightCountMax) {
        this.#isPaused = true;
        this.#deps.pause();
        return;
      }
      const request = decodeRequest(this.#unread);
      this.#unread = this.#unread.subarray(requestBytes);
      this.#answer(request);
    }
    if (!this.#isPaused) return;
    this.#isPaused = false;
    this.#deps.resume();
  }

  #skipPayload(): void {
    const skipped = Math.min(this.#payloadToSkipBytes, this.#unread.length);
    this.#payloadToSkipBytes -= skipped;
    if (skipped > 0) this.#unread = this.#unread.subarray(skipped);
  }

  #answer(request: NbdRequest): void {
    switch (request.command) {
      case nbdCommand.read:
        this.#read(request);
        break;
      case nbdCommand.blockStatus:
        this.#blockStatus(request);
        break;
      case nbdCommand.disconnect:
        this.#isEnding = true;
        this.#endWhenSent();
        break;
      case nbdCommand.write:
        this.#payloadToSkipBytes = request.lengthBytes;
        this.#refuse(request, nbdError.notPermitted, 'a recovery point is read-only');
        break;
      case nbdCommand.trim:
      case nbdCommand.writeZeroes:
        this.#refuse(request, nbdError.notPermitted, 'a recovery point is read-only');
        break;
      default:
        this.#refuse(request, nbdError.invalid, 'this command was not offered');
    }
  }

  #read(request: NbdRequest): void {
    const { offsetBytes, lengthBytes } = request;
    const { disk } = this.#deps.session;
    if (!this.#isInside(request) || lengthBytes > transferBytesMax) {
      this.#refuse(request, nbdError.invalid, 'the range is not a readable part of the disk');
      return;
    }
    const cost = this.#begin(lengthBytes);
    if (isHole(disk, offsetBytes, lengthBytes)) {
      this.#reply(cost, this.#holeReply(request));
      return;
    }
    let lent: Buffer | undefined;
    const allocate = (sizeBytes: number) => {
      // Room for the header in front, so that header and data leave as one piece. A second call gets memory of its own.
      if (lent !== undefined || sizeBytes !== lengthBytes) return Buffer.allocUnsafe(sizeBytes);
      lent = this.#buffers.take(this.#headBytes + lengthBytes);
      return lent.subarray(this.#headBytes, this.#headBytes + lengthBytes);
    };
    disk.read(offsetBytes, lengthBytes, allocate).then(
      (data) => {
        if (data.length === lengthBytes) this.#replyData(request, cost, { data, lent });
        else this.#fail(request, cost, new Error(`the reader gave ${data.length} bytes`));
      },
      (error: unknown) => this.#fail(request, cost, error),
    );
  }

  #replyData(request: NbdRequest, cost: number, answer: { data: Buffer; lent: Buffer | undefined }): void {
    const { data, lent } = answer;
    const isInLent =
      lent !== undefined && data.buffer === lent.buffer && data.byteOffset === lent.byteOffset + this.#headBytes;
    const head = isInLent ? lent.subarray(0, this.#headBytes) : Buffer.allocUnsafe(this.#headBytes);
    if (this.#deps.session.hasStructuredReplies) writeDataHead(head, request);
    else head.set(encodeSimpleReply(request.handle, 0));
    if (isInLent) {
      this.#lent.push(lent);
      this.#reply(cost, [lent.subarray(0, this.#headBytes + data.length)]);
      return;
    }
    // What was lent and not answered with is never used again: the reader may still hold it.
    this.#reply(cost, [head, data]);
  }

  #fail(request: NbdRequest, cost: number, error: unknown): void {
    const { offsetBytes, lengthBytes } = request;
    this.#deps.onReadError({ exportName: this.#deps.session.disk.name, offsetBytes, lengthBytes, error });
    this.#reply(cost, this.#errorReply(request, nbdError.inputOutput, 'the vault cannot give these bytes'));
  }

  #blockStatus(request: NbdRequest): void {
    if (!this.#deps.session.hasAllocationContext || !this.#isInside(request)) {
      this.#refuse(request, nbdError.invalid, 'no status of this range can be given');
      return;
    }
    const runCountMax = (request.flags & commandFlag.requestOne) === 0 ? statusRunCountMax : 1;
    const payload = encodeBlockStatus(allocationContextId, statusRuns(this.#deps.session.disk, request, runCountMax));
    this.#reply(this.#begin(payload.length), [lastChunk(request, chunkType.blockStatus, payload.length), payload]);
  }

  #holeReply(request: NbdRequest): Buffer[] {
    if (!this.#deps.session.hasStructuredReplies) {
      return [encodeSimpleReply(request.handle, 0), Buffer.alloc(request.lengthBytes)];
    }
    const payload = encodeHole(request.offsetBytes, request.lengthBytes);
    return [lastChunk(request, chunkType.offsetHole, payload.length), payload];
  }

  #isInside({ offsetBytes, lengthBytes }: NbdRequest): boolean {
    return lengthBytes > 0 && offsetBytes + lengthBytes <= this.#deps.session.disk.sizeBytes;
  }

  #refuse(request: NbdRequest, error: number, message: string): void {
    this.#reply(this.#begin(smallReplyBytes), this.#errorReply(request, error, message));
  }

  #errorReply(request: NbdRequest, error: number, message: string): Buffer[] {
    if (!this.#deps.session.hasStructuredReplies) return [encodeSimpleReply(request.handle, error)];
    const payload = encodeErrorChunk(error, message);
    return [lastChunk(request, chunkType.error, payload.length), payload];
  }

  #begin(costBytes: number): number {
    this.#inFlightBytes += costBytes;
    this.#inFlightCount += 1;
    return costBytes;
  }

  /** Replies that become ready in one turn of the event loop leave in one system call. */
  #reply(costBytes: number, parts: readonly Buffer[]): void {
    if (this.#repliesCount === 0) process.nextTick(() => this.#flush());
    this.#replies.push(...parts);
    this.#repliesCost += costBytes;
    this.#repliesCount += 1;
  }

  #flush(): void {
    const [cost, count, lent] = [this.#repliesCost, this.#repliesCount, this.#lent];
    const parts = this.#joined(this.#replies, lent);
    this.#replies = [];
    this.#lent = [];
    this.#repliesCost = 0;
    this.#repliesCount = 0;
    this.#deps.send(parts, () => {
      for (const buffer of lent) this.#buffers.giveBack(buffer);
      this.#inFlightBytes -= cost;
      this.#inFlightCount -= count;
      if (this.#isEnding) this.#endWhenSent();
      else if (this.#isPaused) this.#takeRequests();
    });
  }

  /** Many small parts become one: copying them costs less than handing each to the system. */
  #joined(parts: readonly Buffer[], lent: Buffer[]): readonly Buffer[] {
    const sizeBytes = parts.reduce((sum, part) => sum + part.length, 0);
    if (parts.length === 1 || sizeBytes > joinBytesMax) return parts;
    const whole = this.#buffers.take(sizeBytes);
    let at = 0;
    for (const part of parts) at += part.copy(whole, at);
    lent.push(whole);
    return [whole.subarray(0, sizeBytes)];
  }

  #endWhenSent(): void {
    if (this.#inFlightCount === 0) this.#deps.end();
  }
}

function lastChunk(request: NbdRequest, type: number, lengthBytes: number): Buffer {
  return encodeChunkHeader({ flags: chunkFlag.done, type, handle: request.handle, lengthBytes });
}

/** The header of a chunk of data and the offset of that data. */
function writeDataHead(head: Buffer, request: NbdRequest): void {
  head.writeUInt32BE(nbdMagic.structuredReply, 0);
  head.writeUInt16BE(chunkFlag.done, 4);
  head.writeUInt16BE(chunkType.offsetData, 6);
  head.writeBigUInt64BE(request.handle, 8);
  head.writeUInt32BE(8 + request.lengthBytes, 16);
  head.writeBigUInt64BE(BigInt(request.offsetBytes), 20);
}

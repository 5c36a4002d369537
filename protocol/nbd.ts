import { OutageError } from '../domain/outage.ts';

/**
 * The wire of the Network Block Device protocol (fixed newstyle, simple and structured replies, meta contexts), for client and server:
 * numbers, requests and replies. The handshake before them is in nbd-handshake.ts.
 *
 * All numbers are big-endian. Encoders give the bytes to send; decoders take exactly the bytes that they name and throw
 * OutageError when those are of another protocol. Source: NetworkBlockDevice/nbd doc/proto.md
 */

export const nbdMagic = {
  /** "NBDMAGIC" */
  server: 0x4e42444d41474943n,
  /** "IHAVEOPT" */
  option: 0x49484156454f5054n,
  optionReply: 0x0003e889045565a9n,
  request: 0x25609513,
  simpleReply: 0x67446698,
  structuredReply: 0x668e33ef,
} as const;

export const handshakeFlag = { fixedNewstyle: 1, noZeroes: 2 } as const;

export const nbdOption = {
  exportName: 1,
  abort: 2,
  list: 3,
  startTls: 5,
  info: 6,
  go: 7,
  structuredReply: 8,
  listMetaContext: 9,
  setMetaContext: 10,
} as const;

export const optionReply = {
  acknowledged: 1,
  server: 2,
  info: 3,
  metaContext: 4,
  errorUnsupported: 0x8000_0001,
  errorPolicy: 0x8000_0002,
  errorInvalid: 0x8000_0003,
  errorUnknownExport: 0x8000_0006,
  errorTooBig: 0x8000_0009,
} as const;

export const infoType = { export: 0, name: 1, description: 2, blockSize: 3 } as const;

export const transmissionFlag = {
  hasFlags: 1 << 0,
  readOnly: 1 << 1,
  sendFlush: 1 << 2,
  sendForceUnitAccess: 1 << 3,
  rotational: 1 << 4,
  sendTrim: 1 << 5,
  sendWriteZeroes: 1 << 6,
  sendDontFragment: 1 << 7,
  canMultiConnect: 1 << 8,
  sendResize: 1 << 9,
  sendCache: 1 << 10,
  sendFastZero: 1 << 11,
} as const;

export const nbdCommand = {
  read: 0,
  write: 1,
  disconnect: 2,
  flush: 3,
  trim: 4,
  cache: 5,
  writeZeroes: 6,
  blockStatus: 7,
} as const;

export const commandFlag = { forceUnitAccess: 1, noHole: 2, dontFragment: 4, requestOne: 8, fastZero: 16 } as const;

export const chunkFlag = { done: 1 } as const;

export const chunkType = {
  none: 0,
  offsetData: 1,
  offsetHole: 2,
  blockStatus: 5,
  error: 0x8001,
  errorOffset: 0x8002,
} as const;

/** Error numbers as they go over the wire (Linux's). */
export const nbdError = {
  notPermitted: 1,
  inputOutput: 5,
  noMemory: 12,
  invalid: 22,
  noSpace: 28,
  overflow: 75,
  notSupported: 95,
  shutdown: 108,
} as const;

/** Meta context of allocation; its flags are `allocationFlag`. */
export const allocationContext = 'base:allocation';
export const allocationFlag = { hole: 1, zero: 2 } as const;
/** Meta context of one exported dirty bitmap; flag 1 means dirty. */
export const dirtyBitmapContext = (bitmapName: string) => `qemu:dirty-bitmap:${bitmapName}`;
export const dirtyFlag = 1;

export const optionHeaderBytes = 16;
export const optionReplyHeaderBytes = 20;
export const serverHandshakeBytes = 18;
export const clientFlagsBytes = 4;
export const requestBytes = 28;
export const simpleReplyBytes = 16;
export const structuredReplyHeaderBytes = 20;
/** The longest option or option reply that either side takes. */
export const optionLengthMax = 65_536;
/** The longest read or write that our side asks for or serves; the protocol's own default limit. */
export const transferBytesMax = 32 * 1024 * 1024;

/** What decoders throw: the connection is of no use any more. */
export function brokenWire(message: string): OutageError {
  return new OutageError(`the NBD peer ${message}`, { retryable: true });
}

/** A 64-bit number of the wire as a number; throws OutageError beyond 2^53 - 1. */
export function safeNumber(value: bigint, what: string): number {
  if (value > BigInt(Number.MAX_SAFE_INTEGER)) throw brokenWire(`sent a ${what} of ${value}`);
  return Number(value);
}

export function unsigned16(value: number): Buffer {
  const bytes = Buffer.allocUnsafe(2);
  bytes.writeUInt16BE(value);
  return bytes;
}

export function unsigned32(value: number): Buffer {
  const bytes = Buffer.allocUnsafe(4);
  bytes.writeUInt32BE(value);
  return bytes;
}

export type NbdRequest = {
  readonly command: number;
  readonly flags: number;
  /** Chosen by the client, given back by the server. */
  readonly handle: bigint;
  readonly offsetBytes: number;
  readonly lengthBytes: number;
};

export function encodeRequest(request: NbdRequest): Buffer {
  const bytes = Buffer.allocUnsafe(requestBytes);
  bytes.writeUInt32BE(nbdMagic.request, 0);
  bytes.writeUInt16BE(request.flags, 4);
  bytes.writeUInt16BE(request.command, 6);
  bytes.writeBigUInt64BE(request.handle, 8);
  bytes.writeBigUInt64BE(BigInt(request.offsetBytes), 16);
  bytes.writeUInt32BE(request.lengthBytes, 24);
  return bytes;
}

export function decodeRequest(bytes: Buffer): NbdRequest {
  if (bytes.readUInt32BE(0) !== nbdMagic.request) throw brokenWire('sent a request with a wrong magic number');
  return {
    flags: bytes.readUInt16BE(4),
    command: bytes.readUInt16BE(6),
    handle: bytes.readBigUInt64BE(8),
    offsetBytes: safeNumber(bytes.readBigUInt64BE(16), 'request offset'),
    lengthBytes: bytes.readUInt32BE(24),
  };
}

/** @param error 0 for success, else one of `nbdError` */
export function encodeSimpleReply(handle: bigint, error: number): Buffer {
  const bytes = Buffer.allocUnsafe(simpleReplyBytes);
  bytes.writeUInt32BE(nbdMagic.simpleReply, 0);
  bytes.writeUInt32BE(error, 4);
  bytes.writeBigUInt64BE(handle, 8);
  return bytes;
}

export type ChunkHeader = {
  readonly flags: number;
  readonly type: number;
  readonly handle: bigint;
  readonly lengthBytes: number;
};

/** The header of one chunk of a structured reply; its `lengthBytes` of payload follow. */
export function encodeChunkHeader(chunk: ChunkHeader): Buffer {
  const bytes = Buffer.allocUnsafe(structuredReplyHeaderBytes);
  bytes.writeUInt32BE(nbdMagic.structuredReply, 0);
  bytes.writeUInt16BE(chunk.flags, 4);
  bytes.writeUInt16BE(chunk.type, 6);
  bytes.writeBigUInt64BE(chunk.handle, 8);
  bytes.writeUInt32BE(chunk.lengthBytes, 16);
  return bytes;
}

export function decodeChunkHeader(bytes: Buffer): ChunkHeader {
  if (bytes.readUInt32BE(0) !== nbdMagic.structuredReply) throw brokenWire('sent a reply with a wrong magic number');
  const lengthBytes = bytes.readUInt32BE(16);
  if (lengthBytes > transferBytesMax + 8) throw brokenWire(`sent a reply of ${lengthBytes} bytes`);
  return {
    flags: bytes.readUInt16BE(4),
    type: bytes.readUInt16BE(6),
    handle: bytes.readBigUInt64BE(8),
    lengthBytes,
  };
}

/** Payload head of an `offsetData` chunk: the data follows. */
export function encodeDataOffset(offsetBytes: number): Buffer {
  const bytes = Buffer.allocUnsafe(8);
  bytes.writeBigUInt64BE(BigInt(offsetBytes));
  return bytes;
}

/** Where the data of an `offsetData` or `offsetHole` chunk belongs. */
export function decodeDataOffset(payload: Buffer): number {
  if (payload.length < 8) throw brokenWire('sent a malformed data chunk');
  return safeNumber(payload.readBigUInt64BE(0), 'data offset');
}

export function encodeHole(offsetBytes: number, lengthBytes: number): Buffer {
  return Buffer.concat([encodeDataOffset(offsetBytes), unsigned32(lengthBytes)]);
}

export function decodeHole(payload: Buffer): { readonly offsetBytes: number; readonly lengthBytes: number } {
  if (payload.length !== 12) throw brokenWire('sent a malformed hole chunk');
  return { offsetBytes: decodeDataOffset(payload), lengthBytes: payload.readUInt32BE(8) };
}

/** Payload of an `error` chunk. */
export function encodeErrorChunk(error: number, message: string): Buffer {
  const text = Buffer.from(message, 'utf8');
  return Buffer.concat([unsigned32(error), unsigned16(text.length), text]);
}

export function decodeErrorChunk(payload: Buffer): { readonly error: number; readonly message: string } {
  if (payload.length < 6) throw brokenWire('sent a malformed error chunk');
  const textEnd = Math.min(payload.length, 6 + payload.readUInt16BE(4));
  return { error: payload.readUInt32BE(0), message: payload.toString('utf8', 6, textEnd) };
}

/** A run of bytes with the flags of one meta context. */
export type StatusRun = { readonly lengthBytes: number; readonly flags: number };

/** Payload of a `blockStatus` chunk. */
export function encodeBlockStatus(contextId: number, runs: readonly StatusRun[]): Buffer {
  const bytes = Buffer.allocUnsafe(4 + 8 * runs.length);
  bytes.writeUInt32BE(contextId, 0);
  for (const [index, run] of runs.entries()) {
    bytes.writeUInt32BE(run.lengthBytes, 4 + 8 * index);
    bytes.writeUInt32BE(run.flags, 8 + 8 * index);
  }
  return bytes;
}

export function decodeBlockStatus(payload: Buffer): { readonly contextId: number; readonly runs: StatusRun[] } {
  if (payload.length < 12 || (payload.length - 4) % 8 !== 0) throw brokenWire('sent a malformed block status');
  const runs = Array.from({ length: (payload.length - 4) / 8 }, (_, index) => ({
    lengthBytes: payload.readUInt32BE(4 + 8 * index),
    flags: payload.readUInt32BE(8 + 8 * index),
  }));
  return { contextId: payload.readUInt32BE(0), runs };
}

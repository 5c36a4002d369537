import {
  brokenWire,
  infoType,
  nbdMagic,
  optionHeaderBytes,
  optionLengthMax,
  optionReplyHeaderBytes,
  safeNumber,
  serverHandshakeBytes,
  unsigned16,
  unsigned32,
} from './nbd.ts';

/** The NBD handshake: option haggling until an export is chosen. Encoders and decoders as in nbd.ts. */

function lengthAndText(text: string): Buffer {
  const bytes = Buffer.from(text, 'utf8');
  return Buffer.concat([unsigned32(bytes.length), bytes]);
}

export function encodeServerHandshake(flags: number): Buffer {
  const bytes = Buffer.allocUnsafe(serverHandshakeBytes);
  bytes.writeBigUInt64BE(nbdMagic.server, 0);
  bytes.writeBigUInt64BE(nbdMagic.option, 8);
  bytes.writeUInt16BE(flags, 16);
  return bytes;
}

/** The server's handshake flags. */
export function decodeServerHandshake(bytes: Buffer): number {
  const isNewstyle = bytes.readBigUInt64BE(0) === nbdMagic.server && bytes.readBigUInt64BE(8) === nbdMagic.option;
  if (!isNewstyle) throw brokenWire('does not speak the newstyle handshake');
  return bytes.readUInt16BE(16);
}

export function encodeClientFlags(flags: number): Buffer {
  return unsigned32(flags);
}

export function decodeClientFlags(bytes: Buffer): number {
  return bytes.readUInt32BE(0);
}

export function encodeOption(option: number, data: Buffer): Buffer {
  const header = Buffer.allocUnsafe(optionHeaderBytes);
  header.writeBigUInt64BE(nbdMagic.option, 0);
  header.writeUInt32BE(option, 8);
  header.writeUInt32BE(data.length, 12);
  return Buffer.concat([header, data]);
}

/** @throws OutageError when the option is longer than `optionLengthMax` */
export function decodeOptionHeader(bytes: Buffer): { readonly option: number; readonly lengthBytes: number } {
  if (bytes.readBigUInt64BE(0) !== nbdMagic.option) throw brokenWire('sent an option with a wrong magic number');
  const lengthBytes = bytes.readUInt32BE(12);
  if (lengthBytes > optionLengthMax) throw brokenWire(`sent an option of ${lengthBytes} bytes`);
  return { option: bytes.readUInt32BE(8), lengthBytes };
}

export function encodeOptionReply(option: number, type: number, data: Buffer = Buffer.alloc(0)): Buffer {
  const header = Buffer.allocUnsafe(optionReplyHeaderBytes);
  header.writeBigUInt64BE(nbdMagic.optionReply, 0);
  header.writeUInt32BE(option, 8);
  header.writeUInt32BE(type, 12);
  header.writeUInt32BE(data.length, 16);
  return Buffer.concat([header, data]);
}

export type OptionReplyHeader = { readonly option: number; readonly type: number; readonly lengthBytes: number };

export function decodeOptionReplyHeader(bytes: Buffer): OptionReplyHeader {
  if (bytes.readBigUInt64BE(0) !== nbdMagic.optionReply)
    throw brokenWire('answered an option with a wrong magic number');
  const lengthBytes = bytes.readUInt32BE(16);
  if (lengthBytes > optionLengthMax) throw brokenWire(`answered an option with ${lengthBytes} bytes`);
  return { option: bytes.readUInt32BE(8), type: bytes.readUInt32BE(12), lengthBytes };
}

/** True for the option replies that end an option with a refusal. */
export function isOptionError(type: number): boolean {
  return type >= 0x8000_0000;
}

/** Data of the options `go` and `info`. */
export function encodeGo(exportName: string, infoTypes: readonly number[]): Buffer {
  return Buffer.concat([lengthAndText(exportName), unsigned16(infoTypes.length), ...infoTypes.map(unsigned16)]);
}

export function decodeGo(data: Buffer): { readonly exportName: string; readonly infoTypes: readonly number[] } {
  const nameEnd = 4 + (data.length >= 6 ? data.readUInt32BE(0) : 0);
  if (data.length < 6 || nameEnd + 2 > data.length) throw brokenWire('sent a malformed go option');
  const count = data.readUInt16BE(nameEnd);
  if (nameEnd + 2 + 2 * count !== data.length) throw brokenWire('sent a malformed go option');
  const infoTypes = Array.from({ length: count }, (_, index) => data.readUInt16BE(nameEnd + 2 + 2 * index));
  return { exportName: data.toString('utf8', 4, nameEnd), infoTypes };
}

export type ExportInfo = { readonly sizeBytes: number; readonly flags: number };

/** Data of an `info` reply about the export's size and transmission flags. */
export function encodeExportInfo(info: ExportInfo): Buffer {
  const bytes = Buffer.allocUnsafe(12);
  bytes.writeUInt16BE(infoType.export, 0);
  bytes.writeBigUInt64BE(BigInt(info.sizeBytes), 2);
  bytes.writeUInt16BE(info.flags, 10);
  return bytes;
}

export type BlockSizeInfo = {
  readonly minimumBytes: number;
  readonly preferredBytes: number;
  readonly maximumBytes: number;
};

/** Data of an `info` reply about block sizes. */
export function encodeBlockSizeInfo(sizes: BlockSizeInfo): Buffer {
  const numbers = [sizes.minimumBytes, sizes.preferredBytes, sizes.maximumBytes].map(unsigned32);
  return Buffer.concat([unsigned16(infoType.blockSize), ...numbers]);
}

/** The export's size and flags when the info reply is about them, else undefined. */
export function decodeExportInfo(data: Buffer): ExportInfo | undefined {
  if (data.length < 2 || data.readUInt16BE(0) !== infoType.export) return undefined;
  if (data.length !== 12) throw brokenWire('sent a malformed export information');
  return { sizeBytes: safeNumber(data.readBigUInt64BE(2), 'disk size'), flags: data.readUInt16BE(10) };
}

/** Data of the options `listMetaContext` and `setMetaContext`. */
export function encodeMetaContextQuery(exportName: string, queries: readonly string[]): Buffer {
  return Buffer.concat([lengthAndText(exportName), unsigned32(queries.length), ...queries.map(lengthAndText)]);
}

export type MetaContextQuery = { readonly exportName: string; readonly queries: readonly string[] };

export function decodeMetaContextQuery(data: Buffer): MetaContextQuery {
  let offset = 0;
  const number = () => {
    if (offset + 4 > data.length) throw brokenWire('sent a malformed meta context option');
    offset += 4;
    return data.readUInt32BE(offset - 4);
  };
  const text = () => {
    const length = number();
    if (offset + length > data.length) throw brokenWire('sent a malformed meta context option');
    offset += length;
    return data.toString('utf8', offset - length, offset);
  };
  const exportName = text();
  const count = number();
  if (count > optionLengthMax / 4) throw brokenWire('sent a malformed meta context option');
  const queries = Array.from({ length: count }, text);
  if (offset !== data.length) throw brokenWire('sent a malformed meta context option');
  return { exportName, queries };
}

/** Data of a `metaContext` reply. */
export function encodeMetaContext(contextId: number, name: string): Buffer {
  return Buffer.concat([unsigned32(contextId), Buffer.from(name, 'utf8')]);
}

export function decodeMetaContext(data: Buffer): { readonly contextId: number; readonly name: string } {
  if (data.length < 4) throw brokenWire('sent a malformed meta context');
  return { contextId: data.readUInt32BE(0), name: data.toString('utf8', 4) };
}

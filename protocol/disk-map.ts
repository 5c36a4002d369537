import { createCipheriv, createDecipheriv, randomBytes } from 'node:crypto';
import { constants, zstdCompressSync, zstdDecompressSync } from 'node:zlib';
import { type DiskId, isId } from '../domain/ids.ts';
import { invariant } from '../domain/invariant.ts';
import type { Position } from '../domain/position.ts';
import { DamagedBlobError } from './damaged-blob.ts';
import { codecs, nonceBytes, sealOverheadBytes, tagBytes } from './segment-frame.ts';

/** The first 256 bytes of a `.map`: plain text, bound into the encryption of the rest. Format: docs/formats/vault.md */
export const mapHeaderBytes = 256;
/** A larger map is not written: readers follow the segments' footers instead. */
export const mapBodyBytesMax = 1_073_741_824;
const magic = Buffer.from('LBOATMAP', 'latin1');
const mapFormatVersion = 1;
const reservedFrom = 192;

/** What a map says of itself. */
export type MapHeader = {
  readonly vaultId: string;
  readonly diskId: DiskId;
  readonly keyId: string;
  readonly position: Position;
  readonly diskSizeBytes: number;
};

/** A map's blob: header, then nonce, cipher text and tag (AES-256-GCM; the header's bytes are the additional data). */
export function sealMap(header: MapHeader, body: Buffer, key: Buffer): Buffer[] {
  invariant(body.length <= mapBodyBytesMax, 'a map is too large to be written');
  const packed = zstdCompressSync(body, { params: { [constants.ZSTD_c_compressionLevel]: 1 } });
  const codec = packed.length < body.length ? codecs.zstd : codecs.raw;
  const headerBytes = encodeHeader(header, { codec, plainBytes: body.length });
  const nonce = randomBytes(nonceBytes);
  const cipher = createCipheriv('aes-256-gcm', key, nonce);
  cipher.setAAD(headerBytes);
  const text = cipher.update(codec === codecs.zstd ? packed : body);
  return [headerBytes, nonce, text, cipher.final(), cipher.getAuthTag()];
}

/** The header as it stands there, not yet authenticated. @throws DamagedBlobError */
export function decodeMapHeader(blob: Buffer): MapHeader {
  return parseHeader(blob).header;
}

/** Header and body, authenticated. @throws DamagedBlobError */
export function openMap(blob: Buffer, key: Buffer): { readonly header: MapHeader; readonly body: Buffer } {
  const { header, codec, plainBytes } = parseHeader(blob);
  if (blob.length < mapHeaderBytes + sealOverheadBytes) throw new DamagedBlobError('truncated', 'read a disk map');
  const bodyFrom = mapHeaderBytes + nonceBytes;
  const decipher = createDecipheriv('aes-256-gcm', key, blob.subarray(mapHeaderBytes, bodyFrom));
  decipher.setAAD(blob.subarray(0, mapHeaderBytes));
  decipher.setAuthTag(blob.subarray(blob.length - tagBytes));
  const packed = decipher.update(blob.subarray(bodyFrom, blob.length - tagBytes));
  try {
    decipher.final();
    const body = codec === codecs.raw ? packed : zstdDecompressSync(packed, { maxOutputLength: plainBytes + 1 });
    if (body.length === plainBytes) return { header, body };
  } catch (cause) {
    throw new DamagedBlobError('changed', 'authenticate a disk map', { cause });
  }
  throw new DamagedBlobError('unreadable', 'unpack a disk map: the length is another one');
}

type Packing = { readonly codec: number; readonly plainBytes: number };

function encodeHeader(header: MapHeader, packing: Packing): Buffer {
  const bytes = Buffer.alloc(mapHeaderBytes);
  magic.copy(bytes, 0);
  bytes.writeUInt32LE(mapFormatVersion, 8);
  bytes.writeUInt32LE(packing.codec, 12);
  writeText(bytes, { at: 16, width: 64 }, header.vaultId);
  writeText(bytes, { at: 80, width: 32 }, header.diskId);
  writeText(bytes, { at: 112, width: 16 }, header.keyId);
  bytes.writeBigUInt64LE(BigInt(header.position.epoch), 128);
  bytes.writeBigUInt64LE(BigInt(header.position.sequence), 136);
  bytes.write(header.position.digest, 144, 'hex');
  bytes.writeBigUInt64LE(BigInt(header.diskSizeBytes), 176);
  bytes.writeBigUInt64LE(BigInt(packing.plainBytes), 184);
  return bytes;
}

function writeText(bytes: Buffer, field: { at: number; width: number }, text: string): void {
  invariant(text.length <= field.width, `"${text}" does not fit into a map header`);
  bytes.write(text, field.at, 'latin1');
}

function parseHeader(blob: Buffer): { readonly header: MapHeader } & Packing {
  if (blob.length < mapHeaderBytes) throw new DamagedBlobError('truncated', `read a disk map of ${blob.length} bytes`);
  const text = (at: number, width: number) => blob.toString('latin1', at, at + width).replace(/\0+$/, '');
  const count = (at: number) => Number(blob.readBigUInt64LE(at));
  const [diskId, codec, plainBytes] = [text(80, 32), blob.readUInt32LE(12), count(184)];
  const position = { epoch: count(128), sequence: count(136), digest: blob.toString('hex', 144, 176) };
  const possible =
    blob.subarray(0, 8).equals(magic) &&
    blob.readUInt32LE(8) === mapFormatVersion &&
    (codec === codecs.raw || codec === codecs.zstd) &&
    [position.epoch, position.sequence, count(176)].every(Number.isSafeInteger) &&
    plainBytes <= mapBodyBytesMax &&
    blob.subarray(reservedFrom, mapHeaderBytes).every((byte) => byte === 0);
  if (!possible || !isId('disk', diskId)) throw new DamagedBlobError('changed', 'read a disk map: malformed header');
  const header = { vaultId: text(16, 64), diskId, keyId: text(112, 16), position, diskSizeBytes: count(176) };
  return { header, codec, plainBytes };
}

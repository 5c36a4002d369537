import {
  createCipheriv,
  createDecipheriv,
  createSecretKey,
  hkdfSync,
  type KeyObject,
  randomFillSync,
} from 'node:crypto';
import { constants, zstdCompressSync, zstdDecompressSync } from 'node:zlib';
import { blockBytes } from '../domain/extent.ts';
import { DamagedBlobError } from './damaged-blob.ts';

/** A frame's plain text: up to four blocks. Large enough to compress well, small enough to read one block from. */
export const blocksPerFrame = 4;
export const framePlainBytesMax = blocksPerFrame * blockBytes;

/** How a part of a segment was packed before it was encrypted. */
export const codecs = { raw: 0, zstd: 1 } as const;
export const nonceBytes = 12;
export const tagBytes = 16;
export const sealOverheadBytes = nonceBytes + tagBytes;
/** The frame number that stands for the footer in the additional authenticated data. */
export const footerFrameNumber = 0xffff_ffff;
/** Packed data must be smaller than this share of the plain data, or it is stored as it is. */
const worthPackingBelow = 0.95;

/** The keys of one disk, derived from its data encryption key. */
export type SegmentKeys = { readonly encryption: KeyObject; readonly authentication: Buffer; readonly map: Buffer };

/** Derives a disk's working keys from its 32-byte data encryption key (HKDF-SHA256, no salt). */
export function deriveSegmentKeys(dataKey: Buffer): SegmentKeys {
  const derive = (info: string) => Buffer.from(hkdfSync('sha256', dataKey, '', info, 32));
  return {
    // A key object, because preparing plain bytes anew costs as much as decrypting a frame.
    encryption: createSecretKey(derive('lifeboat/seg/1/encrypt')),
    authentication: derive('lifeboat/seg/1/authenticate'),
    map: derive('lifeboat/map/1/encrypt'),
  };
}

/** Which part of which segment some bytes are: bound into the encryption, so that no part fits anywhere else. */
export type FramePlace = { readonly headerDigest: Uint8Array; readonly frameNumber: number };

export type SealedFrame = { readonly codec: number; readonly plainBytes: number; readonly stored: Buffer };

const zstdParameters = { [constants.ZSTD_c_compressionLevel]: 1, [constants.ZSTD_c_contentSizeFlag]: 1 };

/** Packs and encrypts: random nonce, cipher text, tag (AES-256-GCM). */
export function sealFrame(key: KeyObject, place: FramePlace, plain: Buffer): SealedFrame {
  // The chunk size makes zlib allocate its output once; with its default of 16 KiB this is a third slower.
  const options = { params: zstdParameters, pledgedSrcSize: plain.length, chunkSize: plain.length + 1024 };
  const packed = zstdCompressSync(plain, options);
  const codec = packed.length < plain.length * worthPackingBelow ? codecs.zstd : codecs.raw;
  const body = codec === codecs.zstd ? packed : plain;
  const nonce = randomFillSync(Buffer.allocUnsafe(nonceBytes));
  const cipher = createCipheriv('aes-256-gcm', key, nonce, { authTagLength: tagBytes });
  cipher.setAAD(additionalData(place, codec, plain.length));
  const stored = Buffer.concat([nonce, cipher.update(body), cipher.final(), cipher.getAuthTag()]);
  return { codec, plainBytes: plain.length, stored };
}

/** Decrypts and unpacks one frame or footer; the lengths come from an authenticated place. @throws DamagedBlobError */
export function openFrame(key: KeyObject, place: FramePlace, frame: SealedFrame): Buffer {
  const { codec, plainBytes, stored } = frame;
  if (stored.length < sealOverheadBytes || (codec !== codecs.raw && codec !== codecs.zstd)) {
    throw new DamagedBlobError('changed', `open frame ${place.frameNumber}: malformed`);
  }
  const decipher = createDecipheriv('aes-256-gcm', key, stored.subarray(0, nonceBytes), {
    authTagLength: tagBytes,
  });
  decipher.setAAD(additionalData(place, codec, plainBytes));
  decipher.setAuthTag(stored.subarray(stored.length - tagBytes));
  const body = decipher.update(stored.subarray(nonceBytes, stored.length - tagBytes));
  try {
    decipher.final();
  } catch (cause) {
    throw new DamagedBlobError('changed', `authenticate frame ${place.frameNumber}`, { cause });
  }
  return codec === codecs.raw ? exactly(body, plainBytes) : exactly(unpack(body, plainBytes), plainBytes);
}

function unpack(body: Buffer, plainBytes: number): Buffer {
  try {
    return zstdDecompressSync(body, { maxOutputLength: plainBytes + 1, chunkSize: plainBytes + 64 });
  } catch (cause) {
    throw new DamagedBlobError('unreadable', `unpack ${body.length} bytes to ${plainBytes}`, { cause });
  }
}

function exactly(plain: Buffer, plainBytes: number): Buffer {
  if (plain.length !== plainBytes) throw new DamagedBlobError('unreadable', 'unpack: the length is another one');
  return plain;
}

function additionalData(place: FramePlace, codec: number, plainBytes: number): Buffer {
  const data = Buffer.allocUnsafe(44);
  data.set(place.headerDigest, 0);
  data.writeUInt32LE(place.frameNumber, 32);
  data.writeUInt32LE(codec, 36);
  data.writeUInt32LE(plainBytes, 40);
  return data;
}

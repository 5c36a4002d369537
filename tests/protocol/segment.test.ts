import { createDecipheriv, hash, randomBytes } from 'node:crypto';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { idFromBytes } from '../../domain/ids.ts';
import { OutageError } from '../../domain/outage.ts';
import { emptyDigest, startPosition } from '../../domain/position.ts';
import { DamagedBlobError } from '../../protocol/damaged-blob.ts';
import { assembleSegment, segmentHeaderDigest, verifySegmentBytes } from '../../protocol/segment.ts';
import { blockLengthBytes, merkleRoot } from '../../protocol/segment-footer.ts';
import { deriveSegmentKeys, openFrame, type SealedFrame, sealFrame } from '../../protocol/segment-frame.ts';
import { encodeSegmentHeader, type SegmentHeader, segmentHeaderBytes } from '../../protocol/segment-header.ts';

const blockBytes = 65_536;
const keys = deriveSegmentKeys(Buffer.alloc(32, 7));

function headerOf(diskSizeBytes: number, more: Partial<SegmentHeader> = {}): SegmentHeader {
  return {
    kind: 'plain',
    vaultId: 'vlt-test',
    diskId: idFromBytes('disk', Buffer.alloc(10, 3)),
    keyId: 'k000001',
    epoch: 2,
    firstSequence: 1,
    lastSequence: 1,
    previous: startPosition(2),
    diskSizeBytes,
    contentDigest: 'ab'.repeat(32),
    validFromSequence: 1,
    replacedDigest: emptyDigest,
    salt: randomBytes(16),
    ...more,
  };
}

type Content = { readonly block: number; readonly data: Buffer | undefined };

/** Seals blocks as the vault does, without any of its code. */
function seal(header: SegmentHeader, contents: readonly Content[]): { blob: Buffer; digest: string } {
  const headerDigest = segmentHeaderDigest(encodeSegmentHeader(header));
  const data = contents.flatMap((each) => (each.data === undefined ? [] : [each.data]));
  const frames: SealedFrame[] = [];
  for (let at = 0; at < data.length; at += 4) {
    const plain = Buffer.concat(data.slice(at, at + 4));
    frames.push(sealFrame(keys.encryption, { headerDigest, frameNumber: frames.length }, plain));
  }
  const changes = contents.map((each) => ({
    block: each.block,
    zero: each.data === undefined,
    digest: each.data === undefined ? Buffer.alloc(32) : hash('sha256', each.data, 'buffer'),
  }));
  const { content, digest, sizeBytes } = assembleSegment(header, { changes, frames }, keys);
  const blob = Buffer.concat(content);
  expect(blob).toHaveLength(sizeBytes);
  return { blob, digest };
}

/** Reads every block back through the public decoder. */
function unseal(blob: Buffer): Map<number, Buffer | undefined> {
  const { ends, footer } = verifySegmentBytes(blob, keys);
  const contents = new Map<number, Buffer | undefined>();
  for (const [entry, block] of footer.delta.block.entries()) {
    contents.set(block, undefined);
    if (footer.delta.operation[entry] === 0) continue;
    const frame = footer.delta.frame[entry] ?? 0;
    const from = footer.frames.offsetBytes[frame] ?? 0;
    const stored = blob.subarray(from, from + (footer.frames.storedBytes[frame] ?? 0));
    const sealed = { codec: footer.frames.codec[frame] ?? 0, plainBytes: footer.frames.plainBytes[frame] ?? 0, stored };
    const plain = openFrame(keys.encryption, { headerDigest: ends.headerDigest, frameNumber: frame }, sealed);
    const offset = footer.delta.offsetInFrame[entry] ?? 0;
    contents.set(block, plain.subarray(offset, offset + blockLengthBytes(block, ends.header.diskSizeBytes)));
  }
  return contents;
}

const blocksArbitrary = fc.uniqueArray(
  fc.record({ block: fc.integer({ min: 0, max: 40 }), kind: fc.constantFrom('zero', 'text', 'random') }),
  { selector: (each) => each.block, maxLength: 14 },
);

function contentsOf(spec: readonly { block: number; kind: string }[], diskSizeBytes: number): Content[] {
  return [...spec]
    .sort((a, b) => a.block - b.block)
    .map(({ block, kind }) => {
      const length = blockLengthBytes(block, diskSizeBytes);
      if (kind === 'zero') return { block, data: undefined };
      return { block, data: kind === 'text' ? Buffer.alloc(length, `block ${block} `) : randomBytes(length) };
    });
}

describe('a segment', () => {
  it('gives back every block of every batch, zeros and the short last block too', () => {
    fc.assert(
      fc.property(blocksArbitrary, fc.integer({ min: 1, max: blockBytes }), (spec, lastBlockBytes) => {
        const diskSizeBytes = 40 * blockBytes + lastBlockBytes;
        const contents = contentsOf(spec, diskSizeBytes);
        const { blob, digest } = seal(headerOf(diskSizeBytes), contents);
        const back = [...unseal(blob)];
        expect(back.map(([block]) => block)).toEqual(contents.map(({ block }) => block));
        for (const [index, { data }] of contents.entries()) {
          const actual = back[index]?.[1];
          expect(data === undefined ? actual === undefined : actual?.equals(data)).toBe(true);
        }
        const { ends } = verifySegmentBytes(blob, keys);
        expect(ends.position).toEqual({ epoch: 2, sequence: 1, digest });
      }),
      { numRuns: 60 },
    );
  });

  it('stores random 64 KiB blocks with less than 1 % on top, one block with less than 5 %', () => {
    const many = contentsOf(
      Array.from({ length: 40 }, (_, block) => ({ block, kind: 'random' })),
      41 * blockBytes,
    );
    expect(seal(headerOf(41 * blockBytes), many).blob.length / (40 * blockBytes)).toBeLessThan(1.01);
    const one = contentsOf([{ block: 3, kind: 'random' }], 41 * blockBytes);
    expect(seal(headerOf(41 * blockBytes), one).blob.length / blockBytes).toBeLessThan(1.05);
  });

  it('has another digest when anything in it is different, the segment before included', () => {
    const contents = contentsOf([{ block: 1, kind: 'text' }], 41 * blockBytes);
    const header = headerOf(41 * blockBytes);
    const digests = [
      seal(header, contents).digest,
      seal({ ...header, previous: { ...header.previous, digest: '1'.repeat(64) } }, contents).digest,
      seal({ ...header, diskSizeBytes: 42 * blockBytes }, contents).digest,
      seal(header, contentsOf([{ block: 2, kind: 'text' }], 41 * blockBytes)).digest,
    ];
    expect(new Set(digests).size).toBe(4);
  });

  it('cannot be opened with the keys of another disk', () => {
    const { blob } = seal(headerOf(blockBytes), contentsOf([{ block: 0, kind: 'text' }], blockBytes));
    expect(() => verifySegmentBytes(blob, deriveSegmentKeys(Buffer.alloc(32, 8)))).toThrow(DamagedBlobError);
  });

  it('binds each frame to its segment and its place in it', () => {
    const place = { headerDigest: randomBytes(32), frameNumber: 3 };
    const sealed = sealFrame(keys.encryption, place, Buffer.alloc(1000, 'text '));
    expect(openFrame(keys.encryption, place, sealed)).toEqual(Buffer.alloc(1000, 'text '));
    const elsewhere = [
      { ...place, frameNumber: 4 },
      { ...place, headerDigest: randomBytes(32) },
    ];
    for (const other of elsewhere) expect(() => openFrame(keys.encryption, other, sealed)).toThrow(DamagedBlobError);
    expect(() => openFrame(keys.encryption, place, { ...sealed, plainBytes: 1001 })).toThrow(DamagedBlobError);
    expect(() => openFrame(keys.encryption, place, { ...sealed, codec: 0 })).toThrow(DamagedBlobError);
  });
});

describe('a damaged segment', () => {
  const diskSizeBytes = 41 * blockBytes;
  const spec = [
    { block: 0, kind: 'zero' },
    { block: 1, kind: 'text' },
    { block: 2, kind: 'random' },
    { block: 7, kind: 'text' },
    { block: 8, kind: 'text' },
    { block: 40, kind: 'text' },
  ];
  const header = headerOf(diskSizeBytes);
  const { blob } = seal(header, contentsOf(spec, diskSizeBytes));

  it('is refused after any of 3,000 mutations: no wrong byte, no crash', () => {
    const random = fc.sample(
      fc.record({
        at: fc.nat(blob.length - 1),
        how: fc.constantFrom('flip', 'cut', 'grow', 'zero', 'header', 'trailer'),
        bits: fc.integer({ min: 1, max: 255 }),
      }),
      { numRuns: 3_000, seed: 42 },
    );
    for (const { at, how, bits } of random) {
      const mutated = mutate(blob, { at, how, bits });
      if (mutated.equals(blob)) continue;
      expect(() => verifySegmentBytes(mutated, keys), `${how} at ${at} by ${bits}`).toThrow(OutageError);
    }
  });

  it('is refused when its parts are random', () => {
    for (let length = 0; length < 2_000; length += 37) {
      expect(() => verifySegmentBytes(randomBytes(length), keys)).toThrow(DamagedBlobError);
    }
  });

  it('would be served wrong by a reader that does not authenticate (the planted bug)', () => {
    const random = contentsOf([{ block: 2, kind: 'random' }], diskSizeBytes);
    const original = seal(header, random).blob;
    const mutated = mutate(original, { at: segmentHeaderBytes + 12 + 5_000, how: 'flip', bits: 1 });
    const naive = readFirstFrameWithoutAuthentication(mutated, header);
    expect(naive).toHaveLength(blockBytes);
    expect(naive.equals(random[0]?.data ?? Buffer.alloc(0))).toBe(false);
    expect(() => unseal(mutated)).toThrow(DamagedBlobError);
    expect(readFirstFrameWithoutAuthentication(original, header)).toEqual(random[0]?.data);
  });
});

/** What openFrame would be without its tag: GCM is counter mode underneath. */
function readFirstFrameWithoutAuthentication(blob: Buffer, header: SegmentHeader): Buffer {
  const length = blockLengthBytes(2, header.diskSizeBytes);
  const nonce = blob.subarray(segmentHeaderBytes, segmentHeaderBytes + 12);
  const decipher = createDecipheriv('aes-256-ctr', keys.encryption, Buffer.concat([nonce, Buffer.of(0, 0, 0, 2)]));
  return decipher.update(blob.subarray(segmentHeaderBytes + 12, segmentHeaderBytes + 12 + length));
}

function mutate(blob: Buffer, { at, how, bits }: { at: number; how: string; bits: number }): Buffer {
  const copy = Buffer.from(blob);
  if (how === 'cut') return copy.subarray(0, at);
  if (how === 'grow') return Buffer.concat([copy.subarray(0, at), Buffer.of(bits), copy.subarray(at)]);
  if (how === 'zero') return copy.fill(0, at, Math.min(copy.length, at + bits));
  const where = how === 'header' ? at % segmentHeaderBytes : how === 'trailer' ? blob.length - 1 - (at % 168) : at;
  copy.writeUInt8((copy[where] ?? 0) ^ bits, where);
  return copy;
}

describe('the Merkle root', () => {
  it('depends on every digest and on their order', () => {
    const digests = Array.from({ length: 5 }, () => randomBytes(32));
    const root = merkleRoot(Buffer.concat(digests));
    expect(merkleRoot(Buffer.concat([...digests].reverse()))).not.toEqual(root);
    expect(merkleRoot(Buffer.concat(digests.slice(0, 4)))).not.toEqual(root);
    expect(merkleRoot(Buffer.alloc(0))).toEqual(Buffer.alloc(32));
  });
});

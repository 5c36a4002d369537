import { createHash, randomBytes } from 'node:crypto';
import { describe, expect, test } from 'vitest';
import { blockBytes } from '../../domain/extent.ts';
import { OutageError } from '../../domain/outage.ts';
import { blockDigest, contentDigestOf, contentDigestOfWrites } from '../../protocol/content-digest.ts';

const sha256 = (bytes: Uint8Array) => createHash('sha256').update(bytes).digest();

describe('the content digest', () => {
  test('is the SHA-256 of offset, length and digest of every block, as the format says', () => {
    const [data, short] = [randomBytes(2 * blockBytes), randomBytes(512)];
    const row = (offsetBytes: number, block: Uint8Array) => {
      const bytes = Buffer.alloc(12);
      bytes.writeBigUInt64LE(BigInt(offsetBytes));
      bytes.writeUInt32LE(block.length, 8);
      return Buffer.concat([bytes, sha256(block)]);
    };
    const far = 2 ** 40;
    const rows = [row(0, data.subarray(0, blockBytes)), row(blockBytes, data.subarray(blockBytes)), row(far, short)];
    const digest = contentDigestOfWrites([
      { offsetBytes: 0, data },
      { offsetBytes: far, data: short },
    ]);
    expect(digest).toEqual(sha256(Buffer.concat(rows)));
  });

  test('does not depend on how the blocks were joined into writes', () => {
    const data = randomBytes(3 * blockBytes);
    const apart = [0, 1, 2].map((block) => {
      const offsetBytes = block * blockBytes;
      return { offsetBytes, data: data.subarray(offsetBytes, offsetBytes + blockBytes) };
    });
    expect(contentDigestOfWrites(apart)).toEqual(contentDigestOfWrites([{ offsetBytes: 0, data }]));
  });

  test('takes 32 zero bytes for a block of zeros, which nobody hashes', () => {
    expect(Buffer.from(blockDigest(Buffer.alloc(blockBytes)))).toEqual(Buffer.alloc(32));
    expect(Buffer.from(blockDigest(Buffer.alloc(512)))).toEqual(Buffer.alloc(32));
    const almost = Buffer.alloc(blockBytes);
    almost[blockBytes - 1] = 1;
    expect(Buffer.from(blockDigest(almost))).toEqual(sha256(almost));
    const block = { offsetBytes: 0, lengthBytes: blockBytes, digest: Buffer.alloc(32) };
    expect(contentDigestOfWrites([{ offsetBytes: 0, data: Buffer.alloc(blockBytes) }])).toEqual(
      contentDigestOf([block]),
    );
  });

  test('is refused for writes that are not whole blocks in order', () => {
    const [data, short] = [Buffer.alloc(blockBytes, 1), Buffer.alloc(512, 1)];
    const wrong = [
      [{ offsetBytes: 512, data }],
      [
        { offsetBytes: blockBytes, data },
        { offsetBytes: 0, data },
      ],
      [
        { offsetBytes: 0, data },
        { offsetBytes: 0, data },
      ],
      [
        { offsetBytes: 0, data: short },
        { offsetBytes: blockBytes, data },
      ],
    ];
    for (const writes of wrong) expect(() => contentDigestOfWrites(writes)).toThrow(OutageError);
  });
});

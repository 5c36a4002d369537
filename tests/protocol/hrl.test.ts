import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { OutageError } from '../../domain/outage.ts';
import {
  bytesToUuid,
  decodeHrlHeader,
  encodeHrlBlock,
  encodeHrlHeader,
  hrlBlockBytes,
  hrlChecksum,
  hrlHeaderBytes,
  readHrl,
  uuidToBytes,
} from '../../protocol/hrl.ts';
import { createHrlImageBuilder, hrlImageBytesMax } from '../../protocol/hrl-writer.ts';

const identity = {
  uniqueId: '572fc7ff-1f03-49ab-b3c5-30a665b8e20c',
  previousUniqueId: 'a8ae4b46-f7ad-4402-87aa-5b33e9f89c77',
  dataWriteId: 'b9be5c57-f8be-5503-98bb-6c44faf9ac87',
  createdAtMs: Date.UTC(2017, 1, 8, 4, 13, 0),
};

function imageOf(writes: readonly { offsetBytes: number; data: Buffer }[]): Buffer {
  const dataBytes = writes.reduce((sum, write) => sum + write.data.length, 0);
  const memory = Buffer.alloc(hrlImageBytesMax(dataBytes, 1) + hrlBlockBytes);
  const builder = createHrlImageBuilder(memory, identity, () => identity.createdAtMs);
  for (const write of writes) builder.append(write.offsetBytes, write.data);
  return builder.seal();
}

describe('the numbers of the specification’s own example', () => {
  // Length, offset, time and checksum of entries of [MS-HRL] section 3.
  const entries: [number, number, number, number][] = [
    [4096, 3626340352, 539842382, 4294966639],
    [4096, 3626344448, 539842382, 4294966623],
    [8192, 3626348544, 539842382, 4294966591],
    [4096, 3628871680, 539842382, 4294966696],
    [512, 3676929536, 539842382, 4294966664],
    [2048, 147937280, 539842381, 4294966740],
    [4096, 10188185600, 539842382, 4294966776],
    [31232, 3673764352, 539842382, 4294966413],
    [4096, 3626340352, 539842382, 4294966639],
  ];
  test.each(entries)('the entry of %i bytes at %i (time %i) has checksum %i', (dataBytes, offsetBytes, time, sum) => {
    const writtenAtMs = Date.UTC(2000, 0, 1) + time * 1000;
    expect(encodeHrlBlock(4096, [{ dataBytes, offsetBytes, writtenAtMs }]).readUInt32LE(32 + 8)).toBe(sum);
  });

  test('both metadata headers have the listed checksums', () => {
    expect(encodeHrlBlock(0, []).readUInt32LE(12)).toBe(4294967295);
    const entry = { offsetBytes: 0, dataBytes: 4096, writtenAtMs: identity.createdAtMs };
    const block = encodeHrlBlock(324096, Array(58).fill(entry));
    expect(block.readUInt32LE(12)).toBe(4294966991);
  });

  test('58 entries of 320,000 bytes put the end of the log where the example has it', () => {
    const lengths = [
      4096, 4096, 8192, 4096, 4096, 4096, 4096, 4096, 4096, 8192, 4096, 4096, 8192, 4096, 4096, 4096, 31232, 4096,
      31232, 4096, 4096, 512, 4096, 8192, 4096, 8192, 4096, 8192, 4096, 4096, 16384, 512, 512, 4096, 8192, 1024, 4096,
      8192, 512, 512, 4096, 4096, 12288, 4096, 4096, 4096, 4096, 4096, 4096, 4096, 4096, 2048, 2048, 4096, 4096, 4096,
      4096, 4096,
    ];
    const image = imageOf(lengths.map((bytes, index) => ({ offsetBytes: index * 65_536, data: Buffer.alloc(bytes) })));
    const header = decodeHrlHeader(image);
    expect(header.endOfLogBytes).toBe(332288);
    expect(header.entryCount).toBe(58);
    expect(image.readBigUInt64LE(328192)).toBe(324096n);
    expect(image.readUInt32LE(12)).toBe(539842380);
  });
});

test('a header says what was put into it', () => {
  const header = { ...identity, modifiedAtMs: identity.createdAtMs + 4000, endOfLogBytes: 8192, entryCount: 0 };
  expect(decodeHrlHeader(encodeHrlHeader(header))).toEqual(header);
  expect(bytesToUuid(uuidToBytes(identity.uniqueId))).toBe(identity.uniqueId);
  expect(uuidToBytes(identity.uniqueId).toString('hex', 0, 4)).toBe('ffc72f57');
});

test('a log without changes is well formed', () => {
  const image = imageOf([]);
  expect(image.length).toBe(hrlHeaderBytes + hrlBlockBytes);
  expect(readHrl(image).records).toEqual([]);
});

test('what is written is read back, in order, split at 1 MiB and joined where adjacent', () => {
  const data = Buffer.alloc(2_500_000, 7);
  const image = imageOf([
    { offsetBytes: 0, data: Buffer.alloc(65_536, 1) },
    { offsetBytes: 65_536, data: Buffer.alloc(65_536, 2) },
    { offsetBytes: 1 << 30, data },
  ]);
  const records = readHrl(image).records;
  expect(records.map((record) => [record.offsetBytes, record.data.length])).toEqual([
    [0, 131_072],
    [1 << 30, 1_048_576],
    [(1 << 30) + 1_048_576, 1_048_576],
    [(1 << 30) + 2_097_152, 2_500_000 - 2_097_152],
  ]);
  expect(Buffer.concat(records.slice(1).map((record) => record.data)).equals(data)).toBe(true);
});

const writesArbitrary = fc.array(
  fc.record({
    offsetBytes: fc.integer({ min: 0, max: 2 ** 45 }),
    data: fc.uint8Array({ minLength: 1, maxLength: 300 }).map((bytes) => Buffer.from(bytes)),
  }),
  { maxLength: 400 },
);

test('any list of writes makes the same disk after a round trip', () => {
  fc.assert(
    fc.property(writesArbitrary, (writes) => {
      const read = readHrl(imageOf(writes)).records;
      const bytes = (list: readonly { offsetBytes: number; data: Buffer }[]) =>
        list.flatMap((write) => [...write.data].map((byte, index) => [write.offsetBytes + index, byte]));
      expect(bytes(read)).toEqual(bytes(writes));
    }),
    { numRuns: 60 },
  );
});

const sample = imageOf(
  Array.from({ length: 200 }, (_, index) => ({ offsetBytes: index * 131_072, data: Buffer.alloc(512, index) })),
);

describe('damage', () => {
  test('a cut at any 512 bytes is refused with the offset and the field', () => {
    for (let length = 0; length < sample.length; length += 512) {
      expect(() => readHrl(sample.subarray(0, length))).toThrow(/^\.hrl log, offset \d+: \w/);
    }
  });

  test('a log that was not closed is refused', () => {
    const open = Buffer.from(sample);
    encodeHrlHeader({ ...decodeHrlHeader(sample), endOfLogBytes: 0 }).copy(open);
    expect(() => readHrl(open)).toThrow('EOLLocation is 0: the log was not closed');
  });

  test('a changed byte of structure is refused, and nothing else than an OutageError is thrown', () => {
    let refused = 0;
    fc.assert(
      fc.property(fc.nat(sample.length - 1), fc.integer({ min: 1, max: 255 }), (at, change) => {
        const mutated = Buffer.from(sample);
        mutated[at] = (mutated[at] ?? 0) ^ change;
        try {
          readHrl(mutated);
        } catch (error) {
          expect(error).toBeInstanceOf(OutageError);
          refused += 1;
        }
      }),
      { numRuns: 3000 },
    );
    expect(refused).toBeGreaterThan(100);
  });

  test('random bytes never get further than an OutageError', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 20_000 }), fc.boolean(), (bytes, withHeader) => {
        const image = Buffer.concat([withHeader ? sample.subarray(0, hrlHeaderBytes) : Buffer.alloc(0), bytes]);
        expect(() => readHrl(image)).toThrow(OutageError);
      }),
      { numRuns: 500 },
    );
  });

  test('a length that reaches into its metadata block is refused though its checksum is right', () => {
    const forged = Buffer.from(imageOf([{ offsetBytes: 0, data: Buffer.alloc(512) }]));
    const blockAt = forged.length - hrlBlockBytes;
    encodeHrlBlock(512 + 4096, [{ offsetBytes: 0, dataBytes: 513, writtenAtMs: 0 }]).copy(forged, blockAt);
    expect(() => readHrl(forged)).toThrow('DataLength reaches into the metadata block');
    encodeHrlBlock(512 + 4096, [{ offsetBytes: 0, dataBytes: 511, writtenAtMs: 0 }]).copy(forged, blockAt);
    expect(() => readHrl(forged)).toThrow('is described by no entry for 1 bytes');
  });

  test('a chain that goes round in a circle or before the header ends at once', () => {
    const forged = Buffer.from(imageOf([{ offsetBytes: 0, data: Buffer.alloc(512) }]));
    const blockAt = forged.length - hrlBlockBytes;
    const entry = { offsetBytes: 0, dataBytes: 512, writtenAtMs: 0 };
    encodeHrlBlock(1, [entry]).copy(forged, blockAt);
    expect(() => readHrl(forged)).toThrow('PreviousMetadataLocation is 1: blocks overlap');
    encodeHrlBlock(2 ** 40, [entry]).copy(forged, blockAt);
    expect(() => readHrl(forged)).toThrow('lies before the end of the header');
  });

  test('the byte sum does not see two bytes swapped, which is why the sidecar exists', () => {
    expect(hrlChecksum(Buffer.from([1, 2, 3]))).toBe(hrlChecksum(Buffer.from([3, 2, 1])));
  });

  test('limits are checked before the content', () => {
    expect(() => readHrl(sample, { imageBytesMax: 1000, entryCountMax: 10 })).toThrow('more than 1000');
    expect(() => readHrl(sample, { imageBytesMax: 1e9, entryCountMax: 10 })).toThrow('is 200, more than 10');
  });
});

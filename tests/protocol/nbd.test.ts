import fc from 'fast-check';
import { expect, test } from 'vitest';
import * as nbd from '../../protocol/nbd.ts';
import * as handshake from '../../protocol/nbd-handshake.ts';

const unsigned32 = fc.integer({ min: 0, max: 0xffff_ffff });
const unsigned16 = fc.integer({ min: 0, max: 0xffff });
const offset = fc.maxSafeNat();

test('what is encoded is decoded again', () => {
  const request = fc.record({
    command: unsigned16,
    flags: unsigned16,
    handle: fc.bigInt({ min: 0n, max: 2n ** 64n - 1n }),
    offsetBytes: offset,
    lengthBytes: unsigned32,
  });
  const runs = fc.array(fc.record({ lengthBytes: unsigned32, flags: unsigned32 }), { minLength: 1, maxLength: 20 });
  const text = fc.string({ maxLength: 40 });
  sameAgain(request, (value) => nbd.decodeRequest(nbd.encodeRequest(value)));
  sameAgain(fc.record({ contextId: unsigned32, runs }), (value) =>
    nbd.decodeBlockStatus(nbd.encodeBlockStatus(value.contextId, value.runs)),
  );
  sameAgain(fc.record({ exportName: text, queries: fc.array(text) }), (value) =>
    handshake.decodeMetaContextQuery(handshake.encodeMetaContextQuery(value.exportName, value.queries)),
  );
  sameAgain(fc.record({ exportName: text, infoTypes: fc.array(unsigned16, { maxLength: 9 }) }), (value) =>
    handshake.decodeGo(handshake.encodeGo(value.exportName, value.infoTypes)),
  );
  sameAgain(fc.record({ sizeBytes: offset, flags: unsigned16 }), (value) =>
    handshake.decodeExportInfo(handshake.encodeExportInfo(value)),
  );
});

function sameAgain<T>(values: fc.Arbitrary<T>, thereAndBack: (value: T) => unknown): void {
  const property = fc.property(values, (value) => {
    expect(thereAndBack(value)).toEqual(value);
  });
  fc.assert(property);
}

test('bytes of another protocol are refused', () => {
  expect(() => handshake.decodeServerHandshake(Buffer.alloc(18, 'x'))).toThrow('newstyle');
  expect(() => nbd.decodeRequest(Buffer.alloc(28))).toThrow('magic');
  expect(() => nbd.decodeChunkHeader(Buffer.alloc(20))).toThrow('magic');
  expect(() => handshake.decodeOptionHeader(Buffer.alloc(16))).toThrow('magic');
});

test('lengths that no honest peer sends are refused', () => {
  const header = { flags: 0, type: 1, handle: 1n, lengthBytes: nbd.transferBytesMax + 9 };
  expect(() => nbd.decodeChunkHeader(nbd.encodeChunkHeader(header))).toThrow('bytes');
  const long = handshake.encodeOption(7, Buffer.alloc(nbd.optionLengthMax + 1)).subarray(0, 16);
  expect(() => handshake.decodeOptionHeader(long)).toThrow('bytes');
});

test('any bytes as a variable part are decoded or refused, never read past their end', () => {
  const decoders = [
    handshake.decodeGo,
    handshake.decodeMetaContextQuery,
    handshake.decodeMetaContext,
    handshake.decodeExportInfo,
    nbd.decodeBlockStatus,
    nbd.decodeErrorChunk,
    nbd.decodeHole,
    nbd.decodeDataOffset,
  ];
  for (const decode of decoders) {
    const check = (bytes: Uint8Array) => {
      try {
        decode(Buffer.from(bytes));
      } catch (error) {
        expect(error).toMatchObject({ name: 'OutageError' });
      }
    };
    fc.assert(fc.property(fc.uint8Array({ maxLength: 64 }), check));
  }
});

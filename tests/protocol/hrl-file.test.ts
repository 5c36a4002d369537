import { mkdtemp, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { nilUuid, readHrl } from '../../protocol/hrl.ts';
import { createHrlFile, hrlIndexPath, recoverHrlFile } from '../../protocol/hrl-file.ts';
import { checkAgainstIndex } from '../../protocol/hrl-index.ts';
import { createHrlImageBuilder, hrlImageBytesMax } from '../../protocol/hrl-writer.ts';

const identity = {
  uniqueId: '572fc7ff-1f03-49ab-b3c5-30a665b8e20c',
  previousUniqueId: nilUuid,
  dataWriteId: nilUuid,
  createdAtMs: Date.UTC(2026, 0, 1),
};
const nowMs = () => identity.createdAtMs;
// Two full metadata blocks and a part of a third; 64-byte entries keep "every prefix" affordable.
const writes = Array.from({ length: 300 }, (_, index) => ({
  offsetBytes: index * 4096,
  data: Buffer.alloc(64, index + 1),
}));

let folder: string;
let log: Buffer;
let index: Buffer;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'lifeboat-hrl-'));
  const path = join(folder, 'whole.hrl');
  const file = await createHrlFile(path, identity, nowMs);
  for (const write of writes) await file.append(write.offsetBytes, write.data);
  const { sizeBytes } = await file.seal();
  log = await readFile(path);
  index = await readFile(hrlIndexPath(path));
  expect(sizeBytes).toBe(log.length);
});
afterAll(() => rm(folder, { recursive: true, force: true }));

test('a file and an image of the same writes are the same bytes', () => {
  const builder = createHrlImageBuilder(Buffer.alloc(hrlImageBytesMax(64 * 300, 64)), identity, nowMs);
  for (const write of writes) builder.append(write.offsetBytes, write.data);
  expect(builder.seal().equals(log)).toBe(true);
});

test('an unfinished file says so, and discard leaves nothing', async () => {
  const path = join(folder, 'open.hrl');
  const file = await createHrlFile(path, identity, nowMs);
  await file.append(0, Buffer.alloc(64));
  expect(() => readHrl(Buffer.from([]))).toThrow();
  const open = await readFile(path);
  expect(() => readHrl(open)).toThrow('EOLLocation is 0');
  await file.discard();
  await expect(stat(path)).rejects.toThrow('ENOENT');
  await expect(stat(hrlIndexPath(path))).rejects.toThrow('ENOENT');
});

describe('the sidecar', () => {
  test('vouches for the whole file', () => {
    expect(() => checkAgainstIndex(log, index, identity.uniqueId)).not.toThrow();
  });

  test('finds every changed bit of a run, also where byte sums agree', () => {
    for (let at = 8192; at < log.length; at += 97) {
      const changed = Buffer.from(log);
      changed[at] = (changed[at] ?? 0) ^ 0x10;
      expect(() => checkAgainstIndex(changed, index, identity.uniqueId)).toThrow('do not match their sidecar');
    }
    const swapped = Buffer.from(log);
    swapped.copyWithin(8192, 8192 + 64, 8192 + 128);
    log.copy(swapped, 8192 + 64, 8192, 8192 + 64);
    expect(() => readHrl(swapped)).not.toThrow();
    expect(() => checkAgainstIndex(swapped, index, identity.uniqueId)).toThrow('do not match');
  });

  test('of another file vouches for nothing', () => {
    expect(() => checkAgainstIndex(log, index, '00000000-0000-0000-0000-000000000001')).toThrow('0 runs do');
  });

  test('does not accept records that were put in another order', () => {
    const records = [index.subarray(0, 32), index.subarray(112, 192), index.subarray(32, 112), index.subarray(192)];
    expect(() => checkAgainstIndex(log, Buffer.concat(records), identity.uniqueId)).toThrow('0 runs do');
  });
});

async function torn(logBytes: number, indexBytes: number) {
  const path = join(folder, 'torn.hrl');
  const cut = Buffer.from(log.subarray(0, logBytes));
  // A crash before the close: the header still says that the log is open.
  const open = join(folder, 'header.hrl');
  const file = await createHrlFile(open, identity, nowMs);
  (await readFile(open)).copy(cut, 0, 0, Math.min(4096, logBytes));
  await file.discard();
  await writeFile(path, cut);
  await writeFile(hrlIndexPath(path), index.subarray(0, indexBytes));
  const outcome = await recoverHrlFile(path, nowMs());
  return { outcome, after: await readFile(path), indexAfter: await readFile(hrlIndexPath(path)) };
}

describe('recovery', () => {
  test('of a torn log keeps exactly the runs that are whole, at every cut', async () => {
    const runEnds = [32, 112, 192].map((at) => Number(index.readBigUInt64LE(at)) + 4096);
    for (let logBytes = 0; logBytes <= log.length; logBytes += 331) {
      const { outcome, after, indexAfter } = await torn(logBytes, index.length);
      const wholeRuns = runEnds.filter((end) => end <= logBytes).length;
      if (wholeRuns === 0) {
        expect(outcome).toEqual({ kind: 'nothing-valid' });
        continue;
      }
      expect(outcome.kind).toBe('truncated');
      expect(after.length).toBe(runEnds[wholeRuns - 1]);
      const records = readHrl(after).records;
      expect(records.length).toBe(Math.min(127 * wholeRuns, writes.length));
      expect(records.every((record, at) => writes[at]?.data.equals(record.data))).toBe(true);
      checkAgainstIndex(after, indexAfter, identity.uniqueId);
    }
  });

  test('with a torn sidecar keeps what the sidecar still vouches for, at every cut', async () => {
    for (let indexBytes = 0; indexBytes <= index.length; indexBytes += 13) {
      const { outcome, after } = await torn(log.length, indexBytes);
      const wholeRecords = Math.max(0, Math.floor((indexBytes - 32) / 80));
      if (wholeRecords === 0) expect(outcome).toEqual({ kind: 'nothing-valid' });
      else expect(readHrl(after).records.length).toBe(Math.min(127 * wholeRecords, writes.length));
    }
  });

  test('leaves a closed log alone, and is safe to run twice', async () => {
    const path = join(folder, 'whole.hrl');
    expect(await recoverHrlFile(path, nowMs())).toEqual({ kind: 'was-closed' });
    await torn(log.length - 10, index.length);
    expect(await recoverHrlFile(join(folder, 'torn.hrl'), nowMs())).toEqual({ kind: 'was-closed' });
  });
});

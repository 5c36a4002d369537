import { mkdtempSync, readdirSync, readFileSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import {
  createSpoolBudget,
  openDiskSpool,
  SpoolDamagedError,
  SpoolFullError,
  splitExtents,
  spoolLogDataBytesMax,
} from '../../agent/hrl-spool.ts';
import { spoolRoom } from '../../agent/spool-room.ts';
import { decodeHrlHeader, nilUuid, readHrl } from '../../protocol/hrl.ts';

const mebibyte = 1_048_576;
let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'lifeboat-spool-'));
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

const open = (bytesMax = 1e9) => openDiskSpool({ folder, budget: createSpoolBudget(bytesMax), nowMs: Date.now });
const order = (lengthBytes: number, previousSequence = 0) => ({
  extents: [{ offsetBytes: 0, lengthBytes }],
  read: (offsetBytes: number, bytes: number) => Promise.resolve(Buffer.alloc(bytes, offsetBytes / mebibyte)),
  previousSequence,
  previousLogId: nilUuid,
  generation: 7,
});

describe('the spool of a disk', () => {
  test('splits a capture into logs that can be sent from memory, chained by their ids', async () => {
    const spool = await open();
    const { lastSequence, lastLogId } = await spool.write(order(70 * mebibyte, 4));
    expect(lastSequence).toBe(7);
    const logs = await Promise.all([5, 6, 7].map((sequence) => spool.load(sequence)));
    const sizes = logs.map(({ image }) => readHrl(image).records.reduce((sum, record) => sum + record.data.length, 0));
    expect(sizes).toEqual([spoolLogDataBytesMax, spoolLogDataBytesMax, 6 * mebibyte]);
    const headers = logs.map(({ image }) => decodeHrlHeader(image));
    expect(headers[0]?.previousUniqueId).toBe(nilUuid);
    expect(headers[1]?.previousUniqueId).toBe(headers[0]?.uniqueId);
    expect(headers[2]?.uniqueId).toBe(lastLogId);
    expect(headers[0]?.dataWriteId).toBe('00000000-0000-0000-0000-000000000007');
    const first = readHrl(logs[1]?.image ?? Buffer.alloc(0)).records[0];
    expect([first?.offsetBytes, first?.data[0]]).toEqual([32 * mebibyte, 32]);
  });

  test('writes nothing for a capture without changes', async () => {
    const spool = await open();
    expect(await spool.write({ ...order(0, 4), extents: [] })).toEqual({ lastSequence: 4, lastLogId: nilUuid });
    expect(readdirSync(folder)).toEqual([]);
  });

  test('never grows past its bound, says so, and leaves nothing of what did not fit', async () => {
    const spool = await open(40 * mebibyte);
    await expect(spool.write(order(70 * mebibyte))).rejects.toThrow(SpoolFullError);
    expect(readdirSync(folder)).toEqual([]);
    expect(spool.usedBytes()).toBe(0);
    await spool.write(order(30 * mebibyte));
    await expect(spool.write(order(30 * mebibyte, 1))).rejects.toThrow(SpoolFullError);
    expect(readdirSync(folder)).toEqual(['000000000001.hrl', '000000000001.hrl.idx']);
  });

  test('shares its bound with the other disks, and gives back what was sent', async () => {
    const budget = createSpoolBudget(40 * mebibyte);
    const one = await openDiskSpool({ folder: join(folder, 'a'), budget, nowMs: Date.now });
    const two = await openDiskSpool({ folder: join(folder, 'b'), budget, nowMs: Date.now });
    await one.write(order(30 * mebibyte));
    await expect(two.write(order(30 * mebibyte))).rejects.toThrow(SpoolFullError);
    await one.remove(1);
    expect(budget.usedBytes()).toBe(0);
    await two.write(order(30 * mebibyte));
    // After a restart what is there counts again.
    const again = createSpoolBudget(10 * mebibyte);
    await openDiskSpool({ folder: join(folder, 'b'), budget: again, nowMs: Date.now });
    expect(again.usedBytes()).toBeGreaterThan(30 * mebibyte);
    expect(again.reserve(1)).toBe(false);
  });

  test('is reported with its bound and with what its file system has left, also when that cannot be asked', async () => {
    const budget = createSpoolBudget(40 * mebibyte);
    const spool = await openDiskSpool({ folder, budget, nowMs: Date.now });
    await spool.write(order(30 * mebibyte));
    const { fileSystem, ...room } = await spoolRoom(budget, folder);
    expect(room).toEqual({ usedBytes: spool.usedBytes(), bytesMax: 40 * mebibyte });
    expect(room.usedBytes).toBeGreaterThan(30 * mebibyte);
    // Not compared with df to the byte: others write to it at the same time.
    expect(fileSystem?.usedBytes).toBeGreaterThan(30 * mebibyte);
    expect(fileSystem?.freeBytes).toBeGreaterThan(0);
    expect(await spoolRoom(budget, join(folder, 'nowhere'))).toEqual({ ...room, fileSystem: null });
  });

  test('leaves nothing of a capture whose view broke', async () => {
    const spool = await open();
    const read = () => Promise.reject(new Error('the view was given up'));
    await expect(spool.write({ ...order(mebibyte), read })).rejects.toThrow('the view was given up');
    expect(readdirSync(folder)).toEqual([]);
    expect(spool.usedBytes()).toBe(0);
  });

  test('sees a changed, cut or missing log before it is sent', async () => {
    const spool = await open();
    await spool.write(order(mebibyte));
    const path = join(folder, '000000000001.hrl');
    const whole = readFileSync(path);
    const changed = Buffer.from(whole);
    changed[50_000] = (changed[50_000] ?? 0) ^ 1;
    writeFileSync(path, changed);
    await expect(spool.load(1)).rejects.toThrow(SpoolDamagedError);
    writeFileSync(path, whole);
    expect((await spool.load(1)).image.equals(whole)).toBe(true);
    truncateSync(path, 20_000);
    await expect(spool.load(1)).rejects.toThrow(SpoolDamagedError);
    await expect(spool.load(2)).rejects.toThrow(SpoolDamagedError);
  });

  test('after a restart keeps what the journal counts, removes the rest, and names what is missing', async () => {
    const before = await open();
    for (let sequence = 0; sequence < 5; sequence += 1) await before.write(order(mebibyte, sequence));
    truncateSync(join(folder, '000000000003.hrl'), 5000);
    rmSync(join(folder, '000000000004.hrl'));
    const spool = await open();
    expect(await spool.keepOnly(1, 4)).toEqual([3, 4]);
    expect(readdirSync(folder).filter((name) => name.endsWith('.hrl'))).toEqual([
      '000000000002.hrl',
      '000000000003.hrl',
    ]);
  });
});

test('extents are cut so that no log has more data than allowed', () => {
  const extents = [
    { offsetBytes: 0, lengthBytes: 30 },
    { offsetBytes: 100, lengthBytes: 30 },
  ];
  expect(splitExtents(extents, 25)).toEqual([
    [{ offsetBytes: 0, lengthBytes: 25 }],
    [
      { offsetBytes: 25, lengthBytes: 5 },
      { offsetBytes: 100, lengthBytes: 20 },
    ],
    [{ offsetBytes: 120, lengthBytes: 10 }],
  ]);
});

import { mkdir, mkdtemp, readdir, rm, utimes, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { dayMs } from '../../../domain/units.ts';
import { picturesFolder } from '../../../engine/target/drill-folder.ts';
import { removeOldPictures } from '../../../engine/target/old-pictures.ts';

let stateFolder: string;
const nowMs = Date.parse('2026-11-22T12:00:00Z');
beforeEach(async () => {
  stateFolder = await mkdtemp(path.join(tmpdir(), 'lifeboat-old-pictures-'));
});
afterEach(() => rm(stateFolder, { recursive: true, force: true }));

async function put(name: string, ageDays: number): Promise<void> {
  const file = path.join(picturesFolder(stateFolder), name);
  await mkdir(path.dirname(file), { recursive: true });
  await writeFile(file, 'x');
  const at = new Date(nowMs - ageDays * dayMs);
  await utimes(file, at, at);
}
const left = async () => (await readdir(picturesFolder(stateFolder))).sort();

test('pictures and serial logs older than a report can look back are removed; everything else stays', async () => {
  await put('run_0000000001.png', 401);
  await put('run_0000000001.serial.log', 401);
  await put('run_0000000002.png', 399);
  await put('notes of somebody.png', 900);
  expect(await removeOldPictures(stateFolder, nowMs)).toBe(2);
  expect(await left()).toEqual(['notes of somebody.png', 'run_0000000002.png']);
});

test('one round removes only so many, and the next one goes on', async () => {
  for (let i = 0; i < 5; i += 1) await put(`run_000000000${i}.png`, 500);
  expect(await removeOldPictures(stateFolder, nowMs, 3)).toBe(3);
  expect(await removeOldPictures(stateFolder, nowMs, 3)).toBe(2);
  expect(await removeOldPictures(stateFolder, nowMs, 3)).toBe(0);
});

test('an engine that never started a machine has nothing to remove', async () => {
  expect(await removeOldPictures(stateFolder, nowMs)).toBe(0);
});

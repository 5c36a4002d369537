import { afterEach, beforeEach, expect, it } from 'vitest';
import { blockBytes } from '../../../domain/extent.ts';
import { OutageError } from '../../../domain/outage.ts';
import { type Position, startPosition } from '../../../domain/position.ts';
import type { PointManifest } from '../../../protocol/point-manifest.ts';
import {
  appended,
  manifestOf,
  namesIn,
  newDiskId,
  newMachineId,
  OracleDisk,
  type VaultFixture,
  vaultFixture,
} from './vault-fixture.ts';

let fixture: VaultFixture;
let position: Position;
const machineId = newMachineId();
const diskId = newDiskId();
beforeEach(async () => {
  fixture = await vaultFixture();
  const batch = new OracleDisk(blockBytes).batch(startPosition(1), [{ block: 0, fill: 1 }]);
  position = await appended(fixture.vault, diskId, batch);
});
afterEach(() => fixture.remove());

async function addPoint(number: number, previous?: PointManifest): Promise<PointManifest> {
  const disks = [{ diskId, sizeBytes: blockBytes, position }];
  const manifest = manifestOf(fixture.vault, { machineId, number, disks, previous });
  await fixture.vault.putPoint(manifest);
  return manifest;
}

async function listed(): Promise<PointManifest[]> {
  const points: PointManifest[] = [];
  for await (const point of fixture.vault.points(machineId)) points.push(point);
  return points;
}

async function addPoints(count: number): Promise<PointManifest[]> {
  const points: PointManifest[] = [];
  for (let number = 1; number <= count; number += 1) points.push(await addPoint(number, points.at(-1)));
  return points;
}

it('gives points back as they were signed, oldest first', async () => {
  const points = await addPoints(12);
  expect(await listed()).toEqual(points);
  for await (const _ of fixture.vault.points(newMachineId())) throw new Error('another machine has no points');
});

it('says that a point was written before, and refuses another point with its number', async () => {
  const [first] = await addPoints(1);
  if (first === undefined) throw new Error('no point');
  expect(await fixture.vault.putPoint(first)).toBe('exists');
  await expect(addPoint(1)).rejects.toThrow('its number is that of');
});

it('refuses to make or remove points without the signing key', async () => {
  const [first] = await addPoints(1);
  if (first === undefined) throw new Error('no point');
  const vault = await fixture.reopen({ keys: { ...fixture.keys, signingKey: undefined } });
  await expect(vault.putPoint({ ...first, number: 2 })).rejects.toThrow(OutageError);
});

it('lets points expire in any order without a false alarm, and keeps no notes that nobody needs', async () => {
  const points = await addPoints(6);
  const vault = fixture.vault;
  for (const index of [2, 3, 0]) {
    const point = points[index];
    if (point === undefined) throw new Error('no point');
    await vault.deletePoint(point);
    await vault.deletePoint(point);
    expect((await vault.verifyAll({ newestPoints: [] })).findings).toEqual([]);
  }
  expect((await namesIn(fixture.store)).filter((name) => name.endsWith('.gone'))).toHaveLength(2);
  expect((await listed()).map(({ number }) => number)).toEqual([2, 5, 6]);
  const second = points[1];
  if (second !== undefined) await vault.deletePoint(second);
  expect((await namesIn(fixture.store)).filter((name) => name.endsWith('.gone'))).toEqual([]);
  expect((await vault.verifyAll({ newestPoints: [] })).findings).toEqual([]);
});

import { mkdtemp, readdir, rm, writeFile } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { newId } from '../../engine/store/new-id.ts';
import { vaultAnchorFile } from '../../engine/vault-anchor.ts';

let folder: string;
let file: string;
beforeEach(async () => {
  folder = await mkdtemp(path.join(os.tmpdir(), 'lifeboat-anchor-'));
  file = path.join(folder, 'deeper', 'anchors.json');
});
afterEach(() => rm(folder, { recursive: true, force: true }));

const anchor = (machineId: ReturnType<typeof newId<'machine'>>, number: number) => ({
  machineId,
  pointId: `rp_${number}`,
  number,
  manifestDigest: `${number % 10}`.repeat(64),
});

test('each machine’s newest point is kept, an older one changes nothing, and nothing half written is left', async () => {
  const [one, two] = [newId('machine'), newId('machine')];
  const anchors = vaultAnchorFile(file);
  expect(await anchors.read()).toEqual({ newestPoints: [] });
  await Promise.all(
    [3, 1, 2].flatMap((number) => [anchors.note(anchor(one, number)), anchors.note(anchor(two, number + 1))]),
  );
  const { newestPoints } = await vaultAnchorFile(file).read();
  expect(newestPoints.map((each) => [each.machineId, each.pointId]).sort()).toEqual(
    [
      [one, 'rp_3'],
      [two, 'rp_4'],
    ].sort(),
  );
  expect(await readdir(path.dirname(file))).toEqual(['anchors.json']);
});

test('a file that cannot be understood is an outage with a next step, never an empty list', async () => {
  await vaultAnchorFile(file).note(anchor(newId('machine'), 1));
  await writeFile(file, '{"newestPoints": [');
  const anchors = vaultAnchorFile(file);
  await expect(anchors.read()).rejects.toMatchObject({
    retryable: false,
    nextStep: expect.stringContaining('vault verify'),
  });
  await expect(anchors.note(anchor(newId('machine'), 1))).rejects.toThrow('cannot be understood');
  await rm(file);
  await anchors.note(anchor(newId('machine'), 1));
  expect((await anchors.read()).newestPoints).toHaveLength(1);
});

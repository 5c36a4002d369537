import { execFile } from 'node:child_process';
import { cp, mkdtemp, readdir, rm } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { promisify } from 'node:util';
import { expect, test } from 'vitest';

test('the migrations make exactly the tables of the schema: generating again finds nothing to add', async () => {
  const folder = await mkdtemp(path.join(os.tmpdir(), 'lifeboat-migrations-'));
  try {
    await cp('migrations', folder, { recursive: true });
    const before = await readdir(folder);
    const kit = path.resolve('node_modules/drizzle-kit/bin.cjs');
    // The tool takes a folder below the present one only.
    const out = `./${path.relative('.', folder)}`;
    const options = ['generate', '--dialect=postgresql', '--schema=./engine/store/*schema.ts', `--out=${out}`];
    const { stdout } = await promisify(execFile)(process.execPath, [kit, ...options]);
    expect(stdout).toContain('No schema changes');
    expect(await readdir(folder)).toEqual(before);
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
});

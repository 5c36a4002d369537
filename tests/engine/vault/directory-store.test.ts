import { execFileSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { chmod, mkdir, mkdtemp, readdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { OutageError } from '../../../domain/outage.ts';
import { createDirectoryStore, openDirectoryStore } from '../../../engine/vault/directory-store.ts';
import { blobStoreSuite } from './blob-store-suite.ts';

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'lifeboat-directory-'));
});
afterAll(() => rm(folder, { recursive: true, force: true }));

blobStoreSuite('a directory', async () => ({
  store: await createDirectoryStore(join(folder, 'suite', 'deep')),
  close: async () => undefined,
}));

it('refuses names that lead elsewhere', async () => {
  const store = await createDirectoryStore(join(folder, 'names'));
  for (const name of ['../x', 'a/../../x', '/etc/x', 'a//b', 'a/./b', '', 'a\0b', 'tmp/x', 'x'.repeat(600)]) {
    await expect(store.put(name, [Buffer.from('x')]), name).rejects.toThrow(OutageError);
  }
});

it('clears away what a killed writer left, and never lists it', async () => {
  const path = join(folder, 'stale');
  const store = await createDirectoryStore(path);
  // No process has this number: Linux gives at most 4,194,304.
  await writeFile(join(path, 'tmp', '99999999-abc'), 'half');
  await writeFile(join(path, 'tmp', `${process.pid}-abc`), 'being written now');
  const names: string[] = [];
  for await (const { name } of store.list('')) names.push(name);
  expect(names).toEqual([]);
  await openDirectoryStore(path);
  expect(await readdir(join(path, 'tmp'))).toEqual([`${process.pid}-abc`]);
});

it('says what to do when the directory is missing or a file', async () => {
  await expect(openDirectoryStore(join(folder, 'nowhere'))).rejects.toMatchObject({
    name: 'OutageError',
    nextStep: expect.stringContaining('Mount'),
  });
  await writeFile(join(folder, 'file'), '');
  await expect(openDirectoryStore(join(folder, 'file'))).rejects.toThrow('not a directory');
});

it('reports a directory that went away after it was opened', async () => {
  const path = join(folder, 'vanishing');
  const store = await createDirectoryStore(path);
  await rm(path, { recursive: true });
  await expect(store.check()).rejects.toThrow(OutageError);
  await expect(store.put('a/b', [Buffer.from('x')])).rejects.toMatchObject({ retryable: true });
});

// Root may write everywhere; for it the read-only file system below is the case.
if (process.getuid?.() !== 0) {
  it('says that a read-only directory is read-only', async () => {
    const path = join(folder, 'read-only');
    await createDirectoryStore(path);
    await chmod(path, 0o500);
    await expect(openDirectoryStore(path)).rejects.toMatchObject({ nextStep: expect.stringContaining('Remount') });
    await chmod(path, 0o700);
  });
}

const canMount = process.getuid?.() === 0 && process.platform === 'linux';

it.skipIf(!canMount)('says that a read-only file system is read-only', async () => {
  const path = join(folder, 'ro-mount');
  await mkdir(path);
  execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=1m', 'tmpfs', path]);
  try {
    const store = await openDirectoryStore(path);
    execFileSync('mount', ['-o', 'remount,ro', path]);
    await expect(store.check()).rejects.toMatchObject({ nextStep: expect.stringContaining('Remount') });
    await expect(store.put('a', [Buffer.from('x')])).rejects.toMatchObject({
      nextStep: expect.stringContaining('Remount'),
    });
  } finally {
    execFileSync('umount', [path]);
  }
});

it.skipIf(!canMount)(
  'survives a full disk: a clear outage, no half blob, and it goes on once there is room',
  async () => {
    const path = join(folder, 'full');
    await mkdir(path);
    execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=4m', 'tmpfs', path]);
    try {
      const store = await openDirectoryStore(path);
      await store.put('a/first', [randomBytes(1_000_000)]);
      const large = Array.from({ length: 100 }, () => randomBytes(50_000));
      await expect(store.put('a/second', large)).rejects.toMatchObject({
        name: 'OutageError',
        retryable: true,
        nextStep: expect.stringContaining('full'),
      });
      expect(await store.head('a/second')).toBeUndefined();
      expect(await readdir(join(path, 'tmp'))).toEqual([]);
      const small = randomBytes(2_000_000);
      expect(await store.put('a/second', [small])).toBe('created');
      expect(await store.get('a/second')).toEqual(small);
    } finally {
      execFileSync('umount', [path]);
    }
  },
);

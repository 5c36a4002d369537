import { execFileSync } from 'node:child_process';
import { mkdir, mkdtemp, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { OutageError } from '../../../domain/outage.ts';
import { mebibyte } from '../../../domain/units.ts';
import { restoreImage } from '../../../engine/target/restore-image.ts';
import type { DiskReader } from '../../../engine/vault/vault.ts';
import { fileDiskReader, storedRuns } from './file-disk-reader.ts';

let folder: string;
let content: Buffer;
beforeAll(async () => {
  folder = await mkdtemp(path.join(os.tmpdir(), 'restore-test-'));
  content = Buffer.alloc(40 * mebibyte + 1536);
  for (const start of [0, 7 * mebibyte + 65_536, 30 * mebibyte]) {
    for (let at = 0; at < mebibyte; at += 4) content.writeUInt32LE((at * 2_654_435_761) % 2 ** 32, start + at);
  }
  content.fill(0x42, content.length - 1536);
  await writeFile(path.join(folder, 'source.img'), content);
});
afterAll(() => rm(folder, { recursive: true, force: true }));

const reader = (changes: Partial<DiskReader> = {}): DiskReader => ({
  ...fileDiskReader(path.join(folder, 'source.img'), storedRuns(content)),
  ...changes,
});
const filesIn = async (where: string) => (await readdir(where)).sort();
async function emptyFolder(name: string): Promise<string> {
  await mkdir(path.join(folder, name));
  return path.join(folder, name);
}

describe('a restored image', () => {
  test('is the disk exactly, sparse, and reported as it grows', async () => {
    const toPath = path.join(await emptyFolder('exact'), 'disk.img');
    const seen: number[] = [];
    const { writtenBytes } = await restoreImage({ reader: reader(), toPath, onProgress: (done) => seen.push(done) });
    expect((await readFile(toPath)).equals(content)).toBe(true);
    expect((await stat(toPath)).blocks * 512).toBeLessThan(5 * mebibyte);
    expect(seen.at(-1)).toBe(writtenBytes);
    expect(seen).toEqual([...seen].sort((a, b) => a - b));
  });

  test('never replaces a file that is there', async () => {
    const where = await emptyFolder('taken');
    await writeFile(path.join(where, 'disk.img'), 'precious');
    const restore = restoreImage({ reader: reader(), toPath: path.join(where, 'disk.img') });
    await expect(restore).rejects.toThrow('there is a file already');
    expect(await readFile(path.join(where, 'disk.img'), 'utf8')).toBe('precious');
    expect(await filesIn(where)).toEqual(['disk.img']);
  });

  test('never replaces a file that came while it was being written', async () => {
    const where = await emptyFolder('raced');
    const toPath = path.join(where, 'disk.img');
    const source = reader();
    const read: DiskReader['read'] = async (offsetBytes, lengthBytes) => {
      await writeFile(toPath, 'precious');
      return source.read(offsetBytes, lengthBytes);
    };
    await expect(restoreImage({ reader: { ...source, read }, toPath })).rejects.toThrow('there is a file already');
    expect(await readFile(toPath, 'utf8')).toBe('precious');
    expect(await filesIn(where)).toEqual(['disk.img']);
  });

  test('does not appear when the vault cannot give one of its bytes', async () => {
    const where = await emptyFolder('broken');
    const source = reader();
    const read: DiskReader['read'] = async (offsetBytes, lengthBytes) => {
      if (offsetBytes < 30 * mebibyte) return source.read(offsetBytes, lengthBytes);
      throw new OutageError('read frame 4: it was changed', { retryable: false });
    };
    const restore = restoreImage({ reader: { ...source, read }, toPath: path.join(where, 'disk.img') });
    await expect(restore).rejects.toThrow('read frame 4: it was changed');
    expect(await filesIn(where)).toEqual([]);
  });

  test('needs a folder that is there', async () => {
    const restore = restoreImage({ reader: reader(), toPath: path.join(folder, 'nowhere', 'disk.img') });
    await expect(restore).rejects.toMatchObject({ nextStep: 'Make the folder first, or give another one.' });
  });
});

const canMount = process.getuid?.() === 0;
describe.runIf(canMount)('on a small file system (needs root for a tmpfs)', () => {
  async function onTmpfs(sizeKib: number, work: (mountPoint: string) => Promise<void>): Promise<void> {
    const mountPoint = await mkdtemp(path.join(folder, 'small-'));
    execFileSync('mount', ['-t', 'tmpfs', '-o', `size=${sizeKib}k`, 'lifeboat-test', mountPoint]);
    try {
      await work(mountPoint);
    } finally {
      execFileSync('umount', [mountPoint]);
    }
  }

  test('too little space is refused before anything is written', async () => {
    await onTmpfs(2048, async (mountPoint) => {
      const restore = restoreImage({ reader: reader(), toPath: path.join(mountPoint, 'disk.img') });
      await expect(restore).rejects.toThrow(/it needs 3(\.\d+)? MiB and .* has 2 MiB free/);
      expect(await filesIn(mountPoint)).toEqual([]);
    });
  });

  test('space that runs out on the way leaves no partial file', async () => {
    await onTmpfs(3600, async (mountPoint) => {
      const source = reader();
      const read: DiskReader['read'] = async (offsetBytes, lengthBytes) => {
        await writeFile(path.join(mountPoint, 'other'), Buffer.alloc(mebibyte));
        return source.read(offsetBytes, lengthBytes);
      };
      const restore = restoreImage({ reader: { ...source, read }, toPath: path.join(mountPoint, 'disk.img') });
      await expect(restore).rejects.toThrow('the disk is full; nothing was left behind');
      expect(await filesIn(mountPoint)).toEqual(['other']);
    });
  });
});

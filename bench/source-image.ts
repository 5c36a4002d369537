import { createCipheriv, createHash } from 'node:crypto';
import { constants } from 'node:fs';
import { copyFile, type FileHandle, mkdir, open, rm, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { blockBytes, blockCount } from '../domain/extent.ts';
import { mebibyte } from '../domain/units.ts';
import { isInstalled } from './installed.ts';
import { runCommand } from './measure.ts';

/** The image that everybody copies: an ext4 file system, nearly half full of this machine's own files. */
export type SourceImage = {
  readonly path: string;
  readonly sizeBytes: number;
  /** Bytes in 4 KiB pages that are not all zeros. */
  readonly nonZeroBytes: number;
  readonly origin: string;
};

export type ImageSize = { readonly sizeBytes: number; readonly payloadBytes: number };
export const imageSizes = {
  full: { sizeBytes: 2048 * mebibyte, payloadBytes: 985 * mebibyte },
  small: { sizeBytes: 256 * mebibyte, payloadBytes: 118 * mebibyte },
} as const satisfies Record<string, ImageSize>;

/** Smaller files hold a tenth of the bytes and cost most of the time; a larger one would be most of the image by itself. */
const sampledFiles = ['/usr', '-xdev', '-type', 'f', '-size', '+16k', '-size', '-16M'];
const changedShare = 0.01;
const pageBytes = 4096;

/**
 * Makes the image: a sample of the files below /usr in the order of a hash of their paths, so that the same machine gives the
 * same mix again; where mkfs.ext4 or enough files are missing, generated data that compresses about as well.
 */
export async function makeSourceImage(path: string, size: ImageSize, scratchFolder: string): Promise<SourceImage> {
  const isReal = isInstalled('mkfs.ext4') && (await fillFolder(scratchFolder, size.payloadBytes));
  if (isReal) await makeFileSystem(path, size, scratchFolder);
  else await generateImage(path, size);
  await rm(scratchFolder, { recursive: true, force: true });
  const nonZeroBytes = await countNonZeroBytes(path, size.sizeBytes);
  return {
    path,
    sizeBytes: size.sizeBytes,
    nonZeroBytes,
    origin: isReal ? 'ext4 with files of /usr' : 'generated data',
  };
}

/** Blocks that were overwritten; `undo` puts the old bytes back. */
export type AppliedChanges = { readonly changedBytes: number; undo(): Promise<void> };

/** Overwrites 1 % of the image's 64 KiB blocks, chosen at random by the seed, with random bytes: nothing to compress, nothing to share. */
export async function changeRandomBlocks(image: SourceImage, seed: string): Promise<AppliedChanges> {
  const random = randomBytesOf(seed);
  const count = blockCount(image.sizeBytes);
  const chosen = new Set<number>();
  while (chosen.size < Math.round(count * changedShare)) chosen.add(random(4).readUInt32LE() % count);
  const before = new Map<number, Buffer>();
  await withFile(image.path, 'r+', async (file) => {
    for (const block of chosen) {
      before.set(block, (await file.read(Buffer.alloc(blockBytes), 0, blockBytes, block * blockBytes)).buffer);
      await file.write(random(blockBytes), 0, blockBytes, block * blockBytes);
    }
    await file.sync();
  });
  return {
    changedBytes: chosen.size * blockBytes,
    undo: () =>
      withFile(image.path, 'r+', async (file) => {
        for (const [block, bytes] of before) await file.write(bytes, 0, blockBytes, block * blockBytes);
        await file.sync();
      }),
  };
}

/** Reads the whole image once, so that no contender pays for the first read from the disk. */
export async function warm(path: string): Promise<void> {
  await runCommand(['cat', path], { discardOutput: true });
}

async function fillFolder(folder: string, payloadBytes: number): Promise<boolean> {
  await mkdir(folder, { recursive: true });
  const files = (await runCommand(['find', ...sampledFiles]))
    .trimEnd()
    .split('\n')
    .map((path) => ({ path, order: createHash('sha256').update(path).digest('hex') }))
    .sort((a, b) => (a.order < b.order ? -1 : 1));
  let filledBytes = 0;
  let number = 0;
  for (const { path } of files) {
    const { size } = await stat(path);
    const folderName = join(folder, String(Math.floor(number / 200)));
    if (number % 200 === 0) await mkdir(folderName);
    await copyFile(path, join(folderName, String(number)), constants.COPYFILE_FICLONE);
    number += 1;
    filledBytes += Math.ceil(size / 4096) * 4096;
    if (filledBytes >= payloadBytes) return true;
  }
  return false;
}

async function countNonZeroBytes(path: string, sizeBytes: number): Promise<number> {
  const buffer = Buffer.alloc(mebibyte);
  const zeroPage = Buffer.alloc(pageBytes);
  let nonZeroBytes = 0;
  await withFile(path, 'r', async (file) => {
    for (let offset = 0; offset < sizeBytes; offset += mebibyte) {
      await file.read(buffer, 0, mebibyte, offset);
      for (let at = 0; at < mebibyte; at += pageBytes) {
        if (buffer.compare(zeroPage, 0, pageBytes, at, at + pageBytes) !== 0) nonZeroBytes += pageBytes;
      }
    }
  });
  return nonZeroBytes;
}

async function makeFileSystem(path: string, size: ImageSize, folder: string): Promise<void> {
  await withFile(path, 'w', (file) => file.truncate(size.sizeBytes));
  const identity = [
    '-U',
    '6c696665-626f-6174-6265-6e6368000000',
    '-E',
    'hash_seed=6c696665-626f-6174-6265-6e6368000001',
  ];
  const parts = ['mkfs.ext4', '-q', '-F', '-m', '0', ...identity, '-d', folder, path];
  await runCommand(parts, { environment: { E2FSPROGS_FAKE_TIME: '1700000000' } });
}

/** Every second MiB of the first part is random words, every other one is random: both halves together shrink to about 40 %. */
async function generateImage(path: string, size: ImageSize): Promise<void> {
  const random = randomBytesOf('generated image');
  await withFile(path, 'w', async (file) => {
    await file.truncate(size.sizeBytes);
    for (let offset = 0; offset < size.payloadBytes; offset += mebibyte) {
      await file.write(wordsAndNoise(random), 0, mebibyte, offset);
    }
    await file.sync();
  });
}

function wordsAndNoise(random: (lengthBytes: number) => Buffer): Buffer {
  const dictionary = random(2048);
  const noise = random(mebibyte);
  for (let at = 0; at < mebibyte; at += 16) {
    const word = noise.readUInt8(at) % 128;
    if (noise.readUInt8(at + 1) < 180) dictionary.copy(noise, at, word * 16, word * 16 + 16);
  }
  return noise;
}

/** An endless stream of bytes that a seed decides. */
function randomBytesOf(seed: string): (lengthBytes: number) => Buffer {
  const key = createHash('sha256').update(seed).digest();
  const cipher = createCipheriv('aes-256-ctr', key, Buffer.alloc(16));
  return (lengthBytes) => cipher.update(Buffer.alloc(lengthBytes));
}

async function withFile<T>(path: string, flags: string, use: (file: FileHandle) => Promise<T>): Promise<T> {
  const file = await open(path, flags);
  try {
    return await use(file);
  } finally {
    await file.close();
  }
}

import { mkdir, open, rm } from 'node:fs/promises';
import { isInstalled } from './installed.ts';
import { runCommand } from './measure.ts';

/**
 * A file system with shared extents (XFS in a file), so that our tracker can find changes by itself; every contender reads the source
 * from it. Where that cannot be had, the plain folder: then a tracked increment is not measured.
 */
export type SourceFolder = { readonly fileSystem: string; readonly unmount: () => Promise<void> };

export async function makeSourceFolder(folder: string, sizeBytes: number): Promise<SourceFolder> {
  const container = `${folder}.xfs`;
  await mkdir(folder, { recursive: true });
  const plain = {
    fileSystem: 'the work folder’s file system (no reflink: not root, or no xfsprogs)',
    unmount: async () => undefined,
  };
  if (process.getuid?.() !== 0 || !isInstalled('mkfs.xfs') || !isInstalled('mount')) return plain;
  const file = await open(container, 'w');
  await file.truncate(sizeBytes);
  await file.close();
  await runCommand(['mkfs.xfs', '-q', '-f', '-m', 'reflink=1', container]);
  await runCommand(['mount', '-o', 'loop', container, folder]);
  return {
    fileSystem: 'XFS (reflink) on a loop device',
    async unmount() {
      await runCommand(['umount', folder]);
      await rm(container);
    },
  };
}

/** A run that was killed leaves its mount behind; to be called before the work folder is removed. */
export async function unmountLeftover(folder: string): Promise<void> {
  const mounts = await runCommand(['cat', '/proc/mounts']);
  if (mounts.split('\n').some((line) => line.split(' ')[1] === folder)) await runCommand(['umount', folder]);
}

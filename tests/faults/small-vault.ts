import { execFileSync } from 'node:child_process';
import { closeSync, mkdtempSync, openSync, rmSync, writeSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

/** A file system of its own for a vault, so that it can be full or read-only while everything else is not. */
export type SmallVault = {
  readonly folder: string;
  readonly fill: () => void;
  readonly free: () => void;
  readonly remount: (how: 'ro' | 'rw') => void;
  readonly remove: () => void;
};

export const canMount = process.getuid?.() === 0;

export function mountSmallVault(sizeMebibytes: number): SmallVault {
  const folder = mkdtempSync(join(tmpdir(), 'lifeboat-vault-'));
  const filler = join(folder, 'filler');
  execFileSync('mount', ['-t', 'tmpfs', '-o', `size=${sizeMebibytes}m,mode=0755`, 'tmpfs', folder]);
  return {
    folder,
    fill: () => writeUntilFull(filler),
    free: () => rmSync(filler),
    remount: (how) => execFileSync('mount', ['-o', `remount,${how}`, folder]),
    remove() {
      // Lazily: whoever still has a file of it open keeps it until it ends.
      execFileSync('umount', ['-l', folder]);
      rmSync(folder, { recursive: true });
    },
  };
}

function writeUntilFull(path: string): void {
  const file = openSync(path, 'w');
  try {
    for (const sizeBytes of [1_048_576, 4096]) writeAsLongAsItFits(file, Buffer.alloc(sizeBytes, 1));
  } finally {
    closeSync(file);
  }
}

function writeAsLongAsItFits(file: number, piece: Buffer): void {
  try {
    while (writeSync(file, piece) === piece.length);
  } catch (error) {
    if (!(error instanceof Error && 'code' in error && error.code === 'ENOSPC')) throw error;
  }
}

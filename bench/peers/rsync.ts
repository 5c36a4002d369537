import { join } from 'node:path';
import type { Contender } from '../contender.ts';
import { versionOf } from '../installed.ts';
import { measureCommand, storedBytes } from '../measure.ts';

/** Keeps one plain, mutable copy: neither earlier points, nor compression, nor encryption. */
export const rsync: Contender = {
  name: 'rsync',
  settings: '--inplace -I --sparse --no-whole-file; one plain copy, no history',
  version: versionOf('rsync', '--version'),
  roundsMax: Number.POSITIVE_INFINITY,
  async open({ folder, sourcePath }) {
    const copy = join(folder, 'copy.img');
    const send = (from: string, to: string) =>
      measureCommand(['rsync', '--inplace', '-I', '--sparse', '--no-whole-file', from, to]);
    return {
      initial: () => send(sourcePath, copy),
      increment: () => send(sourcePath, copy),
      restore: (path) => send(copy, path),
      repositoryBytes: () => storedBytes(copy),
      close: async () => undefined,
    };
  },
};

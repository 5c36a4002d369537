import { mkdir, rename } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import type { Contender } from '../contender.ts';
import { versionOf } from '../installed.ts';
import { measureCommand, runCommand, storedBytes } from '../measure.ts';

export const borg: Contender = {
  name: 'borg',
  settings: 'fixed 64 KiB chunks, lz4, encrypted (repokey)',
  version: versionOf('borg', '--version'),
  roundsMax: Number.POSITIVE_INFINITY,
  async open({ folder, sourcePath }) {
    const repository = join(folder, 'repository');
    const back = join(folder, 'back');
    await mkdir(back);
    const environment = { BORG_PASSPHRASE: 'lifeboat-bench', BORG_BASE_DIR: join(folder, 'base') };
    await runCommand(['borg', 'init', '--encryption', 'repokey', repository], { environment });
    let number = 0;
    const create = () => {
      number += 1;
      const chunking = ['--chunker-params', 'fixed,65536', '--compression', 'lz4'];
      const name = `${repository}::copy-${number}`;
      return measureCommand(['borg', 'create', ...chunking, name, basename(sourcePath)], {
        environment,
        folder: dirname(sourcePath),
      });
    };
    return {
      initial: create,
      increment: create,
      async restore(path) {
        const words = ['borg', 'extract', '--sparse', `${repository}::copy-${number}`];
        const cost = await measureCommand(words, { environment, folder: back });
        await rename(join(back, basename(sourcePath)), path);
        return cost;
      },
      repositoryBytes: () => storedBytes(repository),
      close: async () => undefined,
    };
  },
};

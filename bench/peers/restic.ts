import { mkdir, rename } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import type { Contender } from '../contender.ts';
import { versionOf } from '../installed.ts';
import { measureCommand, runCommand, storedBytes } from '../measure.ts';

export const restic: Contender = {
  name: 'restic',
  settings: 'repository format 2, automatic compression, encrypted',
  version: versionOf('restic', 'version'),
  roundsMax: Number.POSITIVE_INFINITY,
  async open({ folder, sourcePath }) {
    const repository = join(folder, 'repository');
    const cache = join(folder, 'cache');
    await mkdir(cache);
    const environment = { RESTIC_PASSWORD: 'lifeboat-bench', RESTIC_REPOSITORY: repository, RESTIC_CACHE_DIR: cache };
    await runCommand(['restic', 'init', '--repository-version', '2'], { environment });
    const back = join(folder, 'back');
    // restic restores below a folder, under the whole path that was backed up.
    const backup = () => measureCommand(['restic', 'backup', '--quiet', sourcePath], { environment });
    return {
      initial: backup,
      increment: backup,
      async restore(path) {
        const cost = await measureCommand(['restic', 'restore', 'latest', '--target', back], { environment });
        await rename(join(back, dirname(sourcePath), basename(sourcePath)), path);
        return cost;
      },
      repositoryBytes: () => storedBytes(repository),
      close: async () => undefined,
    };
  },
};

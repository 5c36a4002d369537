import { existsSync } from 'node:fs';
import { join, resolve } from 'node:path';

/**
 * The one folder in which an installation keeps everything: `$LIFEBOAT_STATE`, else `.lifeboat` in the working directory,
 * else `.lifeboat` in the repository. The first that exists wins; a new one is made in the repository.
 */
export function stateFolder(explicit?: string): string {
  if (explicit !== undefined) return resolve(explicit);
  if (process.env.LIFEBOAT_STATE) return resolve(process.env.LIFEBOAT_STATE);
  const inWorkingDirectory = resolve('.lifeboat');
  return existsSync(inWorkingDirectory) ? inWorkingDirectory : join(import.meta.dirname, '..', '.lifeboat');
}

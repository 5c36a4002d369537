import { resolve } from 'node:path';
import { zipSync } from 'fflate';
import { z } from 'zod';
import { OutageError } from '../../domain/outage.ts';
import { replaceDurably } from '../../protocol/durable-file.ts';
import { appIcons } from './icons.ts';
import { packageOptions, teamsManifest } from './manifest.ts';

/**
 * Makes the zip that an administrator uploads to Teams: manifest and icons.
 *
 * @throws OutageError for an option that Teams would not take, or a file that cannot be written
 */
export async function makeTeamsPackage(typed: Readonly<Record<string, unknown>>, out: string): Promise<string> {
  const options = packageOptions.safeParse(typed);
  if (!options.success) {
    throw new OutageError('making the Teams app package', {
      cause: z.prettifyError(options.error),
      retryable: false,
      nextStep:
        '`lifeboat teams-package --help` names every option; docs/operations/teams.md says where the app id is found',
    });
  }
  const file = resolve(out);
  await replaceDurably(file, teamsPackage(options.data), 0o644);
  return file;
}

/** The zip's bytes; the same for the same options, so that two of them can be compared. */
export function teamsPackage(options: z.infer<typeof packageOptions>): Buffer {
  const { color, outline } = appIcons();
  const manifest = Buffer.from(`${JSON.stringify(teamsManifest(options), null, 2)}\n`);
  const mtime = new Date(2026, 0, 1);
  return Buffer.from(
    zipSync({ 'manifest.json': manifest, 'color.png': color, 'outline.png': outline }, { mtime, level: 9 }),
  );
}

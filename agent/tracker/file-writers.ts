import { readdir, readFile, stat } from 'node:fs/promises';
import path from 'node:path';

/** Something that may write to a file now. */
export type FileWriter = { readonly who: string };

/** Bits of an open file's flags that say how it was opened; 0 is read-only. */
const accessModeMask = 3;

/**
 * Who may write to the file now: processes that hold it open for writing or mapped shared and writable, and loop devices on it.
 *
 * Without root only the agent's own processes can be seen; therefore a file's times are compared after each read as well.
 */
export async function findWriters(file: string): Promise<FileWriter[]> {
  const { dev, ino } = await stat(file);
  const writers: FileWriter[] = [];
  for (const pid of (await readdir('/proc')).filter((name) => /^\d+$/.test(name))) {
    const holds = (await holdsOpenForWriting(pid, dev, ino)) || (await mapsForWriting(pid, ino, path.basename(file)));
    if (holds) writers.push({ who: `process ${pid} (${await programName(pid)})` });
  }
  return [...writers, ...(await loopDevicesOn(dev, ino))];
}

async function holdsOpenForWriting(pid: string, dev: number, ino: number): Promise<boolean> {
  const descriptors = await present(readdir(`/proc/${pid}/fd`), []);
  for (const descriptor of descriptors) {
    const opened = await present(stat(`/proc/${pid}/fd/${descriptor}`), undefined);
    if (opened === undefined || opened.ino !== ino || opened.dev !== dev) continue;
    const info = await present(readFile(`/proc/${pid}/fdinfo/${descriptor}`, 'latin1'), '');
    const flags = Number.parseInt(/^flags:\s*(\d+)/m.exec(info)?.[1] ?? '2', 8);
    if ((flags & accessModeMask) !== 0) return true;
  }
  return false;
}

async function mapsForWriting(pid: string, ino: number, name: string): Promise<boolean> {
  const maps = await present(readFile(`/proc/${pid}/maps`, 'utf8'), '');
  const shared = new RegExp(`^\\S+ .w.s \\S+ \\S+ ${ino} `, 'm');
  return shared.test(maps) && maps.includes(name);
}

async function programName(pid: string): Promise<string> {
  return (await present(readFile(`/proc/${pid}/comm`, 'utf8'), 'ended')).trim();
}

async function loopDevicesOn(dev: number, ino: number): Promise<FileWriter[]> {
  const writers: FileWriter[] = [];
  for (const name of (await present(readdir('/sys/block'), [])).filter((device) => device.startsWith('loop'))) {
    const backing = await present(readFile(`/sys/block/${name}/loop/backing_file`, 'utf8'), undefined);
    const isReadOnly = (await present(readFile(`/sys/block/${name}/ro`, 'utf8'), '0')).trim() === '1';
    if (backing === undefined || isReadOnly) continue;
    const file = await present(stat(backing.trim()), undefined);
    if (file?.dev === dev && file.ino === ino) writers.push({ who: `loop device /dev/${name}` });
  }
  return writers;
}

const goneCodes = new Set(['ENOENT', 'ESRCH', 'EACCES', 'EPERM', 'ENOTDIR', 'EINVAL', 'ENXIO']);

/** A process may end, or be somebody else's, while it is looked at: that is an answer, not an error. */
async function present<T, Absent>(lookup: Promise<T>, absent: Absent): Promise<T | Absent> {
  try {
    return await lookup;
  } catch (error) {
    if (error instanceof Error && 'code' in error && goneCodes.has(String(error.code))) return absent;
    throw error;
  }
}

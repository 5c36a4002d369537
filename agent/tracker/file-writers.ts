import { readdirSync, readFileSync, type Stats, statSync } from 'node:fs';
import { setImmediate as nextTurn } from 'node:timers/promises';

/** Something that may write to a file now: `process 4711 (qemu-system-x86)` or `loop device /dev/loop0`. */
export type FileWriter = { readonly file: string; readonly who: string };

type Watched = { readonly file: string; readonly dev: number; readonly ino: number };

/** Bits of an open file's flags that say how it was opened; 0 is read-only. */
const accessModeMask = 3;

/**
 * Who may write to the files now: processes that hold them open for writing or mapped shared and writable, and loop devices on them.
 *
 * Without root only the agent's own processes can be seen; therefore a file's times are compared after each read as well.
 * Looks at one process per turn of the event loop, without promises inside: thousands of small look-ups.
 */
export async function findWriters(files: readonly string[]): Promise<FileWriter[]> {
  const watched = files.map((file) => ({ file, dev: statSync(file).dev, ino: statSync(file).ino }));
  const writers: FileWriter[] = [];
  for (const pid of readdirSync('/proc').filter((name) => /^\d+$/.test(name))) {
    const held = [...openForWriting(pid, watched), ...mappedForWriting(pid, watched)];
    for (const file of new Set(held)) writers.push({ file, who: `process ${pid} (${programName(pid)})` });
    await nextTurn();
  }
  return [...writers, ...loopDevicesOn(watched)];
}

function openForWriting(pid: string, watched: readonly Watched[]): string[] {
  const held: string[] = [];
  for (const descriptor of present(() => readdirSync(`/proc/${pid}/fd`), [])) {
    const opened = present<Stats | undefined>(() => statSync(`/proc/${pid}/fd/${descriptor}`), undefined);
    const found = watched.find(({ dev, ino }) => opened?.ino === ino && opened.dev === dev);
    if (found === undefined) continue;
    const info = present(() => readFileSync(`/proc/${pid}/fdinfo/${descriptor}`, 'latin1'), '');
    const flags = Number.parseInt(/^flags:\s*(\d+)/m.exec(info)?.[1] ?? '2', 8);
    if ((flags & accessModeMask) !== 0) held.push(found.file);
  }
  return held;
}

/** A mapping outlives its descriptor. The inode's number decides alone here: in doubt it is a writer. */
function mappedForWriting(pid: string, watched: readonly Watched[]): string[] {
  const maps = present(() => readFileSync(`/proc/${pid}/maps`, 'utf8'), '');
  const inodes = new Set([...maps.matchAll(/^\S+ .w.s \S+ \S+ (\d+) /gm)].map((match) => Number(match[1])));
  return watched.filter(({ ino }) => inodes.has(ino)).map(({ file }) => file);
}

function programName(pid: string): string {
  return present(() => readFileSync(`/proc/${pid}/comm`, 'utf8'), 'ended').trim();
}

function loopDevicesOn(watched: readonly Watched[]): FileWriter[] {
  const writers: FileWriter[] = [];
  for (const name of present(() => readdirSync('/sys/block'), []).filter((device) => device.startsWith('loop'))) {
    const backing = present(() => readFileSync(`/sys/block/${name}/loop/backing_file`, 'utf8'), '').trim();
    const isReadOnly = present(() => readFileSync(`/sys/block/${name}/ro`, 'utf8'), '0').trim() === '1';
    if (backing === '' || isReadOnly) continue;
    const under = present<Stats | undefined>(() => statSync(backing), undefined);
    const found = watched.find(({ dev, ino }) => under?.ino === ino && under.dev === dev);
    if (found !== undefined) writers.push({ file: found.file, who: `loop device /dev/${name}` });
  }
  return writers;
}

const goneCodes = new Set(['ENOENT', 'ESRCH', 'EACCES', 'EPERM', 'ENOTDIR', 'EINVAL', 'ENXIO']);

/** A process may end, or be somebody else's, while it is looked at: that is an answer, not an error. */
function present<T>(lookUp: () => T, absent: T): T {
  try {
    return lookUp();
  } catch (error) {
    if (error instanceof Error && 'code' in error && goneCodes.has(String(error.code))) return absent;
    throw error;
  }
}

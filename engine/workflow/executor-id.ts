import { createHash, randomBytes } from 'node:crypto';
import { readFile, readlink } from 'node:fs/promises';

/**
 * Names this engine process: `<where processes are numbered>:<pid>:<random>`.
 *
 * "Where" is the boot and the process namespace, so that an engine that is started again knows at once that the one before it, on the
 * same host, is dead, and goes on with its runs without waiting for its silence. Where that is unknown, it is random.
 */
export async function newExecutorId(): Promise<string> {
  return `${(await processSpace()) ?? randomBytes(6).toString('hex')}:${process.pid}:${randomBytes(4).toString('hex')}`;
}

/** Of these executors, those that ran where `own` runs and whose process is gone. */
export function deadNeighbours(own: string, executorIds: readonly string[]): string[] {
  const [space] = own.split(':');
  return executorIds.filter((id) => {
    const [otherSpace, pid] = id.split(':');
    return id !== own && otherSpace === space && Number(pid) > 0 && !isAlive(Number(pid), own);
  });
}

function isAlive(pid: number, own: string): boolean {
  // Another executor with our own process number was a process before us.
  if (pid === Number(own.split(':')[1])) return false;
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    // EPERM: it is there and belongs to somebody else.
    return error instanceof Error && 'code' in error && error.code === 'EPERM';
  }
}

async function processSpace(): Promise<string | undefined> {
  try {
    const [boot, namespace] = await Promise.all([
      readFile('/proc/sys/kernel/random/boot_id', 'utf8'),
      readlink('/proc/self/ns/pid'),
    ]);
    return createHash('sha256').update(`${boot.trim()} ${namespace}`).digest('hex').slice(0, 12);
  } catch {
    // Not Linux, or no /proc: nothing can be known of neighbours, and the caller makes up a space of its own.
    return undefined;
  }
}

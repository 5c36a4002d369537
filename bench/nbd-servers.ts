import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { startProcess } from './background-process.ts';
import { versionOf } from './installed.ts';
import { waitUntil } from './measure.ts';

/** Somebody who serves an image over NBD on a unix socket, read-only. */
export type NbdServerContender = {
  readonly name: string;
  readonly version: string | undefined;
  start(socketPath: string): Promise<RunningNbdServer>;
};
export type RunningNbdServer = {
  readonly exportName: string;
  readonly cpuSeconds: () => number;
  readonly stop: () => Promise<void>;
};

const startLimitMs = 10_000;

/** nbdkit, qemu-nbd and our server with the same plain file behind them. */
export function fileServers(imagePath: string, logFile: string): NbdServerContender[] {
  const contender = (name: string, version: string | undefined, words: (socketPath: string) => readonly string[]) => ({
    name,
    version,
    start: async (socketPath: string): Promise<RunningNbdServer> => {
      const server = startProcess(words(socketPath), logFile);
      await waitUntil(`${name} to listen`, startLimitMs, () => {
        server.check();
        return existsSync(socketPath);
      });
      return { exportName: '', cpuSeconds: server.cpuSeconds, stop: server.stop };
    },
  });
  const ourServer = join(import.meta.dirname, 'file-nbd-main.ts');
  return [
    contender('nbdkit', versionOf('nbdkit', '--version'), (socketPath) => [
      'nbdkit',
      '--foreground',
      '--readonly',
      '--unix',
      socketPath,
      'file',
      imagePath,
    ]),
    contender('qemu-nbd', versionOf('qemu-nbd', '--version'), (socketPath) => [
      'qemu-nbd',
      '--read-only',
      '--persistent',
      '--shared=8',
      '--format=raw',
      `--socket=${socketPath}`,
      imagePath,
    ]),
    contender('lifeboat, local file', process.version, (socketPath) => [
      process.execPath,
      ourServer,
      imagePath,
      socketPath,
    ]),
  ];
}

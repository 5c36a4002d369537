import { readFileSync } from 'node:fs';
import { z } from 'zod';
import { OutageError } from '../../../domain/outage.ts';
import { recoveryDiskConfig, serveRecoveryDisks } from '../../../engine/target/recovery-disk-server.ts';
import { fileDiskReader, storedRuns } from './file-disk-reader.ts';

/** The process of recovery disks over local files instead of a vault: what recovery-disk-main.ts is in production. */
const config = recoveryDiskConfig.parse(JSON.parse(readFileSync(process.argv.at(-1) ?? '', 'utf8')));
const files = z
  .object({ paths: z.record(z.string(), z.string()), unreadableFrom: z.number().optional() })
  .parse(config.vault);
const stop = new AbortController();
process.on('SIGTERM', () => stop.abort());

await serveRecoveryDisks(config, {
  openDisk: async (diskId) => {
    const path = files.paths[diskId] ?? '';
    const reader = fileDiskReader(path, storedRuns(readFileSync(path)));
    const limit = files.unreadableFrom ?? Number.POSITIVE_INFINITY;
    return {
      ...reader,
      read: async (offsetBytes, lengthBytes) => {
        if (offsetBytes + lengthBytes <= limit) return reader.read(offsetBytes, lengthBytes);
        throw new OutageError('frame 7 of 000000000001.seg was changed', { retryable: false });
      },
    };
  },
  log: (line) => console.log(line),
  signal: stop.signal,
});

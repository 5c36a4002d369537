import { rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { z } from 'zod';
import { runCommand } from './measure.ts';
import type { NbdServerContender } from './nbd-servers.ts';

/** One way of reading. There are no write cells: our server cannot write, QEMU writes to its own overlay. */
export type ReadCell = { readonly name: string; readonly mode: string; readonly block: string; readonly depth: number };
export const readCells: readonly ReadCell[] = [
  { name: 'randread 4k qd1', mode: 'randread', block: '4k', depth: 1 },
  { name: 'randread 4k qd16', mode: 'randread', block: '4k', depth: 16 },
  { name: 'read 1M qd4', mode: 'read', block: '1M', depth: 4 },
];

export type ReadMeasurement = {
  readonly cell: string;
  readonly server: string;
  readonly readsPerSecond: number;
  readonly p99Ms: number;
  /** CPU of the server alone, per GiB that it served. */
  readonly cpuSecondsPerGibibyte: number;
};

const fioOutput = z.object({
  jobs: z.array(
    z.object({
      read: z.object({
        iops: z.number(),
        io_bytes: z.number(),
        clat_ns: z.object({ percentile: z.record(z.string(), z.number()).optional() }),
      }),
    }),
  ),
});

/**
 * Measures every cell against every server once, the servers taking turns within a cell.
 *
 * @param areaBytes how much of the image's start is read: the part that is full of data
 */
export async function measureReads(
  servers: readonly NbdServerContender[],
  options: { readonly areaBytes: number; readonly seconds: number; readonly cells: readonly ReadCell[] },
): Promise<ReadMeasurement[]> {
  const measurements: ReadMeasurement[] = [];
  for (const cell of options.cells) {
    for (const server of servers) {
      if (server.version !== undefined) measurements.push(await measureRead(server, cell, options));
    }
  }
  return measurements;
}

async function measureRead(
  server: NbdServerContender,
  cell: ReadCell,
  options: { readonly areaBytes: number; readonly seconds: number },
): Promise<ReadMeasurement> {
  const socketPath = join(tmpdir(), `lifeboat-bench-${process.pid}.nbd`);
  await rm(socketPath, { force: true });
  const running = await server.start(socketPath);
  try {
    const before = running.cpuSeconds();
    const words = fioWords(`nbd+unix:///${running.exportName}?socket=${socketPath}`, cell, options);
    const said = await runCommand(words);
    const cpuSeconds = running.cpuSeconds() - before;
    const [job] = fioOutput.parse(JSON.parse(said.slice(said.indexOf('{')))).jobs;
    if (job === undefined) throw new Error('fio reported no job');
    return {
      cell: cell.name,
      server: server.name,
      readsPerSecond: job.read.iops,
      p99Ms: (job.read.clat_ns.percentile?.['99.000000'] ?? Number.NaN) / 1e6,
      cpuSecondsPerGibibyte: cpuSeconds / (job.read.io_bytes / 2 ** 30),
    };
  } finally {
    await running.stop();
    await rm(socketPath, { force: true });
  }
}

function fioWords(uri: string, cell: ReadCell, options: { readonly areaBytes: number; readonly seconds: number }) {
  return [
    'fio',
    '--name=reads',
    '--ioengine=nbd',
    `--uri=${uri}`,
    `--rw=${cell.mode}`,
    `--bs=${cell.block}`,
    `--iodepth=${cell.depth}`,
    `--size=${options.areaBytes}`,
    '--time_based',
    `--runtime=${options.seconds}`,
    '--output-format=json',
  ];
}

import { readFile, rm } from 'node:fs/promises';
import { z } from 'zod';
import { connectQmp, type QmpConnection } from '../../protocol/qmp.ts';
import { isTextMode, type Picture, parsePortablePixmap, textScreenBytes, textScreenLines } from './console-picture.ts';
import type { DrillFolder } from './drill-folder.ts';

const connectLimitMs = 10_000;
/** Where a PC's text screen lies in memory. */
const textScreenAddress = 0xb8000;

const statusAnswer = z.object({ status: z.string() });
const blockStatistics = z.array(z.object({ stats: z.object({ failed_rd_operations: z.number().default(0) }) }));

/** What QEMU knows of the drill's machine, over one QMP connection. */
export type MachineConsole = {
  /** QEMU's run state, e.g. `running`, `shutdown`, `guest-panicked`. */
  status(): Promise<string>;
  /** Reads of the machine that ended in an I/O error since it was started. */
  failedReadCount(): Promise<number>;
  look(): Promise<ConsoleView>;
  close(): void;
};

export type ConsoleView = {
  readonly picture: Picture;
  /** The characters on the screen when it is in text mode. */
  readonly textLines: readonly string[] | undefined;
};

export async function openConsole(paths: DrillFolder): Promise<MachineConsole> {
  const qmp = await connectQmp(paths.qmpSocket, { timeoutMs: connectLimitMs });
  return {
    status: async () => statusAnswer.parse(await qmp.execute('query-status')).status,
    failedReadCount: async () => {
      const disks = blockStatistics.parse(await qmp.execute('query-blockstats'));
      return disks.reduce((sum, disk) => sum + disk.stats.failed_rd_operations, 0);
    },
    look: () => look(qmp, paths),
    close: () => qmp.close(),
  };
}

async function look(qmp: QmpConnection, paths: DrillFolder): Promise<ConsoleView> {
  try {
    await qmp.execute('screendump', { filename: paths.screenDump });
    const picture = parsePortablePixmap(await readFile(paths.screenDump));
    if (!isTextMode(picture)) return { picture, textLines: undefined };
    const range = { val: textScreenAddress, size: textScreenBytes, filename: paths.textDump };
    await qmp.execute('pmemsave', range);
    return { picture, textLines: textScreenLines(await readFile(paths.textDump)) };
  } finally {
    await rm(paths.screenDump, { force: true });
    await rm(paths.textDump, { force: true });
  }
}

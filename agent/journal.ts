import { mkdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { z } from 'zod';
import { type DiskId, idPattern, type MachineId } from '../domain/ids.ts';
import { OutageError } from '../domain/outage.ts';
import { replaceDurably } from '../protocol/durable-file.ts';
import { positionSchema } from '../protocol/point-manifest.ts';

const diskId = z.custom<DiskId>((value) => typeof value === 'string' && idPattern('disk').test(value));
const sequence = z.number().int().min(0);

/**
 * What the agent must know about one machine after it was killed at any instant. Kept small and replaced as a whole.
 *
 * `generation` counts captures that were made durable. The files of a disk that are to be sent are `(acked.sequence, queuedUpTo]`;
 * all others in its folder belong to captures that did not become durable, or were sent, and are removed at start.
 */
export const journalSchema = z.object({
  format: z.literal('lifeboat-journal/1'),
  machineId: z.custom<MachineId>((value) => typeof value === 'string' && idPattern('machine').test(value)),
  /** The guest's name, so that its tracking can be removed when the machine is no longer assigned. */
  machineName: z.string(),
  generation: z.number().int().min(0),
  disks: z.array(
    z.object({
      diskId,
      key: z.string(),
      /** The newest position that a process server acknowledged; null until the first scan has ended. */
      acked: positionSchema.nullable(),
      queuedUpTo: sequence,
      /** Unique id of the newest spooled log: the next one names it. */
      lastLogId: z.string(),
      /** Why the whole disk must be compared with the vault before its next recovery point; null when changes suffice. */
      resync: z.string().nullable(),
    }),
  ),
  /** Durable captures that are not announced yet, oldest first. */
  captures: z.array(
    z.object({
      captureId: z.string().uuid(),
      kind: z.enum(['crash-consistent', 'application-consistent']),
      takenAtMs: z.number().int(),
      pauseMs: z.number().min(0),
      changedBytes: z.number().int().min(0),
      requestId: z.string().nullable(),
      reason: z.string(),
      /** `position` is filled in when the process server has acknowledged that sequence. */
      disks: z.array(z.object({ diskId, sequence, position: positionSchema.nullable() })),
    }),
  ),
  doneRequests: z.array(z.string()),
  /** What the engine asked to be done with the source's power, and how far that is; null when nothing was asked. Source: A10 */
  power: z
    .object({
      requestId: z.string(),
      /**
       * `stopping` → `off` → `captured` (what it wrote last is durable here) → `proven` (a later look found no change).
       * `given-up`: it did not stop and runs on; `started`: it was asked to run again and does.
       */
      phase: z.enum(['stopping', 'off', 'captured', 'proven', 'given-up', 'started']),
      /** How it was stopped, or why it was not, for people. */
      words: z.string(),
      isRunning: z.boolean(),
      /** The capture that was taken after the stop. */
      captureId: z.string().uuid().nullable(),
      /** The engine has that capture. */
      isAnnounced: z.boolean(),
      /** A source that did not stop may still obey: until then it is looked after. Epoch milliseconds of this host. */
      watchUntilMs: z.number(),
    })
    .nullable()
    .default(null),
});
export type Journal = z.infer<typeof journalSchema>;
export type JournalDisk = Journal['disks'][number];
export type JournalPower = NonNullable<Journal['power']>;
export type JournalCapture = Journal['captures'][number];

export type JournalStore = {
  /** As it is on disk. */
  readonly now: () => Journal;
  /** Replaces the journal durably; calls are done one after the other, each on the result of the one before. */
  readonly update: (change: (journal: Journal) => Journal) => Promise<void>;
};

const journalFile = 'journal.json';

/** Opens the machine's journal in its folder, or begins one. An unreadable journal is an outage: guessing would lose changes. */
export async function openJournal(
  folder: string,
  machine: { readonly machineId: MachineId; readonly machineName: string },
): Promise<JournalStore> {
  await mkdir(folder, { recursive: true, mode: 0o700 });
  let current = (await readJournal(folder)) ?? emptyJournal(machine);
  let tail: Promise<unknown> = Promise.resolve();
  return {
    now: () => current,
    update(change) {
      const done = tail.then(async () => {
        const next = change(current);
        if (next === current) return;
        await replaceFile(join(folder, journalFile), JSON.stringify(next));
        current = next;
      });
      // A failed write is its caller's to see; the next one starts from the journal as it is on disk.
      tail = Promise.allSettled([done]);
      return done;
    },
  };
}

/** The journal in a machine's folder; undefined when there is none. */
export async function readJournal(folder: string): Promise<Journal | undefined> {
  const path = join(folder, journalFile);
  const text = await readFile(path, 'utf8').catch((cause: unknown) => {
    if (cause instanceof Error && 'code' in cause && cause.code === 'ENOENT') return undefined;
    throw new OutageError(`read the journal ${path}`, { cause, retryable: true });
  });
  if (text === undefined) return undefined;
  try {
    return journalSchema.parse(JSON.parse(text));
  } catch (cause) {
    throw new OutageError(`read the journal ${path}`, {
      cause,
      retryable: false,
      nextStep: `Remove the folder ${folder} and restart the agent: the machine is then compared with the vault anew.`,
    });
  }
}

function emptyJournal(machine: { machineId: MachineId; machineName: string }): Journal {
  return {
    format: 'lifeboat-journal/1',
    ...machine,
    generation: 0,
    disks: [],
    captures: [],
    doneRequests: [],
    power: null,
  };
}

async function replaceFile(path: string, text: string): Promise<void> {
  await replaceDurably(path, text).catch((cause: unknown) => {
    throw new OutageError(`write the journal ${path}`, {
      cause,
      retryable: true,
      nextStep: 'Check that the file system of the agent’s state folder has space and can be written.',
    });
  });
}

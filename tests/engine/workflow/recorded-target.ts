import { randomBytes } from 'node:crypto';
import { access, appendFile, mkdir, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import type { DrillId } from '../../../domain/ids.ts';
import { OutageError } from '../../../domain/outage.ts';
import type { DrillPlan, Target } from '../../../engine/target/target.ts';

/** The things that a drill has in the world, in the order in which they are made. */
export const drillThings = ['folder', 'disk-server', 'overlays', 'machine'] as const;
type Thing = (typeof drillThings)[number] | 'local-disks';
export type TargetCall =
  | 'prepareDrill'
  | 'startDiskServer'
  | 'stopDiskServer'
  | 'createOverlays'
  | 'startMachine'
  | 'stopMachine'
  | 'verifyBoot'
  | 'fillDisks'
  | 'removeDrill';

/**
 * A target whose machines are files: what exists is a file in `things`, what was ever made is a line of `made.log`. It outlives the
 * engine processes that use it, as hypervisors do, and keeps the contract of target.ts: a repeated step adopts what is there.
 *
 * @param bug a planted one: `no-keys`, each call makes a new thing; `no-removal`, what should be removed stays
 */
export type PlantedBug = 'none' | 'no-keys' | 'no-removal';
export function recordedTarget(folder: string, bug: PlantedBug): Target {
  const things = join(folder, 'things');
  const make = async (drill: DrillPlan, thing: Thing) => {
    const key = bug === 'no-keys' ? `.${randomBytes(4).toString('hex')}` : '';
    await mkdir(things, { recursive: true });
    const path = join(things, `${drill.drillId}.${thing}${key}`);
    const isNew = await writeFile(path, '', { flag: 'wx' }).then(
      () => true,
      (error: NodeJS.ErrnoException) => {
        if (error.code !== 'EEXIST') throw error;
        return false;
      },
    );
    if (isNew) await appendFile(join(folder, 'made.log'), `${thing} ${drill.drillId}\n`);
  };
  const removeAll = async (prefix: string) => (bug === 'no-removal' ? undefined : removeThings(things, prefix));
  const remove = (drill: DrillPlan, thing: Thing) => removeAll(`${drill.drillId}.${thing}`);
  return {
    describe: async () => ({ target: 'files', network: 'isolated', accelerator: 'tcg' }),
    check: async () => undefined,
    prepareDrill: (drill) => called(folder, 'prepareDrill', () => make(drill, 'folder')),
    startDiskServer: (drill) => called(folder, 'startDiskServer', () => make(drill, 'disk-server')),
    stopDiskServer: (drill) => called(folder, 'stopDiskServer', () => remove(drill, 'disk-server')),
    createOverlays: (drill) => called(folder, 'createOverlays', () => make(drill, 'overlays')),
    startMachine: (drill) =>
      called(folder, 'startMachine', async () => {
        await make(drill, 'machine');
        return { vmName: drill.machineName, accelerator: 'tcg', memoryBytes: 1, cpuCount: 1, notes: [] };
      }),
    stopMachine: (drill) => called(folder, 'stopMachine', () => remove(drill, 'machine')),
    verifyBoot: () =>
      called(folder, 'verifyBoot', async () => ({
        kind: 'marker',
        verified: true,
        marker: 'up',
        explanation: 'It said so.',
        consolePicture: undefined,
        elapsedMs: 1,
      })),
    verifyWithoutBoot: () => Promise.reject(new Error('the recorded target always starts a machine')),
    removeDrill: (drill) => called(folder, 'removeDrill', () => removeAll(drill.drillId)),
    drillState: async (drill) => ({
      folder: (await thingsThere(folder)).some((name) => name.startsWith(drill.drillId)) ? 'present' : 'absent',
      diskServer: { kind: 'not-started' },
      machine: { kind: 'not-started' },
    }),
    healDrill: async () => 'nothing-to-do',
    fillDisks: (drill) =>
      called(folder, 'fillDisks', async () => {
        await make(drill, 'local-disks');
        await remove(drill, 'disk-server');
        return 'local' as const;
      }),
    drillsPresent: async () => {
      const names = await thingsThere(folder);
      return [...new Set(names.map((name) => name.split('.')[0] as DrillId))];
    },
  };
}

/** Names of the things that exist now. */
export async function thingsThere(folder: string): Promise<string[]> {
  return readdir(join(folder, 'things')).catch(() => []);
}

/** What was ever made, one line each. */
export async function thingsMade(folder: string): Promise<string[]> {
  const text = await readFile(join(folder, 'made.log'), 'utf8').catch(() => '');
  return text.split('\n').filter((line) => line !== '');
}

/** From now on this call changes the world and then fails, so that half done work must be undone. */
export async function breakCall(folder: string, call: TargetCall): Promise<void> {
  await mkdir(folder, { recursive: true });
  await writeFile(join(folder, `break-${call}`), '');
}

/** Mends what breakCall broke. */
export async function mendCall(folder: string, call: TargetCall): Promise<void> {
  await rm(join(folder, `break-${call}`), { force: true });
}

/** From now on this call changes the world and then waits, until the returned function is called. */
export async function holdCall(folder: string, call: TargetCall): Promise<() => Promise<void>> {
  const path = join(folder, `hold-${call}`);
  await mkdir(folder, { recursive: true });
  await writeFile(path, '');
  return () => rm(path);
}

async function called<T>(folder: string, call: TargetCall, work: () => Promise<T>): Promise<T> {
  const result = await work();
  while (await isThere(join(folder, `hold-${call}`))) await delay(20);
  if (await isThere(join(folder, `break-${call}`))) {
    throw new OutageError(`${call} on the test target`, { retryable: false, nextStep: 'Mend the test target.' });
  }
  return result;
}

function isThere(path: string): Promise<boolean> {
  return access(path).then(
    () => true,
    () => false,
  );
}

async function removeThings(things: string, prefix: string): Promise<void> {
  const names = await readdir(things).catch(() => []);
  await Promise.all(names.filter((name) => name.startsWith(prefix)).map((name) => rm(join(things, name))));
}

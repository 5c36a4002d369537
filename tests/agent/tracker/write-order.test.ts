import { mkdtemp, rm } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { expect, test } from 'vitest';
import { filterNode, startExportServer } from '../../../agent/tracker/copy-before-write.ts';
import {
  type CaptureRequest,
  type CaptureSteps,
  captureSteps,
  exportNode,
  instantStep,
} from '../../../agent/tracker/guest-capture.ts';
import { openQemuGuestTracker } from '../../../agent/tracker/qemu-guest.ts';
import { counterOffsetBytes, guestCounter, makeGuestDisks } from '../../../demo/guest/guest-disk.ts';
import type { QmpConnection } from '../../../protocol/qmp.ts';
import { type RunningGuest, startGuest } from '../../fixtures/guest-process.ts';
import { blockDigests, findPrefixes, logDisk, loggedDiskArguments } from '../../fixtures/guest-write-log.ts';
import { emptyReplica } from './replica.ts';

/** What the oracle says about a sequence of points. */
type Verdict = {
  /** Per point and disk: how many of the disk's writes it holds; undefined when it is no prefix of them. */
  readonly prefixes: readonly (readonly (number | undefined)[])[];
  /** Per point: disk 0's counter minus disk 1's. */
  readonly differences: readonly number[];
};

type StepsOf = (guest: () => RunningGuest) => CaptureSteps;

/** Takes points of a guest that writes all the time, then compares them with its write log. */
async function judge(points: number, stepsOf: StepsOf): Promise<Verdict> {
  const folder = await mkdtemp(path.join(os.tmpdir(), 'lifeboat-order-'));
  const size = { sizeBytes: 8 * 1024 * 1024, filledBytes: 0 };
  const disks = await makeGuestDisks({
    folder,
    machineName: 'vm-order',
    disks: [size, size],
    format: 'raw',
    ticksPerRound: 0,
  });
  const logged = await Promise.all(disks.map(logDisk));
  const guest = await startGuest(folder, [], { extraArguments: loggedDiskArguments(logged) });
  const steps = stepsOf(() => guest);
  const tracker = openQemuGuestTracker({
    socketPath: guest.socketPath,
    trackingId: 'order',
    workFolder: folder,
    steps,
  });
  try {
    const digests: string[][][] = disks.map(() => []);
    const differences: number[] = [];
    const replica = emptyReplica();
    for (let generation = 0; generation < points; generation++) {
      const capture = await tracker.capture(generation);
      await replica.apply(capture, () => guest.advance(3));
      await capture.acknowledge();
      const counters = disks.map((_, index) => {
        const content = replica.content(`disk${index}`);
        digests[index]?.push(blockDigests(content));
        return guestCounter(content.subarray(counterOffsetBytes));
      });
      differences.push((counters[0] ?? 0) - (counters[1] ?? 0));
      await guest.advance(5);
    }
    await tracker.close();
    await guest.stop('quit');
    const found = await Promise.all(logged.map((disk, index) => findPrefixes(disk, digests[index] ?? [])));
    return { prefixes: differences.map((_, point) => found.map((ofDisk) => ofDisk[point])), differences };
  } finally {
    await tracker.close();
    await guest.stop('kill');
    await rm(folder, { recursive: true });
  }
}

const isRight = ({ prefixes, differences }: Verdict) =>
  prefixes.flat().every((prefix) => prefix !== undefined) && differences.every((d) => d === 0 || d === 1);

function replaceStep(name: string, run: CaptureSteps[number]['run']): CaptureSteps {
  expect(captureSteps.map((step) => step.name)).toContain(name);
  return captureSteps.map((step) => (step.name === name ? { name, run } : step));
}

test('each point of a busy guest is an exact prefix of the writes of each disk, and of one instant', async () => {
  const verdict = await judge(8, () => captureSteps);
  expect(verdict.prefixes.flat()).not.toContain(undefined);
  expect(verdict.differences.filter((difference) => difference !== 0 && difference !== 1)).toEqual([]);
  const ofFirstDisk = verdict.prefixes.map((point) => point[0] ?? 0);
  expect(ofFirstDisk).toEqual([...ofFirstDisk].sort((a, b) => a - b));
}, 120_000);

test('the oracle finds a capture that reads the live disk instead of the view', async () => {
  const exportLiveDisks = async (qmp: QmpConnection, request: CaptureRequest) => {
    await startExportServer(qmp, request.exportSocketPath);
    for (const [index, disk] of request.disks.entries()) {
      await exportNode(qmp, { node: disk.device.node, index, disk });
    }
  };
  expect(isRight(await judge(3, () => replaceStep('export views', exportLiveDisks)))).toBe(false);
}, 120_000);

test('the oracle finds records that rotate around the instant in the wrong order', async () => {
  const stepNamed = (name: string) => captureSteps.filter((step) => step.name === name);
  const verdict = await judge(4, (guest) => [
    ...captureSteps.filter(
      (step) => !['start new records', 'stop old records', 'add views', 'export views'].includes(step.name),
    ),
    ...stepNamed('stop old records'),
    { name: 'lose writes', run: () => guest().advance(3) },
    ...stepNamed('start new records'),
    ...stepNamed('add views'),
    ...stepNamed('export views'),
  ]);
  expect(verdict.prefixes.flat()).toContain(undefined);
}, 120_000);

test('the oracle finds disks whose views are of different instants', async () => {
  const verdict = await judge(3, (guest) =>
    replaceStep(instantStep(), async (qmp, request) => {
      for (const index of request.disks.keys()) {
        const gate = { driver: 'raw', 'node-name': `lifeboat-gate-${index}`, file: filterNode(index) };
        await qmp.execute('blockdev-reopen', { options: [gate] });
        await guest().advance(3);
      }
    }),
  );
  expect(isRight(verdict)).toBe(false);
}, 120_000);

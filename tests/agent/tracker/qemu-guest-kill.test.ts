import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { captureSteps } from '../../../agent/tracker/guest-capture.ts';
import { type GuestSource, guestTrackingId, openGuestSource } from '../../fixtures/guest-source.ts';
import { emptyReplica, expectReplicaEqualsView, type Replica } from './replica.ts';

const childPath = fileURLToPath(new URL('../../fixtures/guest-tracker-child.ts', import.meta.url));

/** Runs an agent until it has done the step, then kills it as a power cut would. */
async function killAgentAfter(source: GuestSource, generation: number, stepName: string): Promise<void> {
  const parameters = [source.guest().socketPath, source.folder, guestTrackingId, String(generation), stepName];
  const child = spawn(process.execPath, [childPath, ...parameters], { stdio: ['ignore', 'pipe', 'inherit'] });
  const exited = once(child, 'exit');
  const [said] = await Promise.race([once(child.stdout, 'data'), exited]);
  expect(String(said)).toContain('STOPPED');
  child.kill('SIGKILL');
  await exited;
}

describe.each(['raw', 'qcow2'] as const)('an agent killed in a capture of a guest with %s disks', (format) => {
  let source: GuestSource;
  let replica: Replica;
  let generation = 0;

  beforeAll(async () => {
    source = await openGuestSource(format);
    const tracker = source.openTracker();
    const capture = await tracker.capture(0);
    replica = emptyReplica();
    await replica.apply(capture);
    await capture.acknowledge();
    await tracker.close();
    generation = 1;
  });
  afterAll(() => source?.close());

  test.each([...captureSteps.map((step) => step.name), 'the whole capture'])(
    'after "%s" loses no change and harms no guest',
    async (stepName) => {
      await source.guest().advance(1);
      await killAgentAfter(source, generation, stepName);
      await source.guest().advance(2);
      const tracker = source.openTracker();
      const capture = await tracker.capture(generation);
      expect(capture.disks.map((captured) => captured.changes.kind)).toEqual(['extents', 'extents']);
      await replica.apply(capture);
      await expectReplicaEqualsView(replica, capture);
      await capture.acknowledge();
      generation += 1;
      await tracker.close();
      await source.guest().advance(1);
      expect(await source.guest().serial()).not.toContain('ERROR');
    },
  );
});

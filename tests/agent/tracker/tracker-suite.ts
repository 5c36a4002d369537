import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import type { Capture, ChangeTracker } from '../../../agent/tracker/change-tracker.ts';
import { emptyReplica, expectReplicaEqualsView, expectWellFormed, readWhole } from './replica.ts';

/** A source of one kind, with changes at the test's command. */
export type TrackedSource = {
  /** A tracker of the source, as a newly started agent makes it. */
  openTracker(): ChangeTracker;
  /** Makes the source's disks change. */
  change(): Promise<void>;
  /** From here on nothing changes except by `change`. */
  hold(): Promise<void>;
  /** What a removed tracker must not leave: names of files, nodes, bitmaps. */
  leftovers(): Promise<string[]>;
  close(): Promise<void>;
};

export type TrackerTraits = {
  /** Changes may go on while a view is open. */
  readonly canChangeDuringCapture: boolean;
  /** Says where a disk has changed; otherwise only whether. */
  readonly knowsExtents: boolean;
};

/** What every change tracker promises. */
export function trackerSuite(name: string, traits: TrackerTraits, openSource: () => Promise<TrackedSource>): void {
  describe(name, () => {
    let source: TrackedSource;
    let tracker: ChangeTracker;

    beforeEach(async () => {
      source = await openSource();
      tracker = source.openTracker();
    });
    afterEach(async () => {
      await tracker?.close();
      await source?.close();
    });

    const reopen = async () => {
      await tracker.close();
      tracker = source.openTracker();
    };
    const kinds = (capture: Capture) => capture.disks.map((captured) => captured.changes.kind);
    const first = async () => {
      const capture = await tracker.capture(0);
      const replica = emptyReplica();
      await replica.apply(capture);
      await capture.acknowledge();
      return replica;
    };

    test('the first capture knows nothing, and its view can be read whole', async () => {
      const capture = await tracker.capture(0);
      expect(new Set(kinds(capture))).toEqual(new Set(['everything-unknown']));
      expect(capture.disks.map((captured) => captured.disk)).toEqual(await tracker.disks());
      expect(capture.takenAtMs).toBeLessThanOrEqual(Date.now());
      const replica = emptyReplica();
      await replica.apply(capture);
      await expectReplicaEqualsView(replica, capture);
      await capture.acknowledge();
    });

    test('the changes of each capture make the replica equal to its view', async () => {
      const replica = await first();
      for (let generation = 1; generation <= 4; generation++) {
        await source.change();
        const capture = await tracker.capture(generation);
        for (const captured of capture.disks) expectWellFormed(captured);
        if (traits.knowsExtents) expect(new Set(kinds(capture))).toEqual(new Set(['extents']));
        await replica.apply(capture);
        await expectReplicaEqualsView(replica, capture);
        await capture.acknowledge();
      }
    });

    test('a disk that did not change has no extents', async () => {
      await source.hold();
      await first();
      await (await tracker.capture(1)).acknowledge();
      const capture = await tracker.capture(2);
      expect(capture.disks.map((captured) => captured.changes)).toEqual(
        capture.disks.map(() => ({ kind: 'extents', extents: [] })),
      );
      await capture.abandon();
    });

    test('an abandoned capture gives its changes back to the next one', async () => {
      const replica = await first();
      await source.change();
      for (let attempt = 0; attempt < 2; attempt++) {
        const given = await tracker.capture(1);
        await given.abandon();
        await source.change();
      }
      const capture = await tracker.capture(1);
      await replica.apply(capture);
      await expectReplicaEqualsView(replica, capture);
      await capture.acknowledge();
    });

    test('a capture of another generation knows nothing', async () => {
      await first();
      for (const generation of [3, 7]) {
        const capture = await tracker.capture(generation);
        expect(new Set(kinds(capture))).toEqual(new Set(['everything-unknown']));
        await capture.abandon();
      }
    });

    test('a new tracker goes on where the last one was closed', async () => {
      const replica = await first();
      await reopen();
      await source.change();
      const capture = await tracker.capture(1);
      if (traits.knowsExtents) expect(new Set(kinds(capture))).toEqual(new Set(['extents']));
      await replica.apply(capture);
      await expectReplicaEqualsView(replica, capture);
      await capture.acknowledge();
    });

    test('an agent that ended with its capture open loses no changes', async () => {
      const replica = await first();
      await source.change();
      await tracker.capture(1);
      await reopen();
      await source.change();
      const capture = await tracker.capture(1);
      await replica.apply(capture);
      await expectReplicaEqualsView(replica, capture);
      await capture.acknowledge();
    });

    test('an agent that ended before acknowledging what it had made durable loses no changes', async () => {
      const replica = await first();
      await source.change();
      await replica.apply(await tracker.capture(1));
      await reopen();
      await source.change();
      const capture = await tracker.capture(2);
      await replica.apply(capture);
      await expectReplicaEqualsView(replica, capture);
      await capture.acknowledge();
    });

    test('what is not allocated holds only zeros', async () => {
      const capture = await tracker.capture(0);
      for (const captured of capture.disks) {
        const whole = await readWhole(captured);
        for await (const { offsetBytes, lengthBytes } of captured.allocated()) {
          whole.fill(0, offsetBytes, offsetBytes + lengthBytes);
        }
        expect(whole.equals(Buffer.alloc(whole.length))).toBe(true);
      }
      await capture.acknowledge();
    });

    test('remove leaves nothing behind', async () => {
      await first();
      await source.change();
      await tracker.capture(1);
      await reopen();
      await tracker.remove();
      expect(await source.leftovers()).toEqual([]);
    });

    // A source without this trait refuses instead, which its own tests show: nothing is skipped.
    const testOfChange = traits.canChangeDuringCapture ? test : () => undefined;
    testOfChange('a view stays as it was while the source changes', async () => {
      await first();
      await source.change();
      const capture = await tracker.capture(1);
      const before = await Promise.all(capture.disks.map(readWhole));
      await source.change();
      const after = await Promise.all(capture.disks.map(readWhole));
      expect(after.map((disk, index) => disk.equals(before[index] ?? Buffer.alloc(0)))).toEqual(before.map(() => true));
      await capture.acknowledge();
    });
  });
}

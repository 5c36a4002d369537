import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { createDeliveryQueue } from '../../../bot/delivery/delivery-queue.ts';
import { nextDelivery, placeKey } from '../../../bot/delivery/next-delivery.ts';
import { createOutcomeMemory } from '../../../bot/delivery/outcome-memory.ts';
import { bucketRules, fullBucket, refilled, waitForTokenMs, withoutToken } from '../../../bot/delivery/token-bucket.ts';
import type { DeliveryView } from '../../../protocol/chat-api.ts';
import { delivery, until } from './deliveries.ts';

const at = (name: string) => ({ place: { surface: 'slack' as const, tenant: 'T1', place: name } });
const empty = { busyPlaces: new Set<string>(), buckets: new Map() };

describe('what goes next', () => {
  it('critical before all others, then the order of the engine', () => {
    const waiting = [
      delivery(1, at('C1')),
      delivery(2, { ...at('C2'), severity: 'warning' }),
      delivery(3, { ...at('C3'), severity: 'critical' }),
    ];
    const order: string[] = [];
    let rest = waiting;
    while (rest.length > 0) {
      const next = nextDelivery({ ...empty, waiting: rest }, 0);
      if (next.kind !== 'deliver') throw new Error(next.kind);
      order.push(next.delivery.id);
      rest = rest.filter((one) => one !== next.delivery);
    }
    expect(order).toEqual([3, 2, 1].map((number) => delivery(number).id));
  });

  it('a busy place waits, another one does not', () => {
    const waiting = [delivery(1, { ...at('C1'), severity: 'critical' }), delivery(2, at('C2'))];
    const busyPlaces = new Set([placeKey(delivery(1, at('C1')))]);
    expect(nextDelivery({ ...empty, busyPlaces, waiting }, 0)).toMatchObject({ delivery: { id: delivery(2).id } });
    expect(nextDelivery({ ...empty, busyPlaces, waiting: waiting.slice(0, 1) }, 0)).toEqual({ kind: 'idle' });
  });

  it('an empty bucket says how long to wait, and keeps the token for the critical one', () => {
    const waiting = [delivery(1, at('C1')), delivery(2, { ...at('C1'), severity: 'critical' })];
    const buckets = new Map([[placeKey(delivery(1, at('C1'))), { tokens: 0, atMs: 0 }]]);
    expect(nextDelivery({ ...empty, buckets, waiting }, 0)).toEqual({ kind: 'wait', ms: 1000 });
    expect(nextDelivery({ ...empty, buckets, waiting }, 1000)).toMatchObject({ delivery: { id: delivery(2).id } });
  });
});

describe('the bucket of a place', () => {
  it('never lets more through than the rate and one burst, however the clock runs', () => {
    const steps = fc.array(fc.integer({ min: -5000, max: 5000 }), { minLength: 1, maxLength: 200 });
    fc.assert(
      fc.property(steps, (stepsMs) => {
        let bucket = fullBucket(0);
        let nowMs = 0;
        let passedMs = 0;
        let sent = 0;
        for (const stepMs of stepsMs) {
          nowMs += stepMs;
          passedMs += Math.max(0, stepMs);
          while (waitForTokenMs(bucket, nowMs) === 0) {
            bucket = withoutToken(bucket, nowMs);
            sent += 1;
          }
          bucket = refilled(bucket, nowMs);
        }
        expect(sent).toBeLessThanOrEqual(bucketRules.burst + (passedMs * bucketRules.perSecond) / 1000 + 1e-6);
      }),
    );
  });
});

describe('the queue', () => {
  it('delivers one at a time in each place, in the order of the engine, and in several places at once', async () => {
    let nowMs = 0;
    const stopping = new AbortController();
    const begun: string[] = [];
    let together = 0;
    let mostTogether = 0;
    const queue = createDeliveryQueue({
      nowMs: () => nowMs,
      signal: stopping.signal,
      perform: async (one: DeliveryView) => {
        begun.push(`${one.place.place} ${one.id.at(-1)}`);
        together += 1;
        mostTogether = Math.max(mostTogether, together);
        await new Promise((resolve) => setImmediate(resolve));
        together -= 1;
        // Time passes with the work: the places get their next tokens.
        nowMs += 1000;
      },
    });
    for (let number = 1; number <= 9; number += 1) queue.add(delivery(number, at(number % 2 === 0 ? 'C2' : 'C1')));
    await until(() => begun.length === 9, 'all of them');
    expect(begun.filter((one) => one.startsWith('C1'))).toEqual(['C1 1', 'C1 3', 'C1 5', 'C1 7', 'C1 9']);
    expect(mostTogether).toBe(2);
    stopping.abort();
    await queue.ended;
  });

  it('a newer claim replaces the older one, and room is given when there is some', async () => {
    const stopping = new AbortController();
    const gate = Promise.withResolvers<void>();
    const revisions: number[] = [];
    const queue = createDeliveryQueue({
      nowMs: Date.now,
      signal: stopping.signal,
      perform: async ({ revision }) => {
        revisions.push(revision);
        await gate.promise;
      },
    });
    queue.add(delivery(1, { revision: 7 }));
    for (const revision of [1, 2, 3]) queue.add(delivery(2, { revision }));
    for (let number = 3; number <= 7; number += 1) queue.add(delivery(number));
    let isRoom = false;
    const room = queue.room().then(() => {
      isRoom = true;
    });
    await new Promise((resolve) => setImmediate(resolve));
    expect(isRoom).toBe(false);
    gate.resolve();
    await until(() => revisions.length >= 2, 'the second');
    expect(revisions.slice(0, 2)).toEqual([7, 3]);
    stopping.abort();
    await Promise.all([room, queue.ended]);
  });
});

describe('what became of messages', () => {
  it('is forgotten oldest first, so that memory stays bounded', () => {
    const memory = createOutcomeMemory();
    for (let number = 1; number <= 1500; number += 1) {
      memory.keep(delivery(number).id, { revision: 1, outcome: { kind: 'delivered', ref: {} } });
    }
    expect(memory.unreported()).toHaveLength(1000);
    expect(memory.consider(delivery(1)).kind).toBe('deliver');
    expect(memory.consider(delivery(1500)).kind).toBe('known');
  });
});

import type { DeliveryView } from '../../protocol/chat-api.ts';
import { nextDelivery, placeKey } from './next-delivery.ts';
import { fullBucket, type TokenBucket, waitForTokenMs, withoutToken } from './token-bucket.ts';

/** Messages that are claimed and not yet delivered: few, because the engine's lease on them ends after half a minute. */
const waitingCountMax = 10;
const concurrentCountMax = 4;
const claimFromCount = 5;

export type DeliveryQueue = {
  /** A newer claim of a message replaces an older one that has not begun. */
  readonly add: (delivery: DeliveryView) => void;
  /** How many more to claim, as soon as there is room for some. */
  readonly room: () => Promise<number>;
  /** Ends after the signal was raised and what was under way is done; what had not begun is left to the lease. */
  readonly ended: Promise<void>;
};

export type QueueDeps = {
  readonly nowMs: () => number;
  readonly signal: AbortSignal;
  /** Delivers one message; rejects only for a bug. */
  readonly perform: (delivery: DeliveryView) => Promise<void>;
};

/** Delivers messages one after the other in each place, within the place's rate, critical ones first. */
export function createDeliveryQueue(deps: QueueDeps): DeliveryQueue {
  const waiting = new Map<string, DeliveryView>();
  const underWay = new Map<string, Promise<void>>();
  const buckets = new Map<string, TokenBucket>();
  const { promise: ended, resolve, reject } = Promise.withResolvers<void>();
  let timer: NodeJS.Timeout | undefined;
  let wakeRoom: () => void = () => undefined;

  const settle = () => {
    if (deps.signal.aborted && underWay.size === 0) resolve();
    if (waiting.size < claimFromCount || deps.signal.aborted) wakeRoom();
  };
  const begin = (delivery: DeliveryView) => {
    const key = placeKey(delivery);
    waiting.delete(delivery.id);
    buckets.set(key, withoutToken(buckets.get(key) ?? fullBucket(deps.nowMs()), deps.nowMs()));
    const work = deps.perform(delivery).then(() => {
      underWay.delete(key);
      advance();
    });
    underWay.set(key, work);
    work.catch(reject);
  };
  const advance = () => {
    clearTimeout(timer);
    forgetFull(buckets, deps.nowMs());
    while (!deps.signal.aborted && underWay.size < concurrentCountMax) {
      const backlog = { waiting: [...waiting.values()], busyPlaces: new Set(underWay.keys()), buckets };
      const next = nextDelivery(backlog, deps.nowMs());
      if (next.kind === 'wait') timer = setTimeout(advance, next.ms);
      if (next.kind !== 'deliver') break;
      begin(next.delivery);
    }
    settle();
  };
  const stop = () => {
    clearTimeout(timer);
    waiting.clear();
    settle();
  };
  if (deps.signal.aborted) stop();
  else deps.signal.addEventListener('abort', stop, { once: true });
  return {
    ended,
    add: (delivery) => {
      if (deps.signal.aborted) return;
      waiting.set(delivery.id, delivery);
      advance();
    },
    room: async () => {
      while (waiting.size >= claimFromCount && !deps.signal.aborted) {
        await new Promise<void>((wake) => {
          wakeRoom = wake;
        });
      }
      return Math.max(1, waitingCountMax - waiting.size);
    },
  };
}

/** A place that may get its burst again is as one that was never written to: nothing grows with the number of places. */
function forgetFull(buckets: Map<string, TokenBucket>, nowMs: number): void {
  for (const [key, bucket] of buckets) {
    const isFull = nowMs - bucket.atMs > 10_000 && waitForTokenMs(bucket, nowMs) === 0;
    if (isFull) buckets.delete(key);
  }
}

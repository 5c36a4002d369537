import type { DeliveryView } from '../../protocol/chat-api.ts';
import { fullBucket, type TokenBucket, waitForTokenMs } from './token-bucket.ts';

export type Backlog = {
  readonly waiting: readonly DeliveryView[];
  /** Places in which a message is under way: two at once would overtake each other. */
  readonly busyPlaces: ReadonlySet<string>;
  readonly buckets: ReadonlyMap<string, TokenBucket>;
};

/** What to deliver now, how long to wait before anything may go, or that nothing can be done until something changes. */
export type NextDelivery =
  | { readonly kind: 'deliver'; readonly delivery: DeliveryView }
  | { readonly kind: 'wait'; readonly ms: number }
  | { readonly kind: 'idle' };

const ranks = { critical: 0, warning: 1, info: 2 } as const;

/** Critical ones first, wherever they stand in the queue; among equals the order of the engine. Source: CHAT 5.3 */
export function nextDelivery({ waiting, busyPlaces, buckets }: Backlog, nowMs: number): NextDelivery {
  const free = waiting.filter((delivery) => !busyPlaces.has(placeKey(delivery)));
  const critical = [...free].sort((a, b) => ranks[a.severity] - ranks[b.severity]);
  // Of each place only its most severe message may take the token that comes next.
  const firsts = critical.filter(
    (one, index) => critical.findIndex((other) => placeKey(other) === placeKey(one)) === index,
  );
  const timed = firsts.map((delivery) => ({ delivery, ms: waitOf(delivery, buckets, nowMs) }));
  const ready = timed.find(({ ms }) => ms === 0);
  if (ready !== undefined) return { kind: 'deliver', delivery: ready.delivery };
  return timed.length === 0 ? { kind: 'idle' } : { kind: 'wait', ms: Math.min(...timed.map(({ ms }) => ms)) };
}

function waitOf(delivery: DeliveryView, buckets: Backlog['buckets'], nowMs: number): number {
  return waitForTokenMs(buckets.get(placeKey(delivery)) ?? fullBucket(nowMs), nowMs);
}

export function placeKey({ place }: Pick<DeliveryView, 'place'>): string {
  return `${place.surface} ${place.tenant} ${place.place}`;
}

import type { DeliveryOutcome, DeliveryView, MessageRef } from '../../protocol/chat-api.ts';

type Kept = { readonly revision: number; readonly outcome: DeliveryOutcome };

/**
 * What became of messages, until the engine has heard it: when it was away for that, it gives the message once more, and nobody should
 * see it twice. Bounded; the oldest are forgotten first.
 */
export type OutcomeMemory = {
  readonly keep: (id: string, kept: Kept) => void;
  /**
   * What is to be reported, once: nobody else gets it until it is returned. Where a message stands is remembered all the same: an old claim
   * of it may still be in the queue.
   */
  readonly takeReport: (id: string) => Kept | undefined;
  readonly returnReport: (id: string, kept: Kept) => void;
  readonly unreported: () => readonly string[];
  /** What to do with a message that was claimed: report what is known of it, or deliver it, to where it stands already. */
  readonly consider: (
    delivery: DeliveryView,
  ) => { readonly kind: 'known'; readonly kept: Kept } | { readonly kind: 'deliver'; readonly delivery: DeliveryView };
};

const keptCountMax = 1000;

export function createOutcomeMemory(): OutcomeMemory {
  const reports = new Map<string, Kept>();
  const waiting = new Set<string>();
  /** Where messages stand. A failure that comes later does not change that. */
  const standing = new Map<string, Kept>();
  const isUnreported = (id: string) => waiting.has(id) && reports.get(id)?.outcome.kind === 'delivered';
  return {
    keep: (id, kept) => {
      const isDelivered = kept.outcome.kind === 'delivered';
      if (isDelivered) putLast(standing, id, kept);
      // The engine must hear first where it stands; for the rest the message's lease ends by itself.
      else if (isUnreported(id)) return;
      const forgotten = putLast(reports, id, kept);
      waiting.add(id);
      if (forgotten !== undefined) waiting.delete(forgotten);
    },
    takeReport: (id) => (waiting.delete(id) ? reports.get(id) : undefined),
    returnReport: (id, kept) => {
      if (isUnreported(id)) return;
      putLast(reports, id, kept);
      waiting.add(id);
    },
    unreported: () => [...waiting],
    consider: (delivery) => {
      const kept = standing.get(delivery.id);
      if (kept?.outcome.kind !== 'delivered') return { kind: 'deliver', delivery };
      if (kept.revision >= delivery.revision) return { kind: 'known', kept };
      const ref: MessageRef = delivery.ref ?? kept.outcome.ref;
      return { kind: 'deliver', delivery: { ...delivery, ref } };
    },
  };
}

/** @returns the key that was forgotten for it */
function putLast(map: Map<string, Kept>, id: string, kept: Kept): string | undefined {
  map.delete(id);
  map.set(id, kept);
  const oldest = map.size > keptCountMax ? map.keys().next().value : undefined;
  if (oldest !== undefined) map.delete(oldest);
  return oldest;
}

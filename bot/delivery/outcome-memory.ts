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
  readonly returnReport: (id: string) => void;
  readonly unreported: () => readonly string[];
  /** What to do with a message that was claimed: report what is known of it, or deliver it, to where it stands already. */
  readonly consider: (
    delivery: DeliveryView,
  ) => { readonly kind: 'known'; readonly kept: Kept } | { readonly kind: 'deliver'; readonly delivery: DeliveryView };
};

const keptCountMax = 1000;

export function createOutcomeMemory(): OutcomeMemory {
  const outcomes = new Map<string, Kept>();
  const waiting = new Set<string>();
  return {
    keep: (id, kept) => {
      outcomes.delete(id);
      outcomes.set(id, kept);
      waiting.add(id);
      const oldest = outcomes.size > keptCountMax ? outcomes.keys().next().value : undefined;
      if (oldest === undefined) return;
      outcomes.delete(oldest);
      waiting.delete(oldest);
    },
    takeReport: (id) => (waiting.delete(id) ? outcomes.get(id) : undefined),
    returnReport: (id) => {
      if (outcomes.has(id)) waiting.add(id);
    },
    unreported: () => [...waiting],
    consider: (delivery) => {
      const kept = outcomes.get(delivery.id);
      if (kept?.outcome.kind !== 'delivered') return { kind: 'deliver', delivery };
      if (kept.revision >= delivery.revision) return { kind: 'known', kept };
      const ref: MessageRef = delivery.ref ?? kept.outcome.ref;
      return { kind: 'deliver', delivery: { ...delivery, ref } };
    },
  };
}

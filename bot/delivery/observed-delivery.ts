import type { DeliveryOutcome } from '../../protocol/chat-api.ts';

/** What the delivery to one platform tells those who measure it. */
export type DeliveryEvent =
  /** One attempt; `later` is tried again. */
  | { readonly kind: 'ended'; readonly outcome: DeliveryOutcome['kind']; readonly seconds: number }
  | { readonly kind: 'rate-limited' }
  | { readonly kind: 'probed'; readonly isHealthy: boolean }
  | { readonly kind: 'engine-answered' };

export type ObserveDelivery = (event: DeliveryEvent) => void;

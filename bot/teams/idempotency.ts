import { createHash } from 'node:crypto';
import type { ChatActor } from '../../protocol/chat-api.ts';

/** Keys for the orders of one event: the same event sent twice makes the same keys, so that each is carried out once. */
export function idempotencyKeys(actor: Pick<ChatActor, 'surface' | 'envelope'>): () => string {
  const base = `${actor.surface}:${createHash('sha256').update(actor.envelope).digest('hex')}`;
  let count = 0;
  return () => {
    count += 1;
    return count === 1 ? base : `${base}:${count}`;
  };
}

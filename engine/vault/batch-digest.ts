import { hash } from 'node:crypto';
import type { ChangeBatch } from './vault.ts';

/**
 * By what a repeated send of a batch is recognised, and what its segment's header holds (hex): its content digest together with the
 * position that it follows. The same changes after another history are another batch.
 */
export function batchDigest({ previous, contentDigest }: Pick<ChangeBatch, 'previous' | 'contentDigest'>): string {
  return hash('sha256', Buffer.from(previous.digest + contentDigest, 'hex'), 'hex');
}

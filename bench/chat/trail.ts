import { auditHead, checkAuditChain, listAudit } from '../../engine/store/audit.ts';
import type { Store } from '../../engine/store/open.ts';

/** What the audit trail says of orders from chat. */
export type TrailFigures = {
  /** Different orders, by the envelope in which the platform delivered them. */
  readonly orderCount: number;
  /** Those that stand there more than once as begun, or more than once as denied. */
  readonly doubledCount: number;
  readonly isChainWhole: boolean;
};

const orderNames = new Set(['bookmark', 'pause', 'resume', 'test-failover', 'cleanup']);
const rowCountMax = 200_000;

/** Where the trail ends now. */
export async function trailEnd(store: Store): Promise<number> {
  return (await store.read(auditHead)).number;
}

/** Reads what the trail holds after a number. */
export async function readTrail(store: Store, after: number): Promise<TrailFigures> {
  const entries = await store.read((db) => listAudit(db, { countMax: rowCountMax }));
  const counts = new Map<string, number>();
  for (const { number, what, detail } of entries) {
    // `pause`: begun; `pause denied`: turned away; `pause refused` only tells how the one that was begun ended.
    const [name = '', outcome] = what.split(' ');
    if (number <= after || !orderNames.has(name) || (outcome !== undefined && outcome !== 'denied')) continue;
    const [envelope] = /slack:[0-9a-f]{64}/.exec(detail) ?? [`no envelope, entry ${number}`];
    counts.set(envelope, (counts.get(envelope) ?? 0) + 1);
  }
  const check = await store.read(checkAuditChain);
  const doubledCount = [...counts.values()].filter((count) => count > 1).length;
  return { orderCount: counts.size, doubledCount, isChainWhole: check.kind === 'whole' };
}

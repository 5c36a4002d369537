import { minuteMs, secondMs } from '../domain/units.ts';
import { type AuditHead, auditDigestAt, type ChainCheck, checkAuditChain } from './store/audit.ts';
import type { Database } from './store/database.ts';

/** `whole`: every row of the trail; `recent`: the rows since the last look, when all of it was followed not long ago. */
export type TrailReach = 'whole' | 'recent';

/** However seldom somebody asks for the whole: so much time may pass until a change of an old row is noticed by whoever looks. */
const wholeEveryMs = 10 * minuteMs;
/** Following the whole trail takes at most one part in so many of the time; as long as it is quick it is done each time. */
const checkingShare = 20;
const quickMs = secondMs;
const keptMsMax = minuteMs;

/** What this process knows of the trail of one database. */
type Memory = {
  /** Up to where it was followed, and found whole. */
  verified: AuditHead | undefined;
  wholeAtMs: number;
  wholeTookMs: number;
  broken: ChainCheck | undefined;
  running: { readonly reach: TrailReach; readonly check: Promise<ChainCheck> } | undefined;
};
const memories = new WeakMap<Database, Memory>();

/**
 * Follows the audit trail, and no more of it than is needed: who asks at the same time shares one check, and a trail that takes long is
 * followed as a whole only now and then. Sharing needs the same `db`: a transaction follows all of it for itself.
 */
export function followTrail(
  db: Database,
  reach: TrailReach,
  clockMs: () => number = () => performance.now(),
): Promise<ChainCheck> {
  const memory = memories.get(db) ?? blank();
  memories.set(db, memory);
  const { running } = memory;
  if (running !== undefined && (running.reach === 'whole' || reach === 'recent')) return running.check;
  const check = follow(db, memory, { reach, clockMs }).finally(() => {
    if (memory.running?.check === check) memory.running = undefined;
  });
  memory.running = { reach, check };
  return check;
}

function blank(): Memory {
  return { verified: undefined, wholeAtMs: 0, wholeTookMs: 0, broken: undefined, running: undefined };
}

type Looking = { readonly reach: TrailReach; readonly clockMs: () => number };

async function follow(db: Database, memory: Memory, { reach, clockMs }: Looking): Promise<ChainCheck> {
  const agoMs = clockMs() - memory.wholeAtMs;
  const keptMs = memory.wholeTookMs < quickMs ? 0 : Math.min(keptMsMax, memory.wholeTookMs * checkingShare);
  if (memory.broken !== undefined && agoMs < keptMs) return memory.broken;
  const { verified } = memory;
  if (verified !== undefined && agoMs < (reach === 'whole' ? keptMs : wholeEveryMs)) {
    const check = await followOn(db, verified);
    if (check?.kind === 'whole') {
      memory.verified = check.head;
      return check;
    }
  }
  const startedAtMs = clockMs();
  const check = await checkAuditChain(db);
  const isWhole = check.kind === 'whole';
  const wholeAtMs = clockMs();
  Object.assign(memory, { wholeAtMs, wholeTookMs: wholeAtMs - startedAtMs, broken: isWhole ? undefined : check });
  memory.verified = isWhole && check.head.number > 0 ? check.head : undefined;
  return check;
}

/** Undefined when the row up to which it was followed is not what it was: somebody wrote the trail anew. */
async function followOn(db: Database, verified: AuditHead): Promise<ChainCheck | undefined> {
  const isThere = (await auditDigestAt(db, verified.number)) === verified.digest;
  return isThere ? checkAuditChain(db, verified) : undefined;
}

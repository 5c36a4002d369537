import { OutageError } from '../domain/outage.ts';
import { hourMs } from '../domain/units.ts';
import { saveAuditCheck } from './store/alert-audit.ts';
import { type AuditHead, appendAudit, auditDigestAt, auditHead, listAudit } from './store/audit.ts';
import type { Database } from './store/database.ts';
import { appendEvent } from './store/events.ts';
import type { Store } from './store/open.ts';
import { followTrail, type TrailReach } from './trail-check.ts';
import type { AuditAnchor, AuditAnchors } from './vault/audit-anchors.ts';

export type { AuditAnchors };

/** What was found out of the audit trail; `problem`: why it cannot be trusted, for people. */
export type TrailCheck = { readonly head: AuditHead; readonly problem: string | undefined };

const lostTrail = 'trail begun anew';

/**
 * Follows the chain and compares it with the newest anchor in the vault: what was changed, removed, renumbered, copied or cut off
 * at the end is noticed, the last hour's end excepted.
 *
 * @param reach `recent`: a change of an old row is noticed within minutes; for what is shown again and again
 */
export async function checkAuditTrail(
  db: Database,
  anchor: AuditAnchor | undefined,
  reach: TrailReach = 'recent',
): Promise<TrailCheck> {
  const check = await followTrail(db, reach);
  if (check.kind === 'broken')
    return { head: check.head, problem: `The audit trail was tampered with: ${check.problem}.` };
  return { head: check.head, problem: await anchorProblem(db, check.head, anchor) };
}

async function anchorProblem(
  db: Database,
  head: AuditHead,
  anchor: AuditAnchor | undefined,
): Promise<string | undefined> {
  if (anchor === undefined || (await auditDigestAt(db, anchor.number)) === anchor.digest) return undefined;
  if (await isDeclaredLost(db, anchor)) return undefined;
  const at = new Date(anchor.atMs).toISOString();
  return head.number < anchor.number
    ? `The end of the audit trail was removed: it has ${head.number} entries, and had ${anchor.number} at ${at}.`
    : `The audit trail was replaced: entry ${anchor.number} is not the one that the vault was told of at ${at}.`;
}

/** After a loss of the database an administrator begins a new trail, and the new trail says so. */
async function isDeclaredLost(db: Database, anchor: AuditAnchor): Promise<boolean> {
  const told = await listAudit(db, { about: anchor.digest, countMax: 10 });
  return told.some((entry) => entry.what === lostTrail);
}

/**
 * Writes down that the trail before was lost with its database, unless it is there. Returns whether it was.
 *
 * @param by who rebuilds the catalogue
 */
export async function beginTrailAnew(db: Database, anchor: AuditAnchor | undefined, by: string): Promise<boolean> {
  if ((await anchorProblem(db, await auditHead(db), anchor)) === undefined || anchor === undefined) return false;
  const detail = `The trail before, ${anchor.number} entries up to ${anchor.digest}, was lost with its database.`;
  await appendAudit(db, { who: by, via: 'engine host', what: lostTrail, target: 'audit', detail });
  return true;
}

/**
 * Tells the vault once an hour how far the audit trail has come. A trail that does not agree with the vault is never anchored: the newest anchor
 * goes on to say that something is missing.
 *
 * @throws OutageError when the trail was tampered with
 */
export async function anchorAudit(deps: {
  readonly store: Store;
  readonly auditAnchors: AuditAnchors;
  /** What people were told by this process already: it is told once. */
  readonly told: Set<string>;
}): Promise<'anchored' | 'done-before' | 'empty'> {
  const { store, auditAnchors } = deps;
  const newest = await auditAnchors.newestAuditAnchor();
  const atMs = await store.nowMs();
  if (newest !== undefined && Math.floor(newest.atMs / hourMs) === Math.floor(atMs / hourMs)) return 'done-before';
  const { head, problem } = await store.read((db) => checkAuditTrail(db, newest, 'whole'));
  await store.write((db) => saveAuditCheck(db, problem));
  if (problem !== undefined) {
    if (!deps.told.has(problem)) await store.write((db) => appendEvent(db, { kind: 'audit-tampered', text: problem }));
    deps.told.add(problem);
    throw new OutageError(problem, {
      retryable: false,
      nextStep: 'Find out who could write to the database; compare with a backup of it. `audit` shows what is left.',
    });
  }
  if (head.number === 0) return 'empty';
  await auditAnchors.putAuditAnchor({ ...head, atMs });
  return 'anchored';
}

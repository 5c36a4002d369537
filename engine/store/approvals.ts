import { and, asc, desc, eq, getTableColumns, gt, inArray, isNull, lte, or, type SQL, sql } from 'drizzle-orm';
import type { z } from 'zod';
import { type Approval, type ApprovalState, openStates } from '../../domain/approval.ts';
import { type ApprovalId, isId, type MachineId, type RunId } from '../../domain/ids.ts';
import { invariant } from '../../domain/invariant.ts';
import { type ApprovalView, approvalView, voteView } from '../../protocol/chat-api.ts';
import { approvals, approvalVotes } from './approval-schema.ts';
import type { Database } from './database.ts';
import { newId } from './new-id.ts';
import { idOf } from './rows.ts';
import { runs } from './schema.ts';

/** What people are shown of a request: made when it was asked for, so that everybody decides about the same words. */
const shownSchema = approvalView.pick({ impact: true, checks: true, facts: true });
export type ShownWithApproval = z.infer<typeof shownSchema>;

/** An approval as its rows say, with all that is kept beside the decision. */
export type ApprovalRecord = Approval & {
  readonly id: ApprovalId;
  /** Undefined for what is about a person, or a machine's tags. */
  readonly machineId: MachineId | undefined;
  /** As it was given to insertApproval; parse it with the schema of its operation. */
  readonly params: unknown;
  readonly reason: string;
  readonly requestedVia: string;
  readonly requestedAtMs: number;
  readonly votes: readonly ApprovalView['votes'][number][];
  readonly shown: ShownWithApproval;
  readonly isBreakGlass: boolean;
  readonly review: ApprovalView['review'];
  readonly decidedAtMs: number | undefined;
  readonly measured: ApprovalView['measured'];
  readonly runId: RunId | undefined;
};

/** What an approval is about: a machine, a person whose rights it changes, or the tags of a machine, which need not be protected. */
export type ApprovalSubject =
  | { readonly machineId: MachineId; readonly machineName: string }
  | { readonly concerns: string }
  | TagsOfMachine;
export type TagsOfMachine = { readonly machineName: string; readonly machineId?: undefined };

export type NewApproval = ApprovalSubject & {
  readonly operation: Approval['operation'];
  readonly digest: string;
  readonly params: unknown;
  readonly neededCount: number;
  readonly reason: string;
  readonly requestedBy: string;
  readonly requestedVia: string;
  /** From now, by the database's clock. */
  readonly openForMs: number;
  readonly notBeforeMs: number | undefined;
  readonly shown: ShownWithApproval;
};

/** Adds a pending approval. The database refuses a second open one of the same machine and operation, or person. */
export async function insertApproval(db: Database, approval: NewApproval): Promise<ApprovalId> {
  const { openForMs, notBeforeMs, ...columns } = approval;
  const id = newId('approval');
  await db.insert(approvals).values({
    ...columns,
    id,
    // Not now(): that is when the transaction began, and it may have waited for a lock since.
    expiresAt: sql`clock_timestamp() + make_interval(secs => ${openForMs / 1000})`,
    notBefore: notBeforeMs === undefined ? null : new Date(notBeforeMs),
  });
  return id;
}

/** Undefined also for what is no approval's id. */
export async function findApproval(db: Database, id: string): Promise<ApprovalRecord | undefined> {
  if (!isId('approval', id)) return undefined;
  return (await approvalsWhere(db, eq(approvals.id, id)))[0];
}

/** The approval, locked until the transaction ends: nobody else decides about it meanwhile. */
export async function lockApproval(db: Database, id: string): Promise<ApprovalRecord | undefined> {
  if (!isId('approval', id)) return undefined;
  await db.select({ id: approvals.id }).from(approvals).where(eq(approvals.id, id)).for('update');
  return findApproval(db, id);
}

/** The pending, approved or executing approval of a machine, of a person or of tags, locked; there is never more than one. */
export async function lockOpenApproval(
  db: Database,
  subject: { readonly machineId: MachineId } | { readonly concerns: string } | TagsOfMachine,
  operation: Approval['operation'],
): Promise<ApprovalRecord | undefined> {
  const condition = and(isOfSubject(subject), eq(approvals.operation, operation), isOpen());
  const [row] = await db.select({ id: approvals.id }).from(approvals).where(condition).for('update');
  return row && findApproval(db, row.id);
}

function isOfSubject(subject: { readonly machineId: MachineId } | { readonly concerns: string } | TagsOfMachine) {
  if ('concerns' in subject) return eq(approvals.concerns, subject.concerns);
  if (subject.machineId !== undefined) return eq(approvals.machineId, subject.machineId);
  return and(eq(approvals.machineName, subject.machineName), isNull(approvals.machineId));
}

export async function findApprovalOfRun(db: Database, runId: string): Promise<ApprovalRecord | undefined> {
  return (await approvalsWhere(db, eq(runs.id, runId)))[0];
}

/** The open ones first, then the newest. */
export async function listApprovals(db: Database, limit = 100): Promise<ApprovalRecord[]> {
  const rows = await db
    .select({ id: approvals.id })
    .from(approvals)
    .orderBy(desc(isOpen()), desc(approvals.requestedAt), desc(approvals.id))
    .limit(limit);
  const ids = rows.map((row) => row.id);
  const found = ids.length === 0 ? [] : await approvalsWhere(db, inArray(approvals.id, ids));
  return ids.flatMap((id) => found.filter((approval) => approval.id === id));
}

/** The open ones, those that ended within a time, and what was done alone and nobody has reviewed yet; the newest first. */
export async function currentApprovals(db: Database, endedWithinMs: number): Promise<ApprovalRecord[]> {
  const endedAt = sql`greatest(${approvals.requestedAt}, ${approvals.decidedAt}, ${runs.finishedAt})`;
  const hasJustEnded = sql`${endedAt} > clock_timestamp() - make_interval(secs => ${endedWithinMs / 1000})`;
  const found = await approvalsWhere(db, sql`(${isOpen()} or ${hasJustEnded} or (${isUnreviewed}))`);
  return found.sort((a, b) => b.requestedAtMs - a.requestedAtMs || (a.id < b.id ? 1 : -1));
}

/** These approvals, in no order. */
export async function approvalsOfIds(db: Database, ids: readonly string[]): Promise<ApprovalRecord[]> {
  return ids.length === 0 ? [] : approvalsWhere(db, inArray(approvals.id, [...ids]));
}

/** The approvals that let these runs run. */
export async function approvalsOfRuns(db: Database, runIds: readonly string[]): Promise<ApprovalRecord[]> {
  return runIds.length === 0 ? [] : approvalsWhere(db, inArray(runs.id, [...runIds]));
}

/** Approvals whose time is over, or has come; by the database's clock. */
export async function dueApprovals(db: Database): Promise<ApprovalId[]> {
  const now = sql`clock_timestamp()`;
  const isDue = or(
    and(inArray(approvals.state, ['pending', 'approved']), lte(approvals.expiresAt, now)),
    and(eq(approvals.state, 'approved'), lte(approvals.notBefore, now)),
  );
  const rows = await db.select({ id: approvals.id }).from(approvals).where(isDue).orderBy(asc(approvals.requestedAt));
  return rows.map((row) => idOf('approval', row.id));
}

/**
 * Some of the approvals that wait for people or for their time, in the order of their ids.
 *
 * @param page after: the last id of the page before; '' for the first page
 */
export async function waitingApprovals(
  db: Database,
  page: { readonly after: string; readonly countMax: number },
): Promise<ApprovalId[]> {
  const rows = await db
    .select({ id: approvals.id })
    .from(approvals)
    .where(and(inArray(approvals.state, ['pending', 'approved']), gt(approvals.id, page.after)))
    .orderBy(asc(approvals.id))
    .limit(page.countMax);
  return rows.map((row) => idOf('approval', row.id));
}

export type OverdueReview = {
  readonly id: ApprovalId;
  readonly machineName: string;
  readonly requestedBy: string;
  readonly dueAtMs: number;
};

/** What was done alone and nobody has reviewed in time: an alert says so. Source: CHAT 5.2 */
export async function overdueReviews(db: Database): Promise<OverdueReview[]> {
  const rows = await db
    .select()
    .from(approvals)
    .where(sql`${isUnreviewed} and ${approvals.reviewDueAt} <= clock_timestamp()`);
  return rows.map((row) => {
    invariant(row.reviewDueAt, 'a break-glass has a time for its review');
    const { machineName, requestedBy } = row;
    invariant(machineName !== null, 'a break-glass is about a machine');
    return { id: idOf('approval', row.id), machineName, requestedBy, dueAtMs: row.reviewDueAt.getTime() };
  });
}

/** Keeps a person's vote; the newest one counts. */
export async function saveVote(
  db: Database,
  id: ApprovalId,
  vote: {
    readonly person: string;
    readonly decision: 'approve' | 'reject';
    readonly via: string;
    readonly reason: string;
    readonly stepUp: 'totp' | 'none';
  },
): Promise<void> {
  const { person, ...columns } = vote;
  await db
    .insert(approvalVotes)
    .values({ approvalId: id, person, ...columns })
    .onConflictDoUpdate({
      target: [approvalVotes.approvalId, approvalVotes.person],
      set: { ...columns, at: sql`clock_timestamp()` },
    });
}

/** Moves an approval, or only counts a vote (`state` as it was). Every change is a new revision. */
export async function moveApproval(
  db: Database,
  id: ApprovalId,
  change: {
    readonly state: ApprovalState;
    /** Who decided and why; left out: as before. */
    readonly decided?: { readonly by: string; readonly reason: string };
    /** Done alone: another person reviews it within this time. */
    readonly breakGlass?: { readonly reviewWithinMs: number };
    readonly measured?: ApprovalView['measured'];
  },
): Promise<void> {
  const { state, decided, breakGlass, measured } = change;
  const now = sql`clock_timestamp()`;
  const changed = await db
    .update(approvals)
    .set({
      revision: sql`${approvals.revision} + 1`,
      state,
      ...(decided && { decidedBy: decided.by, decisionReason: decided.reason, decidedAt: now }),
      ...(breakGlass && {
        isBreakGlass: true,
        reviewDueAt: sql`${now} + make_interval(secs => ${breakGlass.reviewWithinMs / 1000})`,
      }),
      ...(measured && { measured }),
    })
    .where(eq(approvals.id, id))
    .returning({ id: approvals.id });
  invariant(changed.length === 1, `approval ${id} is there`);
}

export async function saveReview(
  db: Database,
  id: ApprovalId,
  review: { readonly person: string; readonly note: string },
): Promise<void> {
  await db
    .update(approvals)
    .set({
      revision: sql`${approvals.revision} + 1`,
      reviewedBy: review.person,
      reviewNote: review.note,
      reviewedAt: sql`clock_timestamp()`,
    })
    .where(eq(approvals.id, id));
}

const isUnreviewed = sql`${approvals.isBreakGlass} and ${approvals.reviewedBy} is null`;

function isOpen() {
  return sql<boolean>`(${approvals.state} in (${sql.raw(openStates.map((state) => `'${state}'`).join(', '))}))`;
}

async function approvalsWhere(db: Database, condition: SQL): Promise<ApprovalRecord[]> {
  const rows = await db
    .select({ ...getTableColumns(approvals), runId: runs.id })
    .from(approvals)
    .leftJoin(runs, eq(runs.approvalId, approvals.id))
    .where(condition);
  if (rows.length === 0) return [];
  const ids = rows.map((row) => row.id);
  const votes = await db
    .select()
    .from(approvalVotes)
    .where(inArray(approvalVotes.approvalId, ids))
    .orderBy(asc(approvalVotes.at));
  const votesOf = Map.groupBy(votes, (vote) => vote.approvalId);
  return rows.map((row) => approvalOf(row, (votesOf.get(row.id) ?? []).map(voteOf)));
}

function voteOf(row: typeof approvalVotes.$inferSelect): ApprovalView['votes'][number] {
  const { person, decision, at, via, reason, stepUp } = row;
  return voteView.parse({ person, decision, atMs: at.getTime(), via, reason, stepUp });
}

type ApprovalRow = typeof approvals.$inferSelect & { runId: string | null };

function approvalOf(row: ApprovalRow, votes: readonly ApprovalView['votes'][number][]): ApprovalRecord {
  const { operation, state } = approvalView.pick({ operation: true, state: true }).parse(row);
  return {
    id: idOf('approval', row.id),
    operation,
    machineId: row.machineId === null ? undefined : idOf('machine', row.machineId),
    machineName: row.machineName ?? undefined,
    concerns: row.concerns ?? undefined,
    state,
    revision: row.revision,
    digest: row.digest,
    params: row.params,
    neededCount: row.neededCount,
    reason: row.reason,
    requestedBy: row.requestedBy,
    requestedVia: row.requestedVia,
    requestedAtMs: row.requestedAt.getTime(),
    expiresAtMs: row.expiresAt.getTime(),
    notBeforeMs: row.notBefore?.getTime(),
    votes,
    shown: shownSchema.parse(row.shown),
    isBreakGlass: row.isBreakGlass,
    review: row.reviewDueAt && {
      dueAtMs: row.reviewDueAt.getTime(),
      reviewedBy: row.reviewedBy,
      note: row.reviewNote,
      reviewedAtMs: row.reviewedAt?.getTime() ?? null,
    },
    decidedBy: row.decidedBy ?? undefined,
    decidedAtMs: row.decidedAt?.getTime(),
    decisionReason: row.decisionReason ?? undefined,
    measured: approvalView.shape.measured.parse(row.measured),
    runId: row.runId === null ? undefined : idOf('run', row.runId),
  };
}

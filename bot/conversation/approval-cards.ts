import { assertNever } from '../../domain/invariant.ts';
import type { ApprovalView, CheckView, VoteView } from '../../protocol/chat-api.ts';
import { type Button, type Card, type Field, shorten, type Table, type Tone } from '../card.ts';
import { countWords, pageOf, pageWords } from './machine-cards.ts';
import { absoluteTime, age, instant, relativeTime } from './time-words.ts';

const nameCountMax = 10;
const factCountMax = 4;

/** `Planned failover of vm-7`: what will be done, before anything else is said. */
export function operationWords(approval: ApprovalView): string {
  const about = namesWords(approval.machineNames);
  switch (approval.operation) {
    case 'planned-failover':
      return `Planned failover of ${about}`;
    case 'raise-threshold':
      return `Later lag alerts for ${about}`;
    case 'change-approvers':
      return approval.tagChange === undefined
        ? `Role change of ${approval.subject?.person}: ${approval.subject?.change}`
        : `Tags of ${about}: ${approval.tagChange}`;
    default:
      return assertNever(approval.operation);
  }
}

/** Whose decision it is, by role: `approver`, `for vm-7`. */
export function deciderWords({ operation, machineNames }: ApprovalView): {
  readonly role: string;
  readonly of: string;
} {
  switch (operation) {
    case 'planned-failover':
      return { role: 'approver', of: `for ${namesWords(machineNames)}` };
    case 'raise-threshold':
      return { role: 'admin', of: `for ${namesWords(machineNames)}` };
    case 'change-approvers':
      return { role: 'admin', of: 'of everything' };
    default:
      return assertNever(operation);
  }
}

/** At most ten names, then how many more. Source: CHAT 5.2 (6) */
export function namesWords(names: readonly string[]): string {
  const shown = names.slice(0, nameCountMax).join(', ');
  return names.length > nameCountMax ? `${shown} +${names.length - nameCountMax}` : shown;
}

/**
 * An approval, drawn whole from what the engine knows of it; the same card in every copy, whoever looks. Only the copy that answers who
 * asked for it (`viewer`) has nothing to decide with: it offers to withdraw.
 *
 * Only a pending one has buttons to decide with: revision and digest in them are of what is shown. Source: CHAT 5.2 (1), (6)
 */
export function approvalCard(approval: ApprovalView, nowMs: number, viewer?: string): Card {
  const { id, revision, digest, checks } = approval;
  const isOwn = viewer === approval.requestedBy;
  const glass = approval.isBreakGlass ? 'BREAK-GLASS · ' : '';
  return {
    title: shorten(`${glass}${operationWords(approval)} · ${stateWords(approval)}`, 150),
    tone: toneOf(approval),
    audience: 'channel',
    text: textOf(approval, isOwn).map((line) => shorten(line, 600)),
    fields: fieldsOf(approval, nowMs).map((field) => ({ ...field, value: shorten(field.value, 700) })),
    ...(checks.length > 0 && isOpen(approval) && { table: checkTable(checks) }),
    buttons: buttonsOf(approval, isOwn),
    footer: `${id} · revision ${revision} · digest ${digest.slice(0, 8)}`,
  };
}

function isOpen({ state }: ApprovalView): boolean {
  return state === 'pending' || state === 'approved';
}

function stateWords(approval: ApprovalView): string {
  const yes = approval.votes.filter((vote) => vote.decision === 'approve').map((vote) => vote.person);
  const by = yes.length === 0 ? '' : ` by ${yes.join(' and ')}`;
  const who = approval.decidedBy === null ? '' : ` by ${approval.decidedBy}`;
  switch (approval.state) {
    case 'pending':
      return `waits for approval (${yes.length} of ${approval.neededCount})`;
    case 'approved':
      return `approved${by}`;
    case 'executing':
      return approval.isBreakGlass ? `running without approval${who}` : `approved${by} · running`;
    case 'rejected':
      return `REJECTED${who}`;
    case 'withdrawn':
      return `withdrawn${who}`;
    case 'expired':
      return 'EXPIRED, nothing was done';
    case 'superseded':
      return 'superseded: something changed, ask again';
    case 'succeeded':
      return 'done';
    case 'failed':
      return 'FAILED';
    case 'cancelled':
      return `cancelled${who}`;
    default:
      return assertNever(approval.state);
  }
}

function toneOf({ state, isBreakGlass }: ApprovalView): Tone {
  if (state === 'succeeded') return 'good';
  if (state === 'failed') return 'bad';
  if (state === 'pending' || isBreakGlass) return 'warning';
  return state === 'approved' || state === 'executing' ? 'working' : 'neutral';
}

function textOf(approval: ApprovalView, isOwn: boolean): string[] {
  const { eligible, requestedBy, state, decisionReason } = approval;
  const impact = isOpen(approval) || state === 'executing' ? approval.impact.slice(0, 6) : [];
  if (state !== 'pending') {
    return [...(decisionReason === null || state === 'succeeded' ? [] : [`Why: ${decisionReason}`]), ...impact];
  }
  const { role, of } = deciderWords(approval);
  const person = approval.subject?.person;
  const besides = person === undefined || person === requestedBy ? '' : ` and ${person}, whom it is about`;
  const can =
    eligible.length === 0
      ? `Nobody can approve this now: no ${role} ${of} is left besides ${requestedBy}${besides}. An admin can give the role.`
      : isOwn
        ? `Can approve: ${namesWords(eligible)}.`
        : `You can approve: ${namesWords(eligible)}. You are asked because you are ${role}s ${of} and ${requestedBy}, who asks${besides === '' ? '' : `,${besides}`}, may not decide.`;
  return [...impact, can];
}

function fieldsOf(approval: ApprovalView, nowMs: number): Field[] {
  const { requestedBy, requestedVia, reason, votes, measured, runId } = approval;
  const facts = isOpen(approval) ? approval.facts.slice(0, factCountMax) : [];
  return [
    { label: 'Asked by', value: `${requestedBy} (${requestedVia}), ${instant(approval.requestedAtMs, nowMs)}` },
    { label: 'Reason', value: reason },
    ...facts,
    ...(votes.length === 0 ? [] : [{ label: 'Votes', value: votes.map((vote) => voteWords(vote, nowMs)).join('; ') }]),
    ...(approval.state === 'pending' ? [{ label: 'Expires', value: instant(approval.expiresAtMs, nowMs) }] : []),
    ...endFields(approval, nowMs),
    ...(measured === null
      ? []
      : [{ label: 'Measured', value: `data loss ${age(measured.rpoMs)}, standstill ${age(measured.rtoMs)}` }]),
    ...(runId === null ? [] : [{ label: 'Run', value: runId }]),
    ...reviewFields(approval, nowMs),
  ].slice(0, 10);
}

function voteWords(vote: VoteView, nowMs: number): string {
  const decision = vote.decision === 'approve' ? 'approved' : 'rejected';
  const reason = vote.reason === '' ? '' : `: "${shorten(vote.reason, 120)}"`;
  return `${vote.person} ${decision} ${absoluteTime(vote.atMs, nowMs)} (${vote.via})${reason}`;
}

function endFields({ state, decidedBy, decidedAtMs }: ApprovalView, nowMs: number): Field[] {
  const isVoted = state === 'pending' || state === 'approved' || state === 'executing';
  if (isVoted || decidedAtMs === null) return [];
  // A run ends by itself; who let it begin stands with the votes.
  const isRun = state === 'succeeded' || state === 'failed';
  const by = decidedBy === null || isRun ? '' : ` by ${decidedBy}`;
  // The time is the decision's: when its run ended stands on the run.
  return [
    { label: isRun ? 'Decided' : 'Ended', value: `${isRun ? '' : `${state}${by}, `}${instant(decidedAtMs, nowMs)}` },
  ];
}

/** A break-glass is looked at by another person within a day. Source: CHAT 5.2 */
function reviewFields({ id, review, requestedBy }: ApprovalView, nowMs: number): Field[] {
  if (review === null) return [];
  const { reviewedBy, note, dueAtMs } = review;
  const value =
    reviewedBy === null
      ? `due ${instant(dueAtMs, nowMs)}, by another person than ${requestedBy}: \`review ${id} --note "<text>"\``
      : `by ${reviewedBy}: "${shorten(note ?? '', 300)}"`;
  return [{ label: 'Review', value }];
}

/** What was checked, the worst first. */
export function checkTable(checks: readonly CheckView[]): Table {
  const signs = { failed: '✗', warning: '▲', ok: '✓' } as const;
  const order = ['failed', 'warning', 'ok'];
  const worstFirst = [...checks].sort((a, b) => order.indexOf(a.state) - order.indexOf(b.state));
  return {
    columns: ['', 'Check', 'Detail'],
    rows: worstFirst
      .slice(0, 12)
      .map((check) => [signs[check.state], shorten(check.name, 80), shorten(check.detail, 200)]),
  };
}

function buttonsOf({ id, state, revision, digest, runId }: ApprovalView, isOwn: boolean): Button[] {
  if (state === 'executing' && runId !== null) return [{ label: 'Watch', line: `show ${runId}`, style: 'default' }];
  if (state !== 'pending') return [];
  const shown = `--rev ${revision} --digest ${digest.slice(0, 8)}`;
  const details = { label: 'Details', line: `show ${id}`, style: 'default' } as const;
  if (isOwn) return [{ label: 'Withdraw', line: `withdraw ${id} ${shown}`, style: 'default' }, details];
  return [
    { label: 'Approve', line: `approve ${id} ${shown}`, style: 'primary', opens: 'approve' },
    { label: 'Reject', line: `reject ${id} ${shown}`, style: 'danger', opens: 'reject' },
    details,
  ];
}

/** Everything about one approval, for who asks: also the facts and checks of one that has ended. */
export function approvalDetailCard(approval: ApprovalView, nowMs: number, viewer?: string): Card {
  const facts = approval.facts.map(({ label, value }) => [shorten(label, 60), shorten(value, 300)] as const);
  const card = approvalCard(approval, nowMs, viewer);
  return {
    ...card,
    audience: 'asker',
    ...(isOpen(approval) ? {} : { text: [...(card.text ?? []), ...approval.impact.map((line) => shorten(line, 600))] }),
    ...(approval.checks.length > 0 && { table: checkTable(approval.checks) }),
    ...(facts.length > 0 && {
      sections: [{ title: 'What was known when it was asked for', rows: facts.slice(0, 20) }],
    }),
    ...(card.buttons !== undefined && { buttons: card.buttons.filter((button) => button.label !== 'Details') }),
  };
}

/** A list of approvals: those that wait first, then the newest. */
export function approvalListCard(
  approvals: readonly ApprovalView[],
  view: { readonly title: string; readonly page: number; readonly nowMs: number; readonly person: string | undefined },
): Card {
  const { nowMs, person } = view;
  const isWaiting = (approval: ApprovalView) => approval.state === 'pending';
  const ordered = [...approvals].sort(
    (a, b) => Number(isWaiting(b)) - Number(isWaiting(a)) || b.requestedAtMs - a.requestedAtMs,
  );
  const shown = pageOf(ordered, view.page);
  const mine = shown.filter((approval) => isWaiting(approval) && isMineToDecide(approval, person));
  return {
    title:
      approvals.length === 0
        ? `No ${view.title}s`
        : `${countWords(approvals.length, view.title)}${pageWords(view.page, approvals.length)}`,
    tone: mine.length > 0 ? 'warning' : 'neutral',
    audience: 'asker',
    ...(mine.length > 0 && { text: [`${countWords(mine.length, 'request')} for you to decide.`] }),
    ...(shown.length > 0 && {
      table: {
        columns: ['Request', 'What', 'State', 'By', 'When'],
        rows: shown.map((approval) => [
          approval.id,
          shorten(operationWords(approval), 80),
          listState(approval, nowMs),
          approval.requestedBy,
          relativeTime(approval.requestedAtMs, nowMs),
        ]),
      },
    }),
    ...(mine.length > 0 && { buttons: mine.slice(0, 4).map(openButton) }),
    ...(shown.length === 0 && approvals.length > 0 && { footer: `There is no page ${view.page}.` }),
  };
}

function openButton(approval: ApprovalView): Button {
  return { label: shorten(operationWords(approval), 75), line: `show ${approval.id}`, style: 'default' };
}

function listState(approval: ApprovalView, nowMs: number): string {
  if (approval.state === 'pending') {
    return `${stateWords(approval)}, expires ${relativeTime(approval.expiresAtMs, nowMs)}`;
  }
  return approval.isBreakGlass
    ? `BREAK-GLASS · ${stateWords(approval)}${reviewWords(approval, nowMs)}`
    : stateWords(approval);
}

function reviewWords({ review }: ApprovalView, nowMs: number): string {
  if (review === null) return '';
  const { reviewedBy, dueAtMs } = review;
  if (reviewedBy !== null) return `, reviewed by ${reviewedBy}`;
  const when = absoluteTime(dueAtMs, nowMs);
  return dueAtMs > nowMs ? `, needs review until ${when}` : `, needs review, overdue since ${when}`;
}

/** True when this person may decide it and has not yet. */
export function isMineToDecide(approval: ApprovalView, person: string | undefined): boolean {
  const hasVoted = approval.votes.some((vote) => vote.person === person);
  return approval.state === 'pending' && person !== undefined && approval.eligible.includes(person) && !hasVoted;
}

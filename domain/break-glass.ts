import { type Approval, endWords, type SimpleDecision, type StepUp, stepUpWords } from './approval.ts';
import { formatDuration, hourMs, minuteMs, secondMs } from './units.ts';

/** After so long without anybody's vote, a person on call may go on alone. */
export const breakGlassAfterMs = 5 * minuteMs;
/** Within this time another person looks at what was done alone. */
export const reviewWithinMs = 24 * hourMs;
/** Whoever put themselves on the on-call list goes on alone only after this time: until then others see it and can undo it. */
export const selfSetWaitMs = 24 * hourMs;

/** A person's place on the on-call list. */
export type OnCallPlace = {
  /** True when the person themselves, and nobody else, said that they are on call. */
  readonly isSelfSet: boolean;
  /** By the database's clock. */
  readonly sinceMs: number;
};

export type BreakGlassFacts = {
  readonly person: string;
  /** Undefined for somebody who is not on call. */
  readonly onCall: OnCallPlace | undefined;
  readonly machineName: string;
  /** What the person typed to show that they mean this machine; empty when they only waited. */
  readonly typedName: string;
  readonly reason: string;
  /** For how long the same request of the same person has waited without any vote; undefined when there is none. */
  readonly waitedMs: number | undefined;
  /** True when somebody else can say that the person is on call. */
  readonly hasOtherAdmin: boolean;
  /** By the database's clock; epoch milliseconds. */
  readonly nowMs: number;
  readonly stepUp: StepUp;
};

export type BreakGlassDecision =
  | SimpleDecision
  | { readonly kind: 'step-up'; readonly stepUp: Exclude<StepUp, 'proven'> };

/**
 * Whether somebody may act without an approval: only a person whom another one put on call, with a reason, and either the machine's name typed in full
 * or five minutes of waiting without any vote. The code of the authenticator is asked for last. Source: CHAT 5.2, RELIABILITY 2b (9)
 */
export function decideBreakGlass(facts: BreakGlassFacts): BreakGlassDecision {
  const { machineName, typedName, waitedMs } = facts;
  const offDuty = refuseOffDuty(facts);
  if (offDuty !== undefined) return offDuty;
  if (facts.reason.trim() === '') return { kind: 'refused', message: 'Going on without an approval needs a reason.' };
  const hasWaited = typedName === '' && waitedMs !== undefined && waitedMs >= breakGlassAfterMs;
  if (typedName !== machineName && !hasWaited) return { kind: 'refused', ...howTo(machineName, typedName, waitedMs) };
  return facts.stepUp === 'proven' ? { kind: 'allowed' } : { kind: 'step-up', stepUp: facts.stepUp };
}

function refuseOffDuty(facts: BreakGlassFacts): SimpleDecision | undefined {
  const { onCall, person, machineName } = facts;
  if (onCall === undefined) {
    return {
      kind: 'refused',
      message: 'Only somebody on call may go on without an approval.',
      nextStep: '`oncall` shows who is.',
    };
  }
  if (!onCall.isSelfSet || onCall.sinceMs >= selfSetWaitMs) return undefined;
  const ago = formatDuration(Math.max(secondMs, onCall.sinceMs));
  const from = minuteWords(facts.nowMs + selfSetWaitMs - onCall.sinceMs);
  const line = `\`failover ${machineName} --planned --reason …\``;
  return {
    kind: 'refused',
    message: `You put yourself on the on-call list ${ago} ago, and nobody else has said that you are on call. You may go on alone from ${from}. Nothing was done.`,
    nextStep: facts.hasOtherAdmin
      ? `Let another admin say it: \`oncall set ${person}\`. Or ask for an approval: ${line}.`
      : `There is no other admin who could say it. Ask for an approval: ${line}.`,
  };
}

/** `2026-11-23 09:53Z`, of the first whole minute that is not before it. */
export function minuteWords(atMs: number): string {
  const isoText = new Date(Math.ceil(atMs / minuteMs) * minuteMs).toISOString();
  return `${isoText.slice(0, 16).replace('T', ' ')}Z`;
}

function howTo(machineName: string, typedName: string, waitedMs: number | undefined) {
  const nextStep = `To go on alone at once, type the machine's name exactly: \`--break-glass ${machineName}\`.`;
  if (typedName !== '')
    return { message: `You typed ${typedName}; the machine is ${machineName}. Nothing was done.`, nextStep };
  const left = breakGlassAfterMs - (waitedMs ?? 0);
  const wait = waitedMs === undefined ? 'ask for the approval first' : `wait ${formatDuration(left)} more`;
  return { message: `Somebody may still decide: ${wait}, or type the machine's name.`, nextStep };
}

/** What to tell somebody on call whose code is missing or was not accepted. */
export function breakGlassCodeWords(stepUp: Exclude<StepUp, 'proven'>): { message: string; nextStep?: string } {
  if (stepUp === 'no-authenticator') {
    return {
      message:
        'You have no authenticator yet. Going on without an approval needs its six-digit code. Nothing was done.',
      nextStep: 'Set one up: `authenticator`.',
    };
  }
  const words = stepUpWords(stepUp);
  if (stepUp !== 'not-given' && stepUp !== 'unchecked') return words;
  return { ...words, message: 'Going on without an approval needs the six-digit code of your authenticator.' };
}

/** Whether this person may review what was done alone. Being late refuses nobody: it must be done all the same. */
export function decideReview(facts: {
  readonly approval: Approval;
  readonly isBreakGlass: boolean;
  readonly reviewedBy: string | undefined;
  readonly person: string;
  readonly isEligible: boolean;
}): SimpleDecision {
  const { approval, person } = facts;
  if (!facts.isBreakGlass)
    return { kind: 'refused', message: `${approval.id} was not done alone: there is nothing to review.` };
  if (facts.reviewedBy !== undefined)
    return { kind: 'refused', message: `${facts.reviewedBy} has reviewed ${approval.id} already.` };
  if (person === approval.requestedBy) {
    return { kind: 'refused', message: 'You did this alone: another person must review it.' };
  }
  if (!facts.isEligible) return { kind: 'refused', message: `You are not an approver for ${approval.machineName}.` };
  if (approval.state === 'executing')
    return { kind: 'refused', message: `${endWords(approval)} Review it when it has ended.` };
  return { kind: 'allowed' };
}

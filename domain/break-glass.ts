import { type Approval, endWords, type SimpleDecision, type StepUp } from './approval.ts';
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

function refuseOffDuty({ onCall, person, machineName }: BreakGlassFacts): SimpleDecision | undefined {
  if (onCall === undefined) {
    return {
      kind: 'refused',
      message: 'Only somebody on call may go on without an approval.',
      nextStep: '`oncall` shows who is.',
    };
  }
  if (!onCall.isSelfSet || onCall.sinceMs >= selfSetWaitMs) return undefined;
  const ago = formatDuration(Math.max(secondMs, onCall.sinceMs));
  const left = formatDuration(selfSetWaitMs - onCall.sinceMs);
  return {
    kind: 'refused',
    message: `You put yourself on the on-call list ${ago} ago, and nobody else has said that you are on call. For another ${left} you may not go on alone. Nothing was done.`,
    nextStep: `Let another admin say it: \`oncall set ${person}\`. Or ask for an approval: \`failover ${machineName} --planned --reason …\`.`,
  };
}

function howTo(machineName: string, typedName: string, waitedMs: number | undefined) {
  const nextStep = `To go on alone at once, type the machine's name exactly: \`--break-glass ${machineName}\`.`;
  if (typedName !== '')
    return { message: `You typed ${typedName}; the machine is ${machineName}. Nothing was done.`, nextStep };
  const left = breakGlassAfterMs - (waitedMs ?? 0);
  const wait = waitedMs === undefined ? 'ask for the approval first' : `wait ${formatDuration(left)} more`;
  return { message: `Somebody may still decide: ${wait}, or type the machine's name.`, nextStep };
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

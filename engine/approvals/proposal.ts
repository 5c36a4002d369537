import { createHash } from 'node:crypto';
import { z } from 'zod';
import { type AlertThresholds, decideThresholds } from '../../domain/alert-threshold.ts';
import { type Approval, type ApprovalRule, approvalRule } from '../../domain/approval.ts';
import {
  type Check,
  type FailoverTarget,
  type PlannedFailoverFacts,
  type PlannedFailoverPlan,
  planPlannedFailover,
} from '../../domain/planned-failover.ts';
import { decidingTags } from '../../domain/tag-change.ts';
import { formatDuration } from '../../domain/units.ts';
import { canonicalText } from '../../protocol/point-manifest.ts';
import type { ShownWithApproval } from '../store/approvals.ts';
import type { Database } from '../store/database.ts';
import { tagsOf } from '../store/machine-tags.ts';
import type { MachineRecord } from '../store/machines.ts';
import { decidingTagGrants } from '../store/people.ts';
import { thresholdsOf } from '../store/thresholds.ts';
import { failoverFacts } from './failover-facts.ts';

/** What is asked for: everything that will be done, its digest, and what people are shown. */
export type Proposal = {
  readonly operation: Approval['operation'];
  readonly rule: ApprovalRule;
  /** What the digest covers. */
  readonly params: object;
  readonly digest: string;
  readonly shown: ShownWithApproval;
};

export type Around = { readonly target: FailoverTarget; readonly heartbeatEveryMs: number };

/** SHA-256 (hex) over everything that will be done. Source: CHAT 5.2 (1) */
export function proposalDigest(params: object): string {
  return createHash('sha256').update(canonicalText(params)).digest('hex');
}

/** A failover as it was planned at one moment. */
export type PlannedProposal = {
  readonly plan: PlannedFailoverPlan;
  readonly proposal: Proposal;
  readonly facts: PlannedFailoverFacts;
};
export type FailoverProposal =
  | ({ readonly kind: 'planned' } & PlannedProposal)
  | {
      readonly kind: 'refused';
      readonly message: string;
      /** Asking again does not help. */
      readonly isOver: boolean;
      /** What it would be when the failed checks pass; undefined when that cannot be said now. */
      readonly blocked: PlannedProposal | undefined;
    };

/** What a planned failover of the machine would be if it were asked for now. */
export async function proposeFailover(
  db: Database,
  machine: MachineRecord,
  order: Around & { readonly notBeforeMs: number | undefined },
): Promise<FailoverProposal> {
  const facts = await failoverFacts(db, machine, order);
  const tagged = await tagsThatDecide(db, machine.name);
  const decision = planPlannedFailover(facts);
  const { checks } = decision;
  const proposed = (plan: PlannedFailoverPlan, impact: readonly string[]): PlannedProposal => ({
    ...{ plan, facts },
    proposal: failoverProposal({ machine, tagged, plan, checks, impact, notBeforeMs: order.notBeforeMs }),
  });
  if (decision.kind === 'planned') return { kind: 'planned', ...proposed(decision.plan, decision.impact) };
  const { message, isOver, plan } = decision;
  return { kind: 'refused', message, isOver, blocked: plan && proposed(plan, []) };
}

type TagsThatDecide = {
  readonly tags: readonly string[];
  /** By which of them somebody decides about the machine; left out when there is none. Part of what the digest covers. */
  readonly who: { readonly decidingTags?: string };
};

/** With another set of such tags other people would decide than those who were asked: what waits is then asked for anew. */
async function tagsThatDecide(db: Database, machineName: string): Promise<TagsThatDecide> {
  const tags = await tagsOf(db, machineName);
  const deciding = decidingTags(tags, await decidingTagGrants(db)).sort();
  return { tags, who: deciding.length === 0 ? {} : { decidingTags: deciding.join(', ') } };
}

function failoverProposal(given: {
  readonly machine: MachineRecord;
  readonly tagged: TagsThatDecide;
  readonly plan: PlannedFailoverPlan;
  readonly checks: readonly Check[];
  readonly impact: readonly string[];
  readonly notBeforeMs: number | undefined;
}): Proposal {
  const { machine, tagged, plan, notBeforeMs } = given;
  const rule = approvalRule('planned-failover', [tagged]);
  const params = {
    operation: 'planned-failover',
    plan,
    // Its figures too: a policy that was changed under the same name is another one.
    policy: { ...machine.policy },
    neededCount: rule.neededCount,
    notBeforeMs: notBeforeMs ?? null,
    ...tagged.who,
  };
  const shown = { impact: [...given.impact], checks: [...given.checks], facts: failoverWords(plan, notBeforeMs) };
  return { operation: 'planned-failover', rule, params, digest: proposalDigest(params), shown };
}

function failoverWords(plan: PlannedFailoverPlan, notBeforeMs: number | undefined): ShownWithApproval['facts'] {
  const disks = `${plan.disks.length} (${plan.disks.map((disk) => disk.key).join(', ')})`;
  const facts = [
    { label: 'Point', value: 'taken after the shutdown' },
    { label: 'Target', value: `${plan.target}, as ${plan.vmName}` },
    { label: 'Network', value: plan.network },
    { label: 'Disks', value: disks },
    { label: 'Shutdown limit', value: formatDuration(plan.shutdownLimitMs) },
  ];
  return notBeforeMs === undefined ? facts : [{ label: 'Begins', value: atWords(notBeforeMs) }, ...facts];
}

/** `2026-11-21 22:00Z`: times that people agree on are the same everywhere. */
export function atWords(atMs: number): string {
  return `${new Date(atMs).toISOString().slice(0, 16).replace('T', ' ')}Z`;
}

const thresholdParams = z.object({ to: z.object({ warnMs: z.number(), criticalMs: z.number() }) });

/** What the thresholds will be, of the stored parameters. */
export function wantedThresholds(params: unknown): AlertThresholds {
  return thresholdParams.parse(params).to;
}

export type ThresholdProposal =
  | { readonly kind: 'refused'; readonly message: string }
  | { readonly kind: 'immediate'; readonly text: string }
  | { readonly kind: 'planned'; readonly text: string; readonly proposal: Proposal };

/** What setting the thresholds of the machine would be if it were asked for now. */
export async function proposeThresholds(
  db: Database,
  machine: MachineRecord,
  wanted: AlertThresholds,
): Promise<ThresholdProposal> {
  const { name, policy } = machine;
  const from = await thresholdsOf(db, machine);
  const facts = { machineName: name, now: from, pointEveryMs: policy.crashConsistentEveryMs };
  const decision = decideThresholds(facts, wanted);
  if (decision.kind !== 'needs-approval') return decision;
  const tagged = await tagsThatDecide(db, name);
  const rule = approvalRule('raise-threshold', [tagged]);
  const params = {
    operation: 'raise-threshold',
    machineId: machine.id,
    machineName: name,
    from,
    to: { ...wanted },
    neededCount: rule.neededCount,
    ...tagged.who,
  };
  const shown = {
    impact: [...decision.impact],
    checks: [],
    facts: [
      { label: 'Warning', value: `${formatDuration(from.warnMs)} → ${formatDuration(wanted.warnMs)}` },
      { label: 'Critical', value: `${formatDuration(from.criticalMs)} → ${formatDuration(wanted.criticalMs)}` },
    ],
  };
  const proposal: Proposal = { operation: 'raise-threshold', rule, params, digest: proposalDigest(params), shown };
  return { kind: 'planned', text: decision.text, proposal };
}

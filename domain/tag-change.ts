import type { Role } from './access.ts';
import { firstTierTag } from './approval.ts';
import { aloneWhy, otherAdmins, type SiteAdmin } from './role-change.ts';

/** A role with which a person decides about the machines with a tag. */
export type DecidingTagGrant = { readonly person: string; readonly role: Role; readonly tag: string };

/** A change of a machine's tags, from all that it has now to all that it will have; both in order. */
export type TagChange = {
  readonly machineName: string;
  readonly before: readonly string[];
  readonly after: readonly string[];
};

export type TagChangeFacts = {
  readonly change: TagChange;
  /** Everybody who decides by some tag, also persons who are disabled at this moment. */
  readonly grants: readonly DecidingTagGrant[];
  readonly admins: readonly SiteAdmin[];
  readonly requestedBy: string;
};

export type TagChangeDecision =
  /** Nobody's approval is needed. */
  | { readonly kind: 'immediate' }
  /** An approval would be needed, and there is nobody to ask; a sentence for the audit trail. */
  | { readonly kind: 'alone'; readonly why: string }
  | { readonly kind: 'needs-approval'; readonly deciderCount: number; readonly impact: readonly string[] };

/**
 * Whether a change of tags needs another admin. It does when it changes who can approve, or how many must: when it takes `tier:0` away, and
 * when somebody is approver or admin by a tag that comes or goes. Source: CHAT 5.2
 */
export function decideTagChange(facts: TagChangeFacts): TagChangeDecision {
  const { change, admins, requestedBy } = facts;
  if (!removedTags(change).includes(firstTierTag) && concernedGrants(facts).length === 0) return { kind: 'immediate' };
  const others = otherAdmins(admins, requestedBy);
  if (others.length === 0) return { kind: 'alone', why: aloneWhy };
  return { kind: 'needs-approval', deciderCount: others.length, impact: impactOf(facts) };
}

/** The grants that count for the machine from then on, or no more. */
export function concernedGrants({ change, grants }: Pick<TagChangeFacts, 'change' | 'grants'>): DecidingTagGrant[] {
  const changed = [...addedTags(change), ...removedTags(change)];
  return grants.filter(({ tag }) => changed.includes(tag));
}

/** Of a machine's tags, those by which somebody decides about it: who is asked for an approval hangs on them. */
export function decidingTags(tags: readonly string[], grants: readonly DecidingTagGrant[]): string[] {
  return tags.filter((tag) => grants.some((grant) => grant.tag === tag));
}

/** E.g. `web, tier:0 → web`. */
export function tagChangeWords({ before, after }: Pick<TagChange, 'before' | 'after'>): string {
  return `${tagsWords(before)} → ${tagsWords(after)}`;
}

export function tagsWords(tags: readonly string[]): string {
  return tags.length === 0 ? 'no tags' : tags.join(', ');
}

function impactOf(facts: TagChangeFacts): string[] {
  const { change } = facts;
  const { machineName } = change;
  const [added, removed] = [addedTags(change), removedTags(change)];
  const concerned = concernedGrants(facts);
  const gained = concerned.filter(({ tag }) => added.includes(tag));
  const lost = concerned.filter(({ tag }) => removed.includes(tag));
  return [
    ...(removed.includes(firstTierTag)
      ? [`One approval is enough for a planned failover of ${machineName} from then on, instead of two.`]
      : []),
    ...(added.includes(firstTierTag)
      ? [`A planned failover of ${machineName} needs two approvals from then on, instead of one.`]
      : []),
    ...gained.map((grant) => `${grant.person} will decide about ${machineName}, as ${grantWords(grant)}.`),
    ...lost.map((grant) => `${grant.person} decides no more about ${machineName} as ${grantWords(grant)}.`),
    `What is asked for about ${machineName} and not decided by then must be asked for again.`,
  ];
}

function grantWords({ role, tag }: DecidingTagGrant): string {
  return `${role} for machines tagged ${tag}`;
}

function addedTags({ before, after }: TagChange): string[] {
  return after.filter((tag) => !before.includes(tag));
}

function removedTags({ before, after }: TagChange): string[] {
  return before.filter((tag) => !after.includes(tag));
}

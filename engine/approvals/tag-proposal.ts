import { z } from 'zod';
import { approvalRule } from '../../domain/approval.ts';
import { concernedGrants, decideTagChange, type TagChange, tagsWords } from '../../domain/tag-change.ts';
import type { Database } from '../store/database.ts';
import { changeTags, tagsOf } from '../store/machine-tags.ts';
import { decidingTagGrants, siteAdmins } from '../store/people.ts';
import { type Proposal, proposalDigest } from './proposal.ts';
import { adminsNow } from './role-proposal.ts';

export type TagWish = {
  readonly machineName: string;
  readonly add: readonly string[];
  readonly remove: readonly string[];
  readonly requestedBy: string;
};

const tags = z.array(z.string());
/** Everything that the digest covers: all tags as they were and as they will be, and who decides more or less by them. */
const tagChangeParams = z.object({
  operation: z.literal('change-approvers'),
  machineName: z.string(),
  before: tags,
  after: tags,
  deciders: z.array(z.object({ person: z.string(), role: z.string(), tag: z.string() })),
  neededCount: z.number().int(),
});
export type TagChangeParams = z.infer<typeof tagChangeParams>;

/** The stored parameters of a request. */
export function tagChangeOf(params: unknown): TagChangeParams {
  return tagChangeParams.parse(params);
}

export type TagProposal =
  | { readonly kind: 'immediate'; readonly change: TagChange }
  | { readonly kind: 'alone'; readonly change: TagChange; readonly why: string }
  | { readonly kind: 'planned'; readonly change: TagChange; readonly proposal: Proposal };

/** What the change would be if it were asked for now. Until the transaction ends nobody else changes who is admin, or who decides by a tag. */
export async function proposeTagChange(db: Database, wish: TagWish): Promise<TagProposal> {
  const { machineName, add, remove, requestedBy } = wish;
  // First: a role that is given at the same moment waits for this, or is seen by it.
  const admins = await adminsNow(db);
  // The database may order them otherwise.
  const before = [...(await tagsOf(db, machineName))].sort();
  const after = [...new Set([...before.filter((tag) => !remove.includes(tag)), ...add])].sort();
  const change: TagChange = { machineName, before, after };
  const grants = await decidingTagGrants(db);
  const decision = decideTagChange({ change, grants, admins, requestedBy });
  if (decision.kind !== 'needs-approval') return { ...decision, change };
  const rule = approvalRule('change-approvers', [], { isOfSiteAdmin: false, deciderCount: decision.deciderCount });
  const params: TagChangeParams = {
    operation: 'change-approvers',
    machineName,
    before,
    after,
    deciders: concernedGrants({ change, grants }),
    neededCount: rule.neededCount,
  };
  const facts = [
    { label: 'Tags now', value: tagsWords(before).slice(0, 500) },
    { label: 'Tags after it', value: tagsWords(after).slice(0, 500) },
  ];
  const shown = { impact: decision.impact.slice(0, impactCountMax), checks: [], facts };
  const digest = proposalDigest(params);
  return { kind: 'planned', change, proposal: { operation: 'change-approvers', rule, params, digest, shown } };
}

/** Of a tag that many decide by, nobody reads every name. */
const impactCountMax = 12;

/** What the same change would be now; a sentence when it is not what was asked for any more. */
export async function proposeTagsAgain(
  db: Database,
  asked: { readonly params: unknown; readonly requestedBy: string },
): Promise<
  { readonly kind: 'planned'; readonly proposal: Proposal } | { readonly kind: 'over'; readonly why: string }
> {
  const { machineName, before, after } = tagChangeOf(asked.params);
  const add = after.filter((tag) => !before.includes(tag));
  const remove = before.filter((tag) => !after.includes(tag));
  const found = await proposeTagChange(db, { machineName, add, remove, requestedBy: asked.requestedBy });
  if (!(await siteAdmins(db)).includes(asked.requestedBy)) {
    return { kind: 'over', why: `${asked.requestedBy}, who asked for it, is not an admin of everything any more.` };
  }
  const now = found.change.before;
  if (now.join(' ') !== before.join(' ')) {
    const words = `they were ${tagsWords(before)}, they are ${tagsWords(now)}`;
    return { kind: 'over', why: `The tags of ${machineName} have changed meanwhile: ${words}. Ask again.` };
  }
  if (found.kind === 'planned') return found;
  const why = found.kind === 'alone' ? `Nobody is there to ask any more: ${found.why}.` : 'It needs no approval now.';
  return { kind: 'over', why: `${why} Ask again.` };
}

/** Makes the change. Call it in the transaction that proposed it, after writing down who did it and why. */
export async function applyTagChange(
  db: Database,
  { machineName, before, after }: Pick<TagChange, 'machineName' | 'before' | 'after'>,
  by: string,
): Promise<void> {
  const add = after.filter((tag) => !before.includes(tag));
  const remove = before.filter((tag) => !after.includes(tag));
  await changeTags(db, { machineName, add, remove, by });
}

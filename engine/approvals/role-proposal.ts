import { z } from 'zod';
import type { Grant, Role } from '../../domain/access.ts';
import { approvalRule } from '../../domain/approval.ts';
import {
  areSameRights,
  decideRoleChange,
  isDeciding,
  type Rights,
  type RightsChange,
  rightsChangeWords,
  rolesWords,
  type SiteAdmin,
  sortedGrants,
  withRole,
} from '../../domain/role-change.ts';
import { chatSurfaceName, grantView, personName } from '../../protocol/chat-api.ts';
import { unlinkPerson } from '../people/console-session.ts';
import { findAuthenticator, removeAuthenticator } from '../store/authenticators.ts';
import type { Database } from '../store/database.ts';
import { machinesTagged } from '../store/machine-tags.ts';
import { activeAdmins, addPerson, findPerson, setDisabled, setGrants, siteAdmins } from '../store/people.ts';
import { type Proposal, proposalDigest } from './proposal.ts';

/** What somebody wants to be different about a person; what is left out stays. */
export type WantedRights = {
  /** All that the person may do. */
  readonly grants?: readonly Grant[] | undefined;
  /** One role, in place of the one of the same scope; undefined takes it away. */
  readonly role?: { readonly scope: Grant['scope']; readonly role: Role | undefined } | undefined;
  readonly isDisabled?: boolean | undefined;
  readonly unlink?: readonly z.infer<typeof chatSurfaceName>[] | undefined;
  readonly resetAuthenticator?: boolean | undefined;
};
export type RoleChangeWish = {
  readonly person: string;
  readonly wanted: WantedRights;
  readonly requestedBy: string;
};

/** Everything that the digest covers: what it was, and what it will be, word for word. */
const rights = z.object({ grants: z.array(grantView), isDisabled: z.boolean() });
const roleChangeParams = z.object({
  operation: z.literal('change-approvers'),
  person: personName,
  /** Null: not known yet. */
  before: rights.nullable(),
  after: rights,
  unlink: z.array(chatSurfaceName),
  resetAuthenticator: z.boolean(),
  neededCount: z.number().int(),
  /** Which machines a tag means by which the person will decide; left out when there is none. */
  taggedMachines: z.string().optional(),
});
export type RoleChangeParams = z.infer<typeof roleChangeParams>;

/** The stored parameters of a request. */
export function roleChangeOf(params: unknown): RoleChangeParams {
  return roleChangeParams.parse(params);
}

export type RoleProposal =
  | { readonly kind: 'refused'; readonly message: string; readonly nextStep: string }
  | { readonly kind: 'immediate'; readonly params: RoleChangeParams }
  | { readonly kind: 'alone'; readonly params: RoleChangeParams; readonly why: string }
  | { readonly kind: 'planned'; readonly params: RoleChangeParams; readonly proposal: Proposal };

/** What the change would be if it were asked for now. Until the transaction ends nobody else changes who is admin. */
export async function proposeRoleChange(db: Database, wish: RoleChangeWish): Promise<RoleProposal> {
  const { person, wanted, requestedBy } = wish;
  const admins = await adminsNow(db);
  const before = await rightsOf(db, person);
  const hasAuthenticator = (await findAuthenticator(db, person))?.isConfirmed === true;
  const change: RightsChange = {
    ...{ person, before, hasAuthenticator },
    after: rightsAfter(before, wanted),
    unlink: wanted.unlink ?? [],
    resetAuthenticator: wanted.resetAuthenticator ?? false,
  };
  const decision = decideRoleChange({ change, admins, requestedBy });
  if (decision.kind === 'refused') return decision;
  if (decision.kind !== 'needs-approval') return { ...decision, params: paramsOf(change, wanted, 0) };
  const rule = approvalRule('change-approvers', [], decision);
  const tagged = await machinesOfNewTags(db, change);
  const params = { ...paramsOf(change, wanted, rule.neededCount), ...(tagged && { taggedMachines: tagged }) };
  const meaning = tagged === undefined ? [] : [`Machines with these tags now: ${tagged.slice(0, 400)}.`];
  const shown = { impact: [...decision.impact, ...meaning], checks: [], facts: rightsFacts(params) };
  const digest = proposalDigest(params);
  return {
    kind: 'planned',
    params,
    proposal: { operation: 'change-approvers', rule, params, digest, shown },
  };
}

function paramsOf(change: RightsChange, wanted: WantedRights, neededCount: number): RoleChangeParams {
  const { person, before, after, resetAuthenticator } = change;
  return {
    ...{ operation: 'change-approvers' as const, person, resetAuthenticator, neededCount },
    before: before === undefined ? null : storedRights(before),
    after: storedRights(after),
    unlink: [...(wanted.unlink ?? [])].sort(),
  };
}

/** What the tags mean by which the person will decide and has not before: who agrees to it agrees to these machines. */
async function machinesOfNewTags(db: Database, { before, after }: RightsChange): Promise<string | undefined> {
  const tagOf = (grant: Grant) => (isDeciding(grant) && grant.scope.kind === 'tag' ? [grant.scope.tag] : []);
  const old = new Set((before?.grants ?? []).flatMap(tagOf));
  const machines = await machinesTagged(
    db,
    [...new Set(after.grants.flatMap(tagOf))].filter((tag) => !old.has(tag)),
  );
  return machines.length === 0 ? undefined : machines.join(', ');
}

function storedRights({ grants, isDisabled }: Rights) {
  return { grants: sortedGrants(grants), isDisabled };
}

function rightsAfter(before: Rights | undefined, wanted: WantedRights): Rights {
  const all = wanted.grants ?? before?.grants ?? [];
  const grants = wanted.role === undefined ? all : withRole(all, wanted.role.scope, wanted.role.role);
  return { grants: sortedGrants(grants), isDisabled: wanted.isDisabled ?? before?.isDisabled ?? false };
}

function rightsFacts({ before, after }: RoleChangeParams) {
  const words = (rightsOfThem: Rights | null) =>
    `${rolesWords(rightsOfThem ?? undefined)}${rightsOfThem?.isDisabled === true ? ' (disabled)' : ''}`;
  return [
    { label: 'Roles now', value: words(before).slice(0, 500) },
    { label: 'Roles after it', value: words(after).slice(0, 500) },
  ];
}

/** `operator → approver for vm-7; disabled`. */
export function changeWordsOf(params: RoleChangeParams): string {
  const { before, hasAuthenticator, ...more } = { ...params, hasAuthenticator: false };
  return rightsChangeWords({ ...more, hasAuthenticator, before: before ?? undefined });
}

/** What the same change would be now; a sentence when it is not what was asked for any more. */
export async function proposeAgain(
  db: Database,
  asked: { readonly params: unknown; readonly requestedBy: string },
): Promise<
  { readonly kind: 'planned'; readonly proposal: Proposal } | { readonly kind: 'over'; readonly why: string }
> {
  const { person, before, after, unlink, resetAuthenticator } = roleChangeOf(asked.params);
  const wanted = { ...after, unlink, resetAuthenticator };
  // First, because it also keeps others from changing who is admin.
  const found = await proposeRoleChange(db, { person, wanted, requestedBy: asked.requestedBy });
  const now = await rightsOf(db, person);
  if (!(await siteAdmins(db)).includes(asked.requestedBy)) {
    return { kind: 'over', why: `${asked.requestedBy}, who asked for it, is not an admin of everything any more.` };
  }
  if (!areSameRights(before ?? undefined, now)) {
    const [was, is] = [before ?? undefined, now].map((each) => `${rolesWords(each)}${disabledWord(each)}`);
    return { kind: 'over', why: `What ${person} may do has changed meanwhile: it was ${was}, it is ${is}.` };
  }
  if (found.kind === 'refused') return { kind: 'over', why: found.message };
  if (found.kind === 'planned') return found;
  const why = found.kind === 'alone' ? `Nobody is there to ask any more: ${found.why}.` : `It needs no approval now.`;
  return { kind: 'over', why: `${why} Ask again.` };
}

/** Makes the change. Call it in the transaction that proposed it, after writing down who did it and why. */
export async function applyRoleChange(
  db: Database,
  params: RoleChangeParams,
  by: string,
): Promise<'added' | 'was-there'> {
  const { person, before, after, unlink, resetAuthenticator } = params;
  const outcome = await addPerson(db, person, by);
  if (!areSameRights(before ?? undefined, { ...after, isDisabled: before?.isDisabled ?? false })) {
    await setGrants(db, person, after.grants, by);
  }
  if (after.isDisabled !== (before?.isDisabled ?? false)) await setDisabled(db, person, after.isDisabled);
  if (unlink.length > 0) await unlinkPerson(db, person, unlink);
  if (resetAuthenticator) await removeAuthenticator(db, person);
  return outcome;
}

async function rightsOf(db: Database, person: string): Promise<Rights | undefined> {
  const found = await findPerson(db, person);
  return found && { grants: sortedGrants(found.grants), isDisabled: found.isDisabled };
}

function disabledWord(found: Rights | undefined): string {
  return found?.isDisabled === true ? ' (disabled)' : '';
}

/** Who is admin of everything; until the transaction ends nobody else changes that, or who decides by a tag. */
export async function adminsNow(db: Database): Promise<SiteAdmin[]> {
  const admins: SiteAdmin[] = [];
  for (const name of await activeAdmins(db)) {
    admins.push({ name, hasAuthenticator: (await findAuthenticator(db, name))?.isConfirmed === true });
  }
  return admins;
}

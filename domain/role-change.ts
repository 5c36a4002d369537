import { type Grant, grantWords, type Role, roles } from './access.ts';

/** What a person may do, by what is written down of them. */
export type Rights = { readonly grants: readonly Grant[]; readonly isDisabled: boolean };

/** A change of what a person may do, from what is now to what will be. */
export type RightsChange = {
  readonly person: string;
  /** Undefined: there is no such person yet. */
  readonly before: Rights | undefined;
  readonly after: Rights;
  readonly unlink: readonly string[];
  readonly resetAuthenticator: boolean;
  /** Whether there is one now that would be taken away. */
  readonly hasAuthenticator: boolean;
};

/** A person who is active and admin of everything. */
export type SiteAdmin = { readonly name: string; readonly hasAuthenticator: boolean };

export type RoleChangeFacts = {
  readonly change: RightsChange;
  readonly admins: readonly SiteAdmin[];
  readonly requestedBy: string;
};

export type RoleChangeDecision =
  | { readonly kind: 'refused'; readonly message: string; readonly nextStep: string }
  /** Nobody's approval is needed. */
  | { readonly kind: 'immediate' }
  /** An approval would be needed, and there is nobody to ask; a sentence for the audit trail. */
  | { readonly kind: 'alone'; readonly why: string }
  | {
      readonly kind: 'needs-approval';
      /** Whether somebody becomes admin of everything, or is it no more. */
      readonly isOfSiteAdmin: boolean;
      /** Who could decide now: neither who asks nor whom it is about. */
      readonly deciderCount: number;
      readonly impact: readonly string[];
    };

/**
 * Whether a change of a person needs another admin. It does when it changes who can approve: the roles approver and admin, given, taken,
 * disabled or enabled with their person, and the authenticator of who has one of them. Source: CHAT 5.2
 */
export function decideRoleChange(facts: RoleChangeFacts): RoleChangeDecision {
  const { change, admins, requestedBy } = facts;
  const { person, after } = change;
  if (admins.every(({ name }) => name === person) && !isSiteAdmin(after)) {
    return {
      kind: 'refused',
      message: `${person} is the only admin of this installation, and stays so.`,
      nextStep: 'Make another person admin of everything first.',
    };
  }
  if (!changesWhoApproves(change)) return { kind: 'immediate' };
  const others = otherAdmins(admins, requestedBy);
  if (others.length === 0) return { kind: 'alone', why: aloneWhy };
  const deciders = others.filter(({ name }) => name !== person);
  if (deciders.length === 0) {
    return {
      kind: 'refused',
      message: `Another admin must agree to this, and the only one who could is ${person}, whom it is about.`,
      nextStep: "Do it at the engine's host with `lifeboat person`, or make a third person admin of everything.",
    };
  }
  const isOfSiteAdmin = isSiteAdmin(change.before) !== isSiteAdmin(after);
  return { kind: 'needs-approval', isOfSiteAdmin, deciderCount: deciders.length, impact: impactOf(facts) };
}

/** In the audit trail, when nobody was asked. */
export const aloneWhy = 'nobody else is active, admin of everything and has an authenticator';

/** The admins who could agree to what this one wants. */
export function otherAdmins(admins: readonly SiteAdmin[], requestedBy: string): SiteAdmin[] {
  return admins.filter(({ name, hasAuthenticator }) => hasAuthenticator && name !== requestedBy);
}

/** The person's grants with this role for this scope, in place of the one that is there; undefined takes it away. */
export function withRole(grants: readonly Grant[], scope: Grant['scope'], role: Role | undefined): Grant[] {
  const others = grants.filter((grant) => scopeKey(grant.scope) !== scopeKey(scope));
  return sortedGrants(role === undefined ? others : [...others, { role, scope }]);
}

/** In one order and each once, so that equal rights are equal texts. */
export function sortedGrants(grants: readonly Grant[]): Grant[] {
  const byKey = new Map(grants.map((grant) => [grantKey(grant), grant]));
  return [...byKey].sort(([a], [b]) => (a < b ? -1 : 1)).map(([, grant]) => grant);
}

/** True when nothing was granted or disabled between the two. */
export function areSameRights(a: Rights | undefined, b: Rights | undefined): boolean {
  return a?.isDisabled === b?.isDisabled && keysOf(a?.grants) === keysOf(b?.grants);
}

/** E.g. `operator → approver for vm-7; disabled`; empty when nothing changes. */
export function rightsChangeWords(change: RightsChange): string {
  const { before, after } = change;
  const isDisabledBefore = before?.isDisabled ?? false;
  return [
    ...(keysOf(before?.grants) === keysOf(after.grants) ? [] : [`${rolesWords(before)} → ${rolesWords(after)}`]),
    ...(isDisabledBefore === after.isDisabled ? [] : [after.isDisabled ? 'disabled' : 'enabled']),
    ...(change.unlink.length === 0 ? [] : [`unlinked from ${change.unlink.join(' and ')}`]),
    ...(change.resetAuthenticator ? ['without an authenticator'] : []),
  ].join('; ');
}

/** E.g. `viewer, approver for vm-7`, or `no role`. */
export function rolesWords(rights: Pick<Rights, 'grants'> | undefined): string {
  return (
    sortedGrants(rights?.grants ?? [])
      .map(grantWords)
      .join(', ') || 'no role'
  );
}

function changesWhoApproves({ before, after, resetAuthenticator, hasAuthenticator }: RightsChange): boolean {
  const [had, has] = [decidingKeys(before?.grants), decidingKeys(after.grants)];
  if (had !== has) return true;
  // From here on both are the same; who decides nothing may be disabled and set up anew at once.
  if (has === '') return false;
  return (before?.isDisabled ?? false) !== after.isDisabled || (resetAuthenticator && hasAuthenticator);
}

function impactOf({ change, admins }: RoleChangeFacts): string[] {
  const { person, before, after, resetAuthenticator, hasAuthenticator } = change;
  const [had, has] = [activeDeciding(before), activeDeciding(after)];
  const gained = has.filter((grant) => !had.some((other) => grantKey(other) === grantKey(grant)));
  const lost = had.filter((grant) => !has.some((other) => grantKey(other) === grantKey(grant)));
  const left = admins.map(({ name }) => name).filter((name) => name !== person);
  const adminsAfter = isSiteAdmin(after) ? [...left, person].sort() : left;
  const isNew = before === undefined ? [`${person} is not known here yet, and is added.`] : [];
  return [
    ...isNew,
    ...gained.map((grant) => `${person} will decide about what others ask for, as ${grantWords(grant)}.`),
    ...lost.map((grant) => `${person} decides no more as ${grantWords(grant)}; open votes by it do not count.`),
    ...(resetAuthenticator && hasAuthenticator
      ? [`${person} sets up new six-digit codes: whoever speaks as ${person} first can do that.`]
      : []),
    `Admin of everything after it: ${adminsAfter.join(', ')}.`,
  ];
}

function isSiteAdmin(rights: Rights | undefined): boolean {
  const { grants, isDisabled } = rights ?? { grants: [], isDisabled: false };
  return !isDisabled && grants.some(({ role, scope }) => role === 'admin' && scope.kind === 'everything');
}

/** True for a role with which one decides about what others ask for. */
export function isDeciding({ role }: Pick<Grant, 'role'>): boolean {
  return roles.indexOf(role) >= roles.indexOf('approver');
}

function activeDeciding(rights: Rights | undefined): Grant[] {
  return rights === undefined || rights.isDisabled ? [] : sortedGrants(rights.grants).filter(isDeciding);
}

function decidingKeys(grants: readonly Grant[] | undefined): string {
  return keysOf((grants ?? []).filter(isDeciding));
}

function keysOf(grants: readonly Grant[] | undefined): string {
  return sortedGrants(grants ?? [])
    .map(grantKey)
    .join('\n');
}

/** Everything first, then the scopes by name, the greater role first. */
function grantKey({ role, scope }: Grant): string {
  return `${scopeKey(scope)} ${roles.length - roles.indexOf(role)}`;
}

function scopeKey(scope: Grant['scope']): string {
  switch (scope.kind) {
    case 'everything':
      return '0';
    case 'machine':
      return `1 ${scope.name}`;
    case 'tag':
      return `2 ${scope.tag}`;
    default:
      return scope satisfies never;
  }
}

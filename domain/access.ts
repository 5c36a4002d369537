/** What a person may do; each role includes the ones before it. Source: CHAT 5.1 */
export const roles = ['viewer', 'operator', 'approver', 'admin'] as const;
export type Role = (typeof roles)[number];

/** A role, and on which machines it counts: all of them, one, or those that carry a tag. */
export type Grant = {
  readonly role: Role;
  readonly scope:
    | { readonly kind: 'everything' }
    | { readonly kind: 'machine'; readonly name: string }
    | { readonly kind: 'tag'; readonly tag: string };
};

/** The one table of who may do what. What needs an approval besides is decided in domain/approval.ts. Source: CHAT 5.1, 5.2 */
export const roleNeeded = {
  look: 'viewer',
  audit: 'viewer',
  /** A person's own six-digit codes. */
  authenticator: 'viewer',
  enable: 'operator',
  pause: 'operator',
  resume: 'operator',
  resync: 'operator',
  bookmark: 'operator',
  'test-failover': 'operator',
  cleanup: 'operator',
  /** Asking for it: it runs only when another person has approved. */
  'planned-failover': 'operator',
  withdraw: 'operator',
  ack: 'operator',
  unack: 'operator',
  snooze: 'operator',
  unsnooze: 'operator',
  escalate: 'operator',
  mute: 'operator',
  /** Looking at a break-glass afterwards. */
  review: 'approver',
  threshold: 'admin',
  subscribe: 'admin',
  'on-call': 'admin',
  person: 'admin',
  tag: 'admin',
  'make-token': 'admin',
  'revoke-agent': 'admin',
} as const satisfies Record<string, Role>;

export type AccessRequest = keyof typeof roleNeeded;

/** What concerns the whole installation: a role on some machines is not enough, or it would lead to a role on all of them. */
const concernsEverything: ReadonlySet<AccessRequest> = new Set<AccessRequest>([
  'subscribe',
  'on-call',
  'person',
  /** Who has which role on a machine hangs on its tags. */
  'tag',
  'make-token',
  'revoke-agent',
]);
/** What a scope is compared with. */
export type ScopedMachine = { readonly name: string; readonly tags: readonly string[] };
export type AccessDecision = { readonly kind: 'allowed' } | { readonly kind: 'denied'; readonly message: string };

/**
 * Whether somebody with these grants may do this; a refusal says which role is missing and how to get it.
 *
 * @param machine what it is done to; left out before one is known: then any grant will do, unless it concerns the whole installation;
 *   `everything`: what is about no machine in particular
 */
export function decideAccess(
  grants: readonly Grant[],
  request: AccessRequest,
  machine?: ScopedMachine | 'everything',
): AccessDecision {
  const needed = roleNeeded[request];
  const wanted = concernsEverything.has(request) ? 'everything' : machine;
  const counts = (grant: Grant) =>
    wanted === 'everything' ? grant.scope.kind === 'everything' : covers(grant, wanted);
  if (grants.some((grant) => includesRole(grant.role, needed) && counts(grant))) return { kind: 'allowed' };
  const where = wanted === undefined ? '' : ` for ${wanted === 'everything' ? wanted : wanted.name}`;
  const have = grants.length === 0 ? 'you have no role' : `you are ${grants.map(grantWords).join(', ')}`;
  return {
    kind: 'denied',
    message: `This needs the role ${needed}${where}; ${have}. An admin of this installation can give it to you.`,
  };
}

/** True when the grants give a role on every one of these machines, each by whichever grant. */
export function coversAll(grants: readonly Grant[], role: Role, machines: readonly ScopedMachine[]): boolean {
  const held = grants.filter((grant) => includesRole(grant.role, role));
  return held.length > 0 && machines.every((machine) => held.some((grant) => covers(grant, machine)));
}

/** How people see a grant: `operator`, `operator for vm-7`, `approver for machines tagged web`. */
export function grantWords({ role, scope }: Grant): string {
  switch (scope.kind) {
    case 'everything':
      return role;
    case 'machine':
      return `${role} for ${scope.name}`;
    case 'tag':
      return `${role} for machines tagged ${scope.tag}`;
  }
}

function includesRole(role: Role, needed: Role): boolean {
  return roles.indexOf(role) >= roles.indexOf(needed);
}

function covers({ scope }: Grant, machine: ScopedMachine | undefined): boolean {
  if (machine === undefined || scope.kind === 'everything') return true;
  return scope.kind === 'machine' ? scope.name === machine.name : machine.tags.includes(scope.tag);
}

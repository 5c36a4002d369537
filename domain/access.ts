/** What a person may do; each role includes the ones before it. Source: CHAT 5.1 */
export const roles = ['viewer', 'operator', 'approver', 'admin'] as const;
export type Role = (typeof roles)[number];

export type AccessRequest =
  | 'look'
  | 'enable'
  | 'pause'
  | 'resume'
  | 'resync'
  | 'bookmark'
  | 'test-failover'
  | 'cleanup'
  | 'make-token'
  | 'revoke-agent';

/** The one table of who may do what. None of these needs an approval; those that do come with real failover. Source: CHAT 5.1, 5.2 */
export const roleNeeded = {
  look: 'viewer',
  enable: 'operator',
  pause: 'operator',
  resume: 'operator',
  resync: 'operator',
  bookmark: 'operator',
  'test-failover': 'operator',
  cleanup: 'operator',
  'make-token': 'admin',
  'revoke-agent': 'admin',
} as const satisfies Record<AccessRequest, Role>;

export type AccessDecision = { readonly kind: 'allowed' } | { readonly kind: 'denied'; readonly message: string };

/** Whether somebody with these roles may do this; a refusal says which role is missing and how to get it. */
export function decideAccess(granted: readonly Role[], request: AccessRequest): AccessDecision {
  const needed = roleNeeded[request];
  if (granted.some((role) => roles.indexOf(role) >= roles.indexOf(needed))) return { kind: 'allowed' };
  const have = granted.length === 0 ? 'you have no role' : `you are ${granted.join(', ')}`;
  return {
    kind: 'denied',
    message: `This needs the role ${needed}; ${have}. An admin of this installation can give it to you.`,
  };
}

import { describe, expect, test } from 'vitest';
import {
  type AccessRequest,
  coversAll,
  decideAccess,
  type Grant,
  grantWords,
  type Role,
  roleNeeded,
  roles,
} from '../../domain/access.ts';

const everywhere = (role: Role): Grant => ({ role, scope: { kind: 'everything' } });
const on = (role: Role, name: string): Grant => ({ role, scope: { kind: 'machine', name } });
const tagged = (role: Role, tag: string): Grant => ({ role, scope: { kind: 'tag', tag } });
const machine = (name: string, ...tags: string[]) => ({ name, tags });
const isAllowed = (...request: Parameters<typeof decideAccess>) => decideAccess(...request).kind === 'allowed';

test.each(Object.entries(roleNeeded) as [AccessRequest, Role][])(
  '%s is for the role %s and the roles above it, and for nobody else',
  (request, needed) => {
    const allowed = roles.filter((role) => isAllowed([everywhere(role)], request));
    expect(allowed).toEqual(roles.slice(roles.indexOf(needed)));
    expect(isAllowed([], request)).toBe(false);
  },
);

describe('a role that counts for some machines', () => {
  const held = [on('operator', 'vm-7'), tagged('approver', 'web'), everywhere('viewer')];
  const rows: [AccessRequest, ReturnType<typeof machine>, boolean][] = [
    ['pause', machine('vm-7'), true],
    ['pause', machine('vm-8'), false],
    ['pause', machine('vm-77'), false],
    ['pause', machine('VM-7'), false],
    // An approver is an operator too, where the tag is.
    ['pause', machine('vm-8', 'web'), true],
    ['review', machine('vm-8', 'db', 'web'), true],
    ['review', machine('vm-7'), false],
    // A machine that is called like the tag, and a tag that is called like the machine.
    ['review', machine('web'), false],
    ['pause', machine('vm-8', 'vm-7'), false],
    ['look', machine('vm-9'), true],
    ['tag', machine('vm-7'), false],
  ];
  test.each(rows)('%s on %o: %s', (request, where, expected) => {
    expect(isAllowed(held, request, where)).toBe(expected);
  });

  test('any grant will do as long as no machine is known; none is not enough', () => {
    expect(isAllowed(held, 'review')).toBe(true);
    expect(isAllowed(held, 'person')).toBe(false);
  });

  test('what concerns the whole installation is not for an admin of some machines', () => {
    const small = [on('admin', 'vm-7'), tagged('admin', 'web'), everywhere('approver')];
    const wide = ['person', 'tag', 'on-call', 'subscribe', 'make-token', 'revoke-agent'] as const;
    for (const request of wide) {
      expect([request, isAllowed(small, request)]).toEqual([request, false]);
      expect([request, isAllowed(small, request, machine('vm-7'))]).toEqual([request, false]);
      expect([request, isAllowed([everywhere('admin')], request)]).toEqual([request, true]);
    }
  });

  test('several machines must be covered one by one, by whichever grants', () => {
    const both = [on('approver', 'vm-7'), tagged('admin', 'web')];
    expect(coversAll(both, 'approver', [machine('vm-7'), machine('vm-8', 'web')])).toBe(true);
    expect(coversAll(both, 'approver', [machine('vm-7'), machine('vm-9')])).toBe(false);
    expect(coversAll(both, 'admin', [machine('vm-7')])).toBe(false);
    expect(coversAll([everywhere('viewer')], 'approver', [])).toBe(false);
  });

  test('a refusal says which role is missing where, and what the person has', () => {
    expect(decideAccess(held, 'pause', machine('vm-8'))).toEqual({
      kind: 'denied',
      message:
        'This needs the role operator for vm-8; you are operator for vm-7, approver for machines tagged web, viewer. ' +
        'An admin of this installation can give it to you.',
    });
    expect(decideAccess([], 'look')).toMatchObject({ message: expect.stringContaining('you have no role') });
    expect(grantWords(everywhere('admin'))).toBe('admin');
  });
});

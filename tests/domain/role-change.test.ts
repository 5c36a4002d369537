import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { type Grant, type Role, roles } from '../../domain/access.ts';
import { approvalRule } from '../../domain/approval.ts';
import {
  decideRoleChange,
  type Rights,
  type RightsChange,
  rightsChangeWords,
  type SiteAdmin,
  sortedGrants,
  withRole,
} from '../../domain/role-change.ts';
import { hourMs } from '../../domain/units.ts';

const everything = { kind: 'everything' } as const;
const vm7 = { kind: 'machine', name: 'vm-7' } as const;
const web = { kind: 'tag', tag: 'web' } as const;
const grant = (role: Role, scope: Grant['scope'] = everything): Grant => ({ role, scope });
const rights = (...grants: Grant[]): Rights => ({ grants, isDisabled: false });
const disabled = (...grants: Grant[]): Rights => ({ grants, isDisabled: true });
const change = (before: Rights | undefined, after: Rights, more: Partial<RightsChange> = {}): RightsChange => ({
  person: 'ben',
  before,
  after,
  unlink: [],
  resetAuthenticator: false,
  hasAuthenticator: true,
  ...more,
});
const admins = (...names: string[]): SiteAdmin[] => names.map((name) => ({ name, hasAuthenticator: true }));
const decide = (of: RightsChange, who: readonly SiteAdmin[] = admins('ada', 'eva'), requestedBy = 'ada') =>
  decideRoleChange({ change: of, admins: who, requestedBy });

describe('a change of what a person may do', () => {
  test.each<[string, RightsChange]>([
    ['viewer becomes operator', change(rights(grant('viewer')), rights(grant('operator')))],
    [
      'an approver is operator of one machine besides',
      change(rights(grant('approver')), rights(grant('approver'), grant('operator', vm7))),
    ],
    ['an operator is disabled', change(rights(grant('operator')), disabled(grant('operator')))],
    [
      'an operator sets up new codes',
      change(rights(grant('operator')), rights(grant('operator')), { resetAuthenticator: true }),
    ],
    [
      'an approver without an authenticator sets one up',
      change(rights(grant('approver')), rights(grant('approver')), {
        resetAuthenticator: true,
        hasAuthenticator: false,
      }),
    ],
    [
      'an approver is unlinked from Slack',
      change(rights(grant('approver')), rights(grant('approver')), { unlink: ['slack'] }),
    ],
    [
      'the same rights in another order',
      change(rights(grant('approver'), grant('viewer', vm7)), rights(grant('viewer', vm7), grant('approver'))),
    ],
    ['a new person who may look', change(undefined, rights(grant('viewer')))],
  ])('is immediate: %s', (_what, of) => {
    expect(decide(of)).toEqual({ kind: 'immediate' });
  });

  test.each<[string, RightsChange, boolean]>([
    [
      'an operator becomes approver of one machine',
      change(rights(grant('operator')), rights(grant('operator'), grant('approver', vm7))),
      false,
    ],
    [
      'an approver of one machine becomes one of another',
      change(rights(grant('approver', vm7)), rights(grant('approver', web))),
      false,
    ],
    ['an approver is operator from now on', change(rights(grant('approver')), rights(grant('operator'))), false],
    ['an approver is disabled', change(rights(grant('approver')), disabled(grant('approver'))), false],
    ['a disabled approver is enabled', change(disabled(grant('approver')), rights(grant('approver'))), false],
    ['somebody disabled is approver when they come back', change(disabled(), disabled(grant('approver'))), false],
    [
      'an approver sets up new codes',
      change(rights(grant('approver')), rights(grant('approver')), { resetAuthenticator: true }),
      false,
    ],
    [
      'a disabled approver sets up new codes',
      change(disabled(grant('approver')), disabled(grant('approver')), { resetAuthenticator: true }),
      false,
    ],
    ['an admin of one machine', change(rights(), rights(grant('admin', vm7))), false],
    ['an admin of everything', change(rights(), rights(grant('admin'))), true],
    ['a new person is admin of everything', change(undefined, rights(grant('admin'))), true],
    ['an admin of everything is one of one machine', change(rights(grant('admin')), rights(grant('admin', vm7))), true],
    ['an admin of everything is disabled', change(rights(grant('admin')), disabled(grant('admin'))), true],
  ])('needs another admin: %s', (_what, of, isOfSiteAdmin) => {
    expect(decide(of)).toMatchObject({ kind: 'needs-approval', isOfSiteAdmin, deciderCount: 1 });
  });

  const approver = change(rights(), rights(grant('approver')));
  test('is done alone only when nobody else could be asked, and says why', () => {
    const alone = { kind: 'alone', why: expect.stringContaining('nobody else') };
    expect(decide(approver, admins('ada'))).toEqual(alone);
    expect(decide(approver, [...admins('ada'), { name: 'eva', hasAuthenticator: false }])).toEqual(alone);
    expect(decide(approver, [{ name: 'ada', hasAuthenticator: false }, ...admins('eva')]).kind).toBe('needs-approval');
  });

  test('is refused when the only one who could be asked is the person whom it is about', () => {
    const of = change(rights(grant('admin')), rights(), { person: 'eva' });
    expect(decide(of)).toMatchObject({
      kind: 'refused',
      message: expect.stringContaining('the only one who could is eva'),
    });
    expect(decide(of, admins('ada', 'eva', 'max'))).toMatchObject({ kind: 'needs-approval', deciderCount: 1 });
    expect(decide({ ...of, person: 'ada' })).toMatchObject({ kind: 'needs-approval', deciderCount: 1 });
  });

  test('never takes the last admin away, also not alone', () => {
    for (const after of [rights(), disabled(grant('admin')), rights(grant('admin', vm7))]) {
      const of = change(rights(grant('admin')), after, { person: 'ada' });
      expect(decide(of, admins('ada'))).toMatchObject({
        kind: 'refused',
        message: expect.stringContaining('only admin'),
      });
    }
  });

  test('says who decides afterwards', () => {
    const of = change(rights(grant('approver')), rights(grant('admin')));
    expect(decide(of)).toMatchObject({
      impact: [
        'ben will decide about what others ask for, as admin.',
        'ben decides no more as approver; open votes by it do not count.',
        'Admin of everything after it: ada, ben, eva.',
      ],
    });
  });
});

describe('how many must agree', () => {
  test.each([
    [false, 5, 1],
    [true, 1, 1],
    [true, 2, 2],
    [true, 5, 2],
  ])('of admin of everything: %s, %i who could: %i', (isOfSiteAdmin, deciderCount, neededCount) => {
    expect(approvalRule('change-approvers', [], { isOfSiteAdmin, deciderCount })).toEqual({
      ...{ role: 'admin', neededCount, openForMs: 24 * hourMs },
    });
  });
});

describe('one role', () => {
  test('takes the place of the one for the same scope; others stay', () => {
    const before = [grant('operator'), grant('viewer', vm7), grant('approver', web)];
    expect(withRole(before, vm7, 'approver')).toEqual([
      grant('operator'),
      grant('approver', vm7),
      grant('approver', web),
    ]);
    expect(withRole(before, everything, undefined)).toEqual([grant('viewer', vm7), grant('approver', web)]);
    expect(withRole([], web, 'admin')).toEqual([grant('admin', web)]);
  });

  test('is said as before → after', () => {
    expect(
      rightsChangeWords(change(rights(grant('operator')), rights(grant('approver', vm7), grant('operator')))),
    ).toBe('operator → operator, approver for vm-7');
    expect(rightsChangeWords(change(undefined, rights(grant('viewer'))))).toBe('no role → viewer');
    expect(
      rightsChangeWords(change(rights(), disabled(), { unlink: ['slack', 'teams'], resetAuthenticator: true })),
    ).toBe('disabled; unlinked from slack and teams; without an authenticator');
  });
});

const grantArbitrary: fc.Arbitrary<Grant> = fc.record({
  role: fc.constantFrom(...roles),
  scope: fc.constantFrom<Grant['scope']>(everything, vm7, { kind: 'machine', name: 'vm-8' }, web),
});
const rightsArbitrary = fc.record({ grants: fc.array(grantArbitrary, { maxLength: 5 }), isDisabled: fc.boolean() });

describe('whatever changes', () => {
  test('who may decide about something, and where, is the same after an immediate change', () => {
    const decidingWhere = ({ grants, isDisabled }: Rights) =>
      isDisabled ? [] : sortedGrants(grants).filter(({ role }) => role === 'approver' || role === 'admin');
    fc.assert(
      fc.property(rightsArbitrary, rightsArbitrary, (before, after) => {
        const decision = decide(change(before, after));
        if (decision.kind === 'immediate') expect(decidingWhere(after)).toEqual(decidingWhere(before));
      }),
    );
  });

  test('the order in which rights are written down does not matter', () => {
    fc.assert(
      fc.property(fc.array(grantArbitrary), (grants) => {
        expect(sortedGrants([...grants].reverse())).toEqual(sortedGrants(grants));
      }),
    );
  });
});

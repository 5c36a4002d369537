import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import type { SiteAdmin } from '../../domain/role-change.ts';
import { type DecidingTagGrant, decideTagChange, decidingTags, tagChangeWords } from '../../domain/tag-change.ts';

const admins = (...names: string[]): SiteAdmin[] => names.map((name) => ({ name, hasAuthenticator: true }));
const tess: DecidingTagGrant = { person: 'tess', role: 'approver', tag: 'web' };
const decide = (before: string[], after: string[], who: readonly SiteAdmin[] = admins('ada', 'eva')) =>
  decideTagChange({ change: { machineName: 'vm-7', before, after }, grants: [tess], admins: who, requestedBy: 'ada' });

describe('a change of tags', () => {
  test.each<[string, string[], string[]]>([
    ['by which nobody decides', ['web'], ['web', 'wave:2']],
    ['that makes two approvals necessary', [], ['tier:0']],
    ['that is none', ['tier:0', 'web'], ['tier:0', 'web']],
  ])('%s is made at once', (_name, before, after) => {
    expect(decide(before, after)).toEqual({ kind: 'immediate' });
  });

  test.each<[string, string[], string[], string]>([
    ['takes tier:0 away', ['tier:0'], [], 'One approval is enough for a planned failover of vm-7 from then on'],
    ['makes somebody approver', [], ['web'], 'tess will decide about vm-7, as approver for machines tagged web.'],
    ['makes somebody no approver', ['web'], [], 'tess decides no more about vm-7'],
  ])('that %s needs another admin, who reads what it does', (_name, before, after, words) => {
    const decision = decide(before, after);
    expect(decision).toMatchObject({ kind: 'needs-approval', deciderCount: 1 });
    expect(decision.kind === 'needs-approval' && decision.impact.join(' ')).toContain(words);
    expect(decide(before, after, admins('ada'))).toMatchObject({ kind: 'alone' });
    expect(decide(before, after, [...admins('ada'), { name: 'eva', hasAuthenticator: false }]).kind).toBe('alone');
  });

  test('never changes at once who decides, or that two must, whatever the tags are', () => {
    const tags = fc.uniqueArray(fc.constantFrom('web', 'tier:0', 'db', 'wave:2')).map((some) => some.sort());
    const grants = fc.array(fc.record({ person: fc.constantFrom('tess', 'ben'), tag: fc.constantFrom('web', 'db') }));
    fc.assert(
      fc.property(tags, tags, grants, (before, after, some) => {
        const held = some.map((one) => ({ ...one, role: 'approver' as const }));
        const change = { machineName: 'vm-7', before, after };
        const decision = decideTagChange({ change, grants: held, admins: admins('ada', 'eva'), requestedBy: 'ada' });
        const isSame = decidingTags(before, held).join() === decidingTags(after, held).join();
        const isWeaker = before.includes('tier:0') && !after.includes('tier:0');
        expect(decision.kind).toBe(isSame && !isWeaker ? 'immediate' : 'needs-approval');
      }),
    );
  });

  test('is said in a few words', () => {
    expect(tagChangeWords({ before: [], after: ['tier:0', 'web'] })).toBe('no tags → tier:0, web');
  });
});

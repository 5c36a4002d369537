import { sql } from 'drizzle-orm';
import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { decideVote } from '../../../domain/approval.ts';
import type { Store } from '../../../engine/store/open.ts';
import { startTestPostgres, type TestPostgres } from '../../fixtures/postgres.ts';
import { type Action, actionArbitrary, playAgainstModel } from './approval-model.ts';
import { approvalSite } from './approval-site.ts';

let postgres: TestPostgres;

beforeAll(async () => {
  postgres = await startTestPostgres();
});
afterAll(() => postgres.stop());

/** Persons are the same ones in every sequence, so sequences at the same time need databases of their own: one waits while another computes. */
const siteCount = 4;
const sequencesPerSite = 50;
const timeMsMax = 20_000;

test('whatever people, time and the world do in any order, the store does what the model says', async () => {
  const sites = Array.from({ length: siteCount }, async () => approvalSite(await postgres.freshStore()));
  const sequences = fc.array(actionArbitrary, { minLength: 4, maxLength: 24, size: 'max' });
  let count = 0;
  const endMs = performance.now() + timeMsMax;
  const outcomes = await Promise.all(
    sites.map(async (making) => {
      const site = await making;
      const property = fc.asyncProperty(fc.boolean(), sequences, async (isFirstTier, actions) => {
        // A machine that is busy with other things plays fewer of them; one that has begun is played to its end.
        if (performance.now() > endMs) return;
        count += 1;
        await playAgainstModel(site, isFirstTier, actions);
      });
      const outcome = await fc.check(property, { numRuns: sequencesPerSite, endOnFailure: true });
      return outcome.failed ? fc.defaultReportMessage(outcome) : 'as the model says';
    }),
  );
  expect(outcomes).toEqual(Array(siteCount).fill('as the model says'));
  console.info(`${count} sequences of actions`);
});

type Rules = typeof decideVote;
const ask: Action = { kind: 'request', person: 'ana', reason: 'power' };
const click = (person: 'ana' | 'ben' | 'carla', more: Partial<Extract<Action, { kind: 'vote' }>> = {}): Action => ({
  ...{ kind: 'vote', person, decision: 'approve', ago: 0, via: 'slack', isCodeGood: true, digest: 'seen' },
  ...more,
});
const noRole: Action = { kind: 'role', person: 'ben', role: 'operator' };

/**
 * Mistakes that somebody could make, each with a short sequence of the same actions that shows it. The database’s
 * own guards are taken away, so that the model must notice alone.
 */
const plantedBugs: [string, readonly Action[], Rules][] = [
  [
    'self-approval',
    [ask, click('ana')],
    (facts, vote) => decideVote({ ...facts, approval: { ...facts.approval, requestedBy: '' } }, vote),
  ],
  [
    'no look at the digest',
    [ask, { kind: 'plan changes' }, click('ben')],
    (facts, vote) => {
      const { digest } = facts.approval;
      return decideVote({ ...facts, proposal: { kind: 'planned', digest, changes: [] } }, vote);
    },
  ],
  [
    'no expiry',
    [ask, { kind: 'time passes' }, click('ben')],
    (facts, vote) => decideVote({ ...facts, nowMs: 0 }, vote),
  ],
  [
    'no look at the role of now',
    [ask, noRole, click('ben')],
    (facts, vote) => decideVote({ ...facts, eligible: [...facts.eligible, vote.person] }, vote),
  ],
  [
    'no look at the role of who asked',
    [ask, { kind: 'role', person: 'ana', role: 'viewer' }, click('ben')],
    (facts, vote) => decideVote({ ...facts, mayRequesterAsk: true }, vote),
  ],
  [
    'votes counted by link, not by person',
    [{ kind: 'tag changes' }, ask, click('ben'), click('ben', { via: 'teams' })],
    (facts, vote) => {
      const byLink = `${vote.person} by another way`;
      return decideVote({ ...facts, eligible: [...facts.eligible, byLink] }, { ...vote, person: byLink });
    },
  ],
  [
    'no step-up',
    [ask, click('ben', { isCodeGood: false })],
    (facts, vote) => decideVote(facts, { ...vote, stepUp: 'proven' }),
  ],
  [
    'a stale button counts',
    [ask, click('ben', { digest: 'forged' })],
    (facts, vote) => decideVote(facts, { ...vote, seen: { revision: undefined, digest8: undefined } }),
  ],
  [
    'a rejection does not close it',
    [ask, click('ben', { decision: 'reject' }), click('carla')],
    (facts, vote) => (vote.decision === 'reject' ? { kind: 'counted', missingCount: 1 } : decideVote(facts, vote)),
  ],
];

describe('the model notices', () => {
  let unguarded: Store;
  beforeAll(async () => {
    unguarded = await postgres.freshStore();
    await unguarded.write(async (db) => {
      for (const table of ['approvals', 'approval_votes', 'runs']) {
        await db.execute(sql.raw(`alter table ${table} disable trigger user`));
      }
    });
  });
  test.each(plantedBugs)('%s', async (_name, actions, rules) => {
    const wrong = await approvalSite(unguarded, { decideVote: rules });
    await expect(playAgainstModel(wrong, false, actions)).rejects.toThrow(/should be|only when approved/);
    const right = await approvalSite(unguarded);
    await playAgainstModel(right, false, actions);
  });
});

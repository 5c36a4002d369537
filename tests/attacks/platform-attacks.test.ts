import { sql } from 'drizzle-orm';
import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { approvalCard } from '../../bot/conversation/approval-cards.ts';
import { auditCard, auditCsv } from '../../bot/conversation/audit-cards.ts';
import { renderCard } from '../../bot/terminal/render-card.ts';
import { changeTags } from '../../engine/store/machine-tags.ts';
import { chatRoutes } from '../../protocol/chat-api.ts';
import { routes } from '../../protocol/control-api.ts';
import { auditAnswer } from '../../protocol/people-api.ts';
import { startTestPostgres, type TestPostgres } from '../fixtures/postgres.ts';
import { type Attack, tryAttack } from './attack.ts';
import { type Move, moveArbitrary, playMoves } from './attack-sequences.ts';
import { type AttackSite, startAttackSite } from './attack-site.ts';
import { csvCells, hiddenIn, hostileTexts, slackMarkupIn, slackTextMarkup, teamsMarkupIn } from './injection.ts';
import { type PlatformSite, startPlatformSite } from './platform-site.ts';
import { type PlatformAttack, slackAttacks } from './slack-attacks.ts';
import { teamsAttacks } from './teams-attacks.ts';
import { approvalIn } from './voice.ts';

let postgres: TestPostgres;
let platform: PlatformSite;
beforeAll(async () => {
  postgres = await startTestPostgres();
  platform = await startPlatformSite(await postgres.freshStore());
});
afterAll(async () => {
  // Stopped also when the site did not come as far as being there.
  await Promise.allSettled([Promise.resolve().then(() => platform.stop())]);
  await postgres.stop();
});

function atTheDoor(attack: PlatformAttack, at: PlatformSite): Attack {
  return {
    ...attack,
    attack: async (scene) => {
      const words = await attack.attack(scene, at);
      return { status: 0, kind: 'chat', words, answer: undefined, by: { who: attack.by, via: undefined } };
    },
  };
}

describe.each([
  ['Slack', slackAttacks],
  ['Teams', teamsAttacks],
] as const)('through %s', (_platform, attacks) => {
  test.each(attacks.map((attack) => [attack.name, attack] as const))('%s', async (_name, attack) => {
    expect(await tryAttack(platform.site, atTheDoor(attack, platform))).toEqual([]);
  });
});

describe('what somebody wrote', () => {
  /** A request and votes with these words, by somebody who is called so, shown on every surface. */
  async function shownEverywhere(hostile: string) {
    const { site, workspace, slackSays, teamsSays, client } = platform;
    const machine = await site.reset();
    const [ana, ben] = [await site.person('ana'), await site.person('ben')];
    await site.store.write((db) =>
      changeTags(db, { machineName: machine.name, add: ['tier:0'], remove: [], by: 'ada' }),
    );
    const asked = approvalIn(await ana.slack.request(machine.name, { reason: hostile }));
    await ben.slack.approve(asked, { reason: hostile });
    const stranger = await site.inChat('U9EVIL', { displayName: hostile.slice(0, 100) });
    await stranger.post(routes.pause, { machine: hostile, forMs: 60_000, reason: hostile });
    const before = workspace.messages().length;
    const isShown = new RegExp(`${asked.id} · revision`);
    await slackSays('vera', () => workspace.as('vera').types('#dr', `/dr show ${asked.id}`), isShown);
    const inSlack = workspace
      .messages()
      .slice(before)
      .filter(({ isDeed }) => !isDeed);
    const teamsBefore = platform.team.connector.conversations.all.length;
    await teamsSays(() => client('vera').says(`show ${asked.id}`));
    const inTeams = platform.team.connector.conversations.all.slice(teamsBefore).filter(({ by }) => by === 'bot');
    const { answer } = await site
      .withCertificate({ kind: 'person', name: 'vera' })
      .then((vera) => vera.get(chatRoutes.audit));
    return { asked, inSlack, inTeams, audit: auditAnswer.parse(answer) };
  }

  test.each(hostileTexts)('%j is shown letter by letter, on every surface', async (hostile) => {
    const { asked, inSlack, inTeams, audit } = await shownEverywhere(hostile);
    expect(inSlack.flatMap(({ blocks }) => slackMarkupIn(blocks))).toEqual([]);
    expect(inSlack.flatMap(({ text }) => slackTextMarkup(text))).toEqual([]);
    const cards = inTeams.map(({ content }) => ('card' in content ? content.card : content));
    expect(cards.flatMap(teamsMarkupIn)).toEqual([]);
    // The words themselves are there: what was refused or left out would hide an attempt.
    const [word = ''] = /[a-z]{4,}/.exec(hostile) ?? [];
    expect(JSON.stringify(inSlack.map(({ blocks }) => blocks))).toContain(word);
    expect(JSON.stringify(cards)).toContain(word);
    const view = { widthColumns: 80, isColored: false, commandPrefix: 'dr ' };
    const terminal = [
      renderCard(auditCard(audit, asked.id, Date.now()), view),
      renderCard(approvalCard(asked, Date.now()), view),
    ];
    expect(hiddenIn(terminal)).toEqual([]);
    const csv = auditCsv(audit);
    expect(csv).toContain('pause denied');
    expect(csvCells(csv).filter((cell) => /^[=+@\t\r]|^-(?!$)/.test(cell))).toEqual([]);
    expect(audit.isChainWhole).toBe(true);
  });

  test('a planted mark is seen in each of them', () => {
    expect(slackMarkupIn([{ type: 'section', text: { type: 'mrkdwn', text: '<!channel>' } }])).not.toEqual([]);
    expect(slackTextMarkup('<!channel> now')).not.toEqual([]);
    expect(teamsMarkupIn({ body: [{ type: 'TextBlock', text: '[x](http://evil)' }] })).not.toEqual([]);
    expect(hiddenIn('a\u202eb')).not.toEqual([]);
    expect(csvCells('a,"=cmd|x"\r\n+1')).toEqual(['a', '=cmd|x', '+1']);
  });

  test('10 kB of it are refused, and a name of 10 kB is cut before it comes so far', async () => {
    const { site, workspace, slackSays } = platform;
    const { name } = await site.reset();
    const heard = await (await site.person('ana')).slack.request(name, { reason: 'x'.repeat(10_000) });
    expect(heard).toMatchObject({ status: 422, kind: 'bad-request' });
    const long = workspace.addUser(`Z${'z'.repeat(10_000)}`);
    workspace.addChannel('long', [`Z${'z'.repeat(10_000)}`, 'Lifeboat']);
    const said = await slackSays(
      `Z${'z'.repeat(10_000)}`,
      () => long.types('#long', '/dr cleanup vm-1'),
      /linked to no person/,
    );
    expect(said.length).toBeLessThan(30_000);
  });
});

describe('whatever three persons on two surfaces try in any order', () => {
  const timeMsMax = 20_000;
  /** One engine waits while another computes; persons are the same ones in every sequence, so each has its own. */
  const siteCount = 4;
  const sequencesPerSite = 50;
  const runCount = async ({ store }: AttackSite = platform.site) =>
    (await store.read((db) => db.execute(sql`select 1 from runs`))).rows.length;
  const ask: Move = { kind: 'ask', person: 'ana', way: 'slack', reason: 'power' };
  const sequences = fc.array(moveArbitrary, { minLength: 2, maxLength: 7, size: 'max' });

  async function playMany(site: AttackSite, seed: number, endMs: number) {
    const before = await runCount(site);
    let count = 0;
    const property = fc.asyncProperty(sequences, async (moves) => {
      // A machine that is busy with other things plays fewer of them; one that has begun is played to its end.
      if (performance.now() > endMs) return;
      count += 1;
      await playMoves(site, [ask, ...moves]);
    });
    const outcome = await fc.check(property, { seed, numRuns: sequencesPerSite, endOnFailure: true });
    const why = `${outcome.errorInstance}\n${fc.defaultReportMessage(outcome)}`;
    expect(outcome.failed ? why : 'as the model says').toBe('as the model says');
    return { count, runs: (await runCount(site)) - before };
  }

  test('the engine does what the model says', async () => {
    const making = Array.from({ length: siteCount - 1 }, async () => startAttackSite(await postgres.freshStore()));
    const more = await Promise.all(making);
    const endMs = performance.now() + timeMsMax;
    const all = [platform.site, ...more];
    // Each to its end, also when another has found something: the next test uses the site again.
    const ends = await Promise.allSettled(all.map((site, index) => playMany(site, 20_261_122 + index, endMs)));
    await Promise.all(more.map((site) => site.stop()));
    const played = ends.map((end) => {
      if (end.status === 'rejected') throw end.reason;
      return end.value;
    });
    const count = played.reduce((sum, one) => sum + one.count, 0);
    const runs = played.reduce((sum, one) => sum + one.runs, 0);
    console.info(`${count} sequences of moves, ${runs} approved runs`);
  });

  test('and what is approved properly runs', async () => {
    const asks: Move = { kind: 'ask', person: 'ana', way: 'slack', reason: 'power' };
    const vote = { kind: 'vote', decision: 'approve', ago: 0, code: 'right', button: 'seen' } as const;
    const before = await runCount();
    await playMoves(platform.site, [asks, { ...vote, person: 'ben', way: 'teams' }]);
    await playMoves(platform.site, [
      { kind: 'tier' },
      asks,
      { ...vote, person: 'ben', way: 'teams' },
      { ...vote, person: 'carla', way: 'certificate' },
    ]);
    expect((await runCount()) - before).toBe(2);
  });

  test('a model that forgets who asked is told apart from the engine', async () => {
    const moves: readonly Move[] = [
      { kind: 'ask', person: 'ana', way: 'slack', reason: 'power' },
      { kind: 'vote', person: 'ana', way: 'teams', decision: 'approve', ago: 0, code: 'right', button: 'seen' },
    ];
    await playMoves(platform.site, moves);
    await expect(playMoves(platform.site, moves, { isOwnVoteGood: true })).rejects.toThrow(/should be done: true/);
  });
});

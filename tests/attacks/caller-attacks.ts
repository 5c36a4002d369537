import { actorHeader, chatRoutes } from '../../protocol/chat-api.ts';
import { routes } from '../../protocol/control-api.ts';
import type { Attack, Scene } from './attack.ts';
import { slackTenant, slackUserOf, teamsTenant, teamsUserOf } from './attack-site.ts';
import { buttonOf, type Heard, type Voice } from './voice.ts';

type Approver = (scene: Scene) => Promise<Voice>;
const approves =
  (voice: Approver): Attack['attack'] =>
  async (scene) =>
    (await voice(scene)).approve(await scene.pending());
const header = (actor: unknown) => ({ [actorHeader]: encodeURIComponent(JSON.stringify(actor)) });
const benInSlack = { surface: 'slack', tenant: slackTenant, user: slackUserOf('ben'), kind: 'member' };
const bot = { kind: 'bot', name: 'bot-1' } as const;

/** Somebody in chat who is not who they would have to be. Each of them is linked, or calls themselves like an approver. */
export const strangers: readonly Attack[] = [
  ...(
    [
      ['guest', 'a guest who is linked to an approver', /Guests of this workspace/],
      ['external', 'somebody of another company (Slack Connect) who is linked to an approver', /another organisation/],
      ['bot', 'a workflow that is linked to an approver', /only people decide/],
    ] as const
  ).map(
    ([kind, name, hears]): Attack => ({
      name,
      hears,
      attack: approves(async ({ site, person }) => {
        await site.link('ben', 'slack', slackTenant, `U9${kind}`);
        const voice = await site.inChat(`U9${kind}`, { kind, displayName: 'B.' }, (await person('ben')).code);
        return { ...voice, origin: { who: undefined, via: `slack:${slackTenant}:U9${kind}` } };
      }),
    }),
  ),
  {
    name: 'somebody in chat who is linked to nobody, and is called like an approver',
    hears: /linked to no person/,
    attack: approves(async ({ site, person }) =>
      site.inChat('U9MALLORY', { displayName: 'ben' }, (await person('ben')).code),
    ),
  },
  {
    name: 'the same user id in another Slack workspace',
    hears: /linked to no person/,
    attack: approves(async ({ site, person }) =>
      anonymousIn(
        await site.inChat(slackUserOf('ben'), { tenant: 'T2' }, (await person('ben')).code),
        'slack:T2:U-ben',
      ),
    ),
  },
  {
    name: 'the Slack user id of an approver, said to be of Teams',
    hears: /linked to no person/,
    attack: approves(async ({ site, person }) =>
      anonymousIn(
        await site.inChat(slackUserOf('ben'), { surface: 'teams' }, (await person('ben')).code),
        `teams:${teamsTenant}:U-ben`,
      ),
    ),
  },
  {
    name: 'the same user id in another Teams tenant',
    hears: /linked to no person/,
    attack: approves(async ({ site, person }) =>
      anonymousIn(
        await site.inChat(
          teamsUserOf('ben'),
          { surface: 'teams', tenant: '99999999-0000-4000-8000-000000000000' },
          (await person('ben')).code,
        ),
        'teams:99999999-0000-4000-8000-000000000000:aad-ben',
      ),
    ),
  },
  {
    name: 'a user id with an invisible mark in it',
    hears: /linked to no person/,
    attack: approves(async ({ site, person }) =>
      anonymousIn(await site.inChat('U-ben\u200b', {}, (await person('ben')).code), `slack:${slackTenant}:U-ben\u200b`),
    ),
  },
  {
    name: 'a user id in other letters',
    hears: /linked to no person/,
    attack: approves(async ({ site, person }) =>
      anonymousIn(await site.inChat('u-BEN', {}, (await person('ben')).code), `slack:${slackTenant}:u-BEN`),
    ),
  },
  {
    name: 'the display name of an approver instead of their user id',
    hears: /linked to no person/,
    attack: approves(async ({ site }) => anonymousIn(await site.inChat('ben'), `slack:${slackTenant}:ben`)),
  },
];

function anonymousIn(voice: Voice, via: string): Voice {
  return withOrigin(voice, { who: undefined, via });
}

function withOrigin(voice: Voice, origin: Voice['origin']): Voice {
  const heardBy = async (heard: Promise<Heard>) => ({ ...(await heard), by: origin });
  return { ...voice, origin, approve: (...order) => heardBy(voice.approve(...order)) };
}

/** Certificates and headers that do not belong together. */
export const forgedCallers: readonly Attack[] = [
  {
    name: 'a person’s certificate with the header of a bot: the one who asked speaks for ben',
    hears: /Only a bot speaks for others/,
    attack: approves(({ site }) => site.withCertificate({ kind: 'person', name: 'ana' }, header(benInSlack))),
  },
  {
    name: 'a bot that does not say for whom it speaks',
    hears: /says for whom/,
    attack: approves(({ site }) => site.withCertificate(bot)),
  },
  {
    name: 'a bot that invents a vote of ben without his telephone',
    hears: /six-digit code is wrong/,
    attack: approves(async ({ site }) => {
      const voice = await site.inChat(slackUserOf('ben'));
      return withOrigin(voice, { who: 'ben', via: `slack:${slackTenant}:U-ben` });
    }),
  },
  {
    name: 'a bot of Slack that speaks for somebody of Teams, without their telephone',
    hears: /six-digit code/,
    attack: async ({ site, pending }) => {
      const voice = await site.inChat(teamsUserOf('ben'), { surface: 'teams' });
      return voice.post(chatRoutes.approve, buttonOf(await pending()));
    },
  },
  ...(
    [
      ['a surface that there is not', { ...benInSlack, surface: 'certificate' }],
      ['a kind that there is not', { ...benInSlack, kind: 'owner' }],
      ['no tenant', { ...benInSlack, tenant: '' }],
      ['a list of two actors', [benInSlack, benInSlack]],
      ['a user that is an object', { ...benInSlack, user: { toString: 'U-ben' } }],
      ['a name of 10 kB', { ...benInSlack, displayName: 'x'.repeat(10_000) }],
      ['nothing', null],
    ] as const
  ).map(
    ([what, actor]): Attack => ({
      name: `a bot’s header with ${what}`,
      hears: /not understood|Header/,
      attack: approves(({ site }) => site.withCertificate(bot, header(actor))),
    }),
  ),
  {
    name: 'a bot’s header with a second prototype of an actor in it',
    hears: /linked to no person/,
    attack: approves(async ({ site }) => {
      const text = `{"surface":"slack","tenant":"T1","user":"U9","kind":"member","__proto__":{"user":"U-ben"}}`;
      const voice = await site.withCertificate(bot, { [actorHeader]: encodeURIComponent(text) });
      return withOrigin(voice, { who: undefined, via: 'slack:T1:U9' });
    }),
  },
  {
    name: 'a bot’s header that is no percent-encoding',
    hears: /not understood/,
    attack: approves(({ site }) => site.withCertificate(bot, { [actorHeader]: '%E0%A4%A' })),
  },
  ...(
    [
      [{ kind: 'agent', agentId: 'agt_0000000001' }, 'an agent'],
      [{ kind: 'process-server', name: 'ben' }, 'a process server called ben'],
      [{ kind: 'engine', name: 'ben' }, 'an engine called ben'],
    ] as const
  ).map(
    ([identity, who]): Attack => ({
      name: `the certificate of ${who}`,
      hears: /This is for people/,
      attack: approves(({ site }) => site.withCertificate(identity as Parameters<typeof site.withCertificate>[0])),
    }),
  ),
  {
    name: 'a person’s certificate of nobody here',
    hears: /no person mallory/,
    attack: approves(({ site }) => site.withCertificate({ kind: 'person', name: 'mallory' })),
  },
  {
    name: 'a person’s certificate of another spelling',
    hears: /no person Ben/,
    attack: approves(({ site }) => site.withCertificate({ kind: 'person', name: 'Ben' })),
  },
  {
    name: 'no certificate',
    hears: /needs a client certificate/,
    attack: approves(async ({ site }) => site.anonymous()),
    trail: 'unknown',
  },
  {
    name: 'a bot asks the engine for what only people may see, in its own name',
    hears: /says for whom/,
    attack: async ({ site }) => (await site.withCertificate(bot)).get(routes.machines),
    trail: 'unknown',
  },
  ...[chatRoutes.claim, chatRoutes.follow, chatRoutes.places, chatRoutes.surfaceReport, chatRoutes.credentials].map(
    (url): Attack => ({
      name: `a person at the bots’ door ${url}`,
      hears: /This is for bots/,
      attack: async ({ person }) => (await person('ada')).certificate.post(url, {}),
      trail: 'unknown',
    }),
  ),
];

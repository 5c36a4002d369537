import { createEngineClient } from '../../bot/engine-client.ts';
import { type SlackBot, type SlackOptions, startSlack } from '../../bot/slack/start-slack.ts';
import { startTeams, type Teams } from '../../bot/teams/start-teams.ts';
import { type SlackWorkspace, startSlackWorkspace } from '../../demo/slack-workspace/workspace.ts';
import type { Client } from '../../demo/teams-connector/people.ts';
import { startTeam, type Team, textOfMessage } from '../../demo/teams-connector/team.ts';
import type { Store } from '../../engine/store/open.ts';
import { type AttackSite, type PersonName, startAttackSite } from './attack-site.ts';

/** The same engine, and in front of it the bots, each at a platform that is as strict as the real one. */
export type PlatformSite = {
  readonly site: AttackSite;
  readonly workspace: SlackWorkspace;
  readonly slackUrl: string;
  readonly team: Team;
  readonly teams: Teams;
  /** In Slack, what is said to this person and what all can read from now on until it matches; with the dialog that is open. */
  readonly slackSays: (name: string, act: () => Promise<unknown>, expected: RegExp) => Promise<string>;
  /** In Teams, everything that the bot says because of it. */
  readonly teamsSays: (act: () => Promise<unknown>) => Promise<string>;
  readonly client: (name: string) => Client;
  /** Another bot on the same engine, e.g. one whose configuration lets another workspace in. */
  readonly otherSlackBot: (options: Partial<SlackOptions>) => Promise<{ readonly url: string }>;
  readonly stop: () => Promise<void>;
};

const members = ['ana', 'ben', 'carla', 'vera', 'ada'] as const satisfies readonly PersonName[];

export async function startPlatformSite(store: Store): Promise<PlatformSite> {
  const site = await startAttackSite(store);
  const authority = site.api.deps.certificateAuthority;
  const key = await authority.issueKeyPair({ kind: 'bot', name: 'bot-1' }, { nowMs: Date.now() });
  const engine = createEngineClient({
    ...{ engineUrl: site.api.url, name: 'bot-1', certificate: key.certificate, key: key.privateKey },
    certificateAuthority: authority.certificate,
  });
  const log = { info: () => undefined, warn: () => undefined };
  // Slack’s clock stands still: a busy machine makes no trigger too old.
  const startedAtMs = Date.now();
  const nowMs = () => startedAtMs;
  const workspace = await startSlackWorkspace({ nowMs, acknowledgeMsMax: 30_000, isLimitingRates: false });
  const bots: SlackBot[] = [];
  const openBot = async (more: Partial<SlackOptions> = {}) => {
    const { signingSecret, botToken, apiUrl } = workspace;
    const transport = { kind: 'http', signingSecret, host: '127.0.0.1', port: 0 } as const;
    const bot = await startSlack({ botToken, apiUrl, transport, ...more }, { engine, nowMs, log });
    bots.push(bot);
    return { url: `http://127.0.0.1:${bot.port}/slack/events` };
  };
  const { url: slackUrl } = await openBot();
  workspace.useHttp(slackUrl);
  const team = await startTeam({ isThrottling: false });
  const ending = new AbortController();
  const teamsDeps = { engine, nowMs: Date.now, log, signal: ending.signal, random: () => 0.5, retryPauseMs: 5 };
  const teams = await startTeams({ ...teamsDeps, settings: team.settings });
  team.connect(teams.url);
  await linkEverybody(site, workspace, team);
  return {
    ...{ site, workspace, slackUrl, team, teams, otherSlackBot: openBot },
    slackSays: (name, act, expected) => slackSays(workspace, { name, act, expected }),
    teamsSays: async (act) => {
      const { all } = team.connector.conversations;
      const before = all.length;
      await act();
      await teams.idle();
      return all
        .slice(before)
        .filter((message) => message.by === 'bot')
        .map(textOfMessage)
        .join('\n');
    },
    client: (name) => team.as(name),
    stop: async () => {
      ending.abort();
      await teams.close();
      await Promise.all(bots.map((bot) => bot.close()));
      await Promise.all([team.close(), workspace.close(), engine.close()]);
      await site.stop();
    },
  };
}

/** The strangers are linked to ben, so that nothing but what they are stands in their way. */
async function linkEverybody(site: AttackSite, workspace: SlackWorkspace, team: Team): Promise<void> {
  const slackUsers = [
    ...members.map((name) => [name, workspace.addUser(name)] as const),
    ['ben', workspace.addUser('gus', 'guest')] as const,
    ['ben', workspace.addUser('eve', 'external')] as const,
    ['ben', workspace.addUser('robo', 'bot')] as const,
  ];
  for (const [name, { id }] of slackUsers) await site.link(name, 'slack', workspace.teamId, id);
  workspace.addUser('mallory');
  workspace.addChannel('dr', [...members, 'gus', 'eve', 'robo', 'mallory', 'Lifeboat']);
  const { tenantId } = team.connector;
  const teamsUsers = [
    ...members.map((name) => [name, team.as(name)] as const),
    ['ben', team.as('gus', { userRole: 'guest' })] as const,
    ['ben', team.as('anon', { userRole: 'anonymous' })] as const,
    ['ben', team.as('eve', { tenantId: '99999999-0000-4000-8000-000000000000' })] as const,
  ];
  for (const [name, { person }] of teamsUsers) await site.link(name, 'teams', tenantId, person.aadObjectId ?? '');
  team.as('mallory');
}

async function slackSays(
  workspace: SlackWorkspace,
  turn: { readonly name: string; readonly act: () => Promise<unknown>; readonly expected: RegExp },
): Promise<string> {
  const person = workspace.as(turn.name);
  while (person.modal() !== undefined) person.closesModal();
  const before = workspace.messages().length;
  await turn.act();
  const said = () =>
    [
      ...workspace
        .messages()
        .slice(before)
        .filter((message) => !message.isDeed)
        .map(workspace.tell),
      person.modal() ?? '',
    ].join('\n');
  await workspace.until(`${turn.name} hears ${turn.expected}`, () => turn.expected.test(said()), 15_000);
  return said();
}

import type { TokenClaims } from '../../demo/teams-connector/issuer.ts';
import { activityOf, deliver } from '../../demo/teams-connector/people.ts';
import type { Scene } from './attack.ts';
import { elsewhere } from './attack-site.ts';
import type { PlatformSite } from './platform-site.ts';
import { approveLine, codeOf, type PlatformAttack } from './slack-attacks.ts';

type Activity = Readonly<Record<string, unknown>>;
const otherTenant = '99999999-0000-4000-8000-000000000000';

function activityBy(name: string, { client, team }: PlatformSite): Activity {
  return activityOf(client(name).person, team.personal(name), { connector: team.connector, botName: 'DR' });
}

/** A whole approval, as Teams would send it; `wrong` in the activity or in the token. */
async function sends(
  scene: Scene,
  platform: PlatformSite,
  wrong: {
    readonly by?: string;
    readonly activity?: Activity | ((text: string) => Activity);
    readonly claims?: TokenClaims;
    readonly authorization?: string;
  },
): Promise<string> {
  const { team, teams, teamsSays } = platform;
  const text = approveLine(await scene.pending(), await codeOf(scene, 'ben'));
  const more = typeof wrong.activity === 'function' ? wrong.activity(text) : (wrong.activity ?? {});
  const activity = { ...activityBy(wrong.by ?? 'ben', platform), type: 'message', text, ...more };
  const authorization = wrong.authorization ?? `Bearer ${team.connector.issuer.sign(wrong.claims)}`;
  let status = 0;
  const said = await teamsSays(async () => {
    status = (await deliver(team.connector, teams.url, activity, authorization)).status;
  });
  return `status ${status} ${said}`;
}

const tokens: readonly (readonly [string, TokenClaims])[] = [
  ['another audience', { audience: '00000000-1111-4222-8333-444444444444' }],
  ['another issuer', { issuer: 'https://evil.example.test' }],
  ['the issuer of our own tenant', { issuer: 'https://sts.windows.net/66666666-7777-4888-9999-000000000000/' }],
  ['an end ten minutes ago', { expiresIn: -600 }],
  ['a key of somebody else under the right name', { isForged: true }],
  ['a key that nobody has published', { keyId: 'unknown' }],
  ['another service URL', { serviceUrl: 'http://127.0.0.1:1/teams/' }],
  ['no algorithm', { algorithm: 'none' }],
  ['a shared secret for a key', { algorithm: 'HS256' }],
];

const admission: readonly PlatformAttack[] = [
  ...tokens.map(
    ([what, claims]): PlatformAttack => ({
      name: `Teams: a token with ${what}`,
      hears: /^status 401 $/,
      trail: 'not-asked',
      attack: (scene, platform) => sends(scene, platform, { claims }),
    }),
  ),
  ...['', 'Bearer', 'Bearer a.b.c', 'Basic YmVuOmJlbg=='].map(
    (authorization): PlatformAttack => ({
      name: `Teams: the authorization \`${authorization}\``,
      hears: /^status 401 $/,
      trail: 'not-asked',
      attack: (scene, platform) => sends(scene, platform, { authorization }),
    }),
  ),
  {
    name: 'Teams: another tenant',
    hears: /^status 403 $/,
    trail: 'not-asked',
    attack: (scene, platform) => sends(scene, platform, { activity: { channelData: { tenant: { id: otherTenant } } } }),
  },
  ...['http://127.0.0.1:1/teams/', 'https://evil.example.test/teams/', 'http://169.254.169.254/metadata/'].map(
    (serviceUrl): PlatformAttack => ({
      name: `Teams: answers wanted at ${serviceUrl}`,
      hears: /^status 403 $/,
      trail: 'not-asked',
      attack: (scene, platform) => sends(scene, platform, { activity: { serviceUrl }, claims: { serviceUrl } }),
    }),
  ),
  {
    name: 'Teams: dated ten minutes ahead',
    hears: /^status 400 $/,
    trail: 'not-asked',
    attack: (scene, platform) => sends(scene, platform, { activity: { timestamp: clockText(600_000) } }),
  },
  {
    name: 'Teams: ten minutes late',
    hears: /minutes late.*not carried out/s,
    trail: 'not-asked',
    attack: (scene, platform) => sends(scene, platform, { activity: { timestamp: clockText(-600_000) } }),
  },
];
const clockText = (laterMs: number) => new Date(Date.now() + laterMs).toISOString();

const strangers: readonly PlatformAttack[] = [
  ...(
    [
      ['gus', 'a guest', /Guests of this workspace/],
      ['anon', 'an anonymous guest of a meeting', /Guests of this workspace/],
      ['eve', 'somebody of another company', /another organisation/],
      ['mallory', 'somebody who is linked to nobody', /linked to no person/],
    ] as const
  ).map(
    ([by, who, hears]): PlatformAttack => ({
      name: `Teams: ${who} approves with the code of ben`,
      hears,
      attack: (scene, platform) => sends(scene, platform, { by }),
    }),
  ),
  {
    name: 'Teams: mallory’s account with the Entra id of ben',
    hears: /another organisation/,
    attack: (scene, platform) => {
      const { id, name } = platform.client('mallory').person;
      const { aadObjectId } = platform.client('ben').person;
      return sends(scene, platform, { by: 'mallory', activity: { from: { id, name, aadObjectId } } });
    },
  },
  {
    name: 'Teams: an account without an Entra id',
    hears: /another organisation/,
    attack: (scene, platform) => {
      const { id, name } = platform.client('ben').person;
      return sends(scene, platform, { activity: { from: { id, name } } });
    },
  },
  {
    name: 'Teams: another bot',
    hears: /^status 200 $/,
    trail: 'not-asked',
    attack: (scene, platform) => sends(scene, platform, { activity: { from: { id: '28:other-bot', name: 'ben' } } }),
  },
];

const clicks: readonly PlatformAttack[] = [
  {
    name: 'Teams: who asked approves',
    by: 'ana',
    hears: /own request/,
    attack: (scene, platform) =>
      platform.teamsSays(async () =>
        platform.client('ana').says(approveLine(await scene.pending(), await codeOf(scene, 'ana'))),
      ),
  },
  {
    name: 'Teams: an approval that is delivered three times, where two persons are needed',
    by: 'ben',
    hears: /1 more must agree/,
    attack: async (scene, platform) => {
      await scene.twoAreNeeded();
      const { team, teams, teamsSays } = platform;
      const text = approveLine(await scene.pending(), await codeOf(scene, 'ben'));
      const activity = { ...activityBy('ben', platform), type: 'message', text };
      return teamsSays(() => Promise.all([1, 2, 3].map(() => deliver(team.connector, teams.url, activity))));
    },
  },
  ...(
    [
      ['the id of another machine’s request', 'ben', /stale or was tampered with/, 'other'],
      ['a command that breaks the glass', 'ana', /Only somebody on call/, 'glass'],
      ['a command that sets the on-call list', 'ben', /needs the role admin/, 'oncall'],
    ] as const
  ).map(
    ([what, by, hears, kind]): PlatformAttack => ({
      name: `Teams: a button with ${what} in it`,
      by,
      hears,
      attack: async (scene, platform) => {
        const line = await forgedLine(scene, kind, by);
        const value = { action: { type: 'Action.Execute', verb: 'dr', data: { lifeboat: { kind: 'line', line } } } };
        return invoked(platform, by, { name: 'adaptiveCard/action', value });
      },
    }),
  ),
  {
    name: 'Teams: a dialog whose context is another machine’s request',
    by: 'ben',
    hears: /stale or was tampered with/,
    attack: async (scene, platform) => {
      const line = (await forgedLine(scene, 'other', 'ben')).replace(/ --code \d+/, '');
      const lifeboat = { kind: 'answers', form: 'approve', context: line };
      const value = { data: { lifeboat, code: await codeOf(scene, 'ben') } };
      return invoked(platform, 'ben', { name: 'task/submit', value });
    },
  },
  {
    name: 'Teams: a dialog for a rejection whose context approves',
    by: 'ben',
    trail: 'not-asked',
    hears: /reject/i,
    attack: async (scene, platform) => {
      const line = approveLine(await scene.pending(), await codeOf(scene, 'ben'));
      const value = { data: { lifeboat: { kind: 'answers', form: 'reject', context: line }, reason: 'x' } };
      return invoked(platform, 'ben', { name: 'task/submit', value });
    },
  },
  {
    name: 'Teams: a form that there is not, by the name of a prototype',
    trail: 'not-asked',
    hears: /cannot be read/,
    attack: async (_scene, platform) => {
      const value = { data: { lifeboat: { kind: 'answers', form: '__proto__', context: 'approve' } } };
      return invoked(platform, 'ben', { name: 'task/submit', value });
    },
  },
  {
    name: 'Teams: a button of 10 kB, and one 20,000 deep',
    trail: 'not-asked',
    hears: /cannot be read.*cannot be read/s,
    attack: async (_scene, platform) => {
      const long = { action: { data: { lifeboat: { kind: 'line', line: 'x'.repeat(10_000) } } } };
      const deep: unknown = JSON.parse(`${'{"action":'.repeat(2000)}1${'}'.repeat(2000)}`);
      const first = await invoked(platform, 'ben', { name: 'adaptiveCard/action', value: long });
      return `${first} ${await invoked(platform, 'ben', { name: 'adaptiveCard/action', value: deep })}`;
    },
  },
];

async function forgedLine(scene: Scene, kind: 'other' | 'glass' | 'oncall', by: 'ana' | 'ben'): Promise<string> {
  const { name } = scene.machine;
  if (kind === 'oncall') return 'oncall set ben';
  if (kind === 'glass') {
    return `failover ${name} --planned --break-glass --confirm ${name} --reason x --code ${await codeOf(scene, by)}`;
  }
  const seen = await scene.pending();
  const { id } = await scene.pending({ machine: elsewhere });
  return approveLine({ ...seen, id }, await codeOf(scene, by));
}

/** What an invoke is answered, and what is said because of it. */
async function invoked(platform: PlatformSite, by: string, call: Activity): Promise<string> {
  const { team, teams, teamsSays } = platform;
  const activity = { ...activityBy(by, platform), type: 'invoke', ...call };
  let answer: unknown;
  const said = await teamsSays(async () => {
    answer = (await deliver(team.connector, teams.url, activity)).body;
  });
  return `${JSON.stringify(answer)} ${said}`;
}

export const teamsAttacks: readonly PlatformAttack[] = [...admission, ...strangers, ...clicks];

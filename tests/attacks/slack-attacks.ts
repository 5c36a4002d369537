import { bodyOf, type Envelope, signedRequest } from '../../demo/slack-workspace/deliveries.ts';
import type { ApprovalView } from '../../protocol/chat-api.ts';
import type { Attack, Scene } from './attack.ts';
import { elsewhere } from './attack-site.ts';
import type { PlatformSite } from './platform-site.ts';
import { buttonOf } from './voice.ts';

/** As an attack at the engine’s door, but made through a chat platform. */
export type PlatformAttack = Omit<Attack, 'attack'> & {
  /** By whom, as the trail names them: a person’s name, or undefined for a stranger. */
  readonly by?: string;
  /** What they hear, or the status that their program is answered. */
  readonly attack: (scene: Scene, platform: PlatformSite) => Promise<string>;
};

export const approveLine = (approval: ApprovalView, code: string) => {
  const { revision, digest8 } = buttonOf(approval);
  return `approve ${approval.id} --rev ${revision} --digest ${digest8} --code ${code}`;
};
export const codeOf = async ({ person }: Scene, name: 'ana' | 'ben' | 'carla') => (await person(name)).code();

/** A line that this person types in #dr. */
const types =
  (name: string, hears: RegExp, line: (scene: Scene) => Promise<string>): PlatformAttack['attack'] =>
  async (scene, { workspace, slackSays }) => {
    const typed = await line(scene);
    return slackSays(name, () => workspace.as(name).types('#dr', typed), hears);
  };

const own = /own request/;
const people: readonly PlatformAttack[] = [
  ...(
    [
      ['gus', /Guests of this workspace/],
      ['eve', /another organisation/],
      ['mallory', /linked to no person/],
    ] as const
  ).map(
    ([name, hears]): PlatformAttack => ({
      name: `Slack: ${name} types an approval with the code of ben`,
      hears,
      attack: types(
        name,
        hears,
        async (scene) => `/dr ${approveLine(await scene.pending(), await codeOf(scene, 'ben'))}`,
      ),
    }),
  ),
  {
    name: 'Slack: a workflow clicks on an approval with the code of ben',
    hears: /Bots and workflows/,
    attack: async (scene, { workspace, slackSays }) => {
      const value = approveLine(await scene.pending(), await codeOf(scene, 'ben'));
      await slackSays('ben', () => workspace.as('ben').types('#dr', '/dr version'), /Lifeboat 0/);
      const click = () => workspace.as('robo').clicksStale('#dr', { actionId: 'run:0', value });
      return slackSays('robo', click, /Bots and workflows/);
    },
  },
  {
    name: 'Slack: who asked clicks Approve',
    by: 'ana',
    hears: own,
    attack: async (scene, { workspace, slackSays }) => {
      // Her own card offers to withdraw; this is the button of everybody else's.
      const value = approveLine(await scene.pending(), await codeOf(scene, 'ana'));
      const ana = workspace.as('ana');
      await slackSays('ana', () => ana.types('#dr', '/dr version'), /Lifeboat 0/);
      return slackSays('ana', () => ana.clicksStale('#dr', { actionId: 'run:0', value }), own);
    },
  },
  {
    name: 'Slack and Teams: asked in Slack, approved by the same person in Teams',
    by: 'ana',
    hears: own,
    attack: async (scene, { workspace, slackSays, teamsSays, client }) => {
      const line = `/dr failover ${scene.machine.name} --planned --reason "power work"`;
      const said = await slackSays('ana', () => workspace.as('ana').types('#dr', line), /apr_\w+ waits/);
      const [id = ''] = /apr_\w+/.exec(said) ?? [];
      return teamsSays(async () => client('ana').says(`approve ${id} --code ${await codeOf(scene, 'ana')}`));
    },
  },
  {
    name: 'Slack and Teams: a quorum of two by one person on both',
    by: 'ben',
    hears: /You have approved this already; 1 more/,
    attack: async (scene, { workspace, slackSays, teamsSays, client }) => {
      await scene.twoAreNeeded();
      const approval = await scene.pending();
      const line = `/dr ${approveLine(approval, await codeOf(scene, 'ben'))}`;
      await slackSays('ben', () => workspace.as('ben').types('#dr', line), /1 more must agree/);
      return teamsSays(async () => client('ben').says(approveLine(approval, await codeOf(scene, 'ben'))));
    },
  },
  {
    name: 'Slack: a form with the code that is delivered twice, where two persons are needed',
    by: 'ben',
    hears: /1 more must agree/,
    attack: async (scene, { workspace, slackSays }) => {
      await scene.twoAreNeeded();
      const { id } = await scene.pending();
      const ben = workspace.as('ben');
      await slackSays('ben', () => ben.types('#dr', `/dr show ${id}`), /\[Approve\]/);
      await slackSays('ben', () => ben.clicks('#dr', 'Approve'), /Six-digit code/);
      workspace.failNextDelivery('double');
      const code = await codeOf(scene, 'ben');
      await ben.fillsIn({ 'Six-digit code': code });
      await workspace.until('ben hears', () => ben.modal()?.includes('1 more must agree') === true);
      return ben.modal() ?? '';
    },
  },
];

/** A click with a value that no button ever had. */
const forged =
  (name: 'ana' | 'ben', hears: RegExp, value: (scene: Scene) => Promise<string>): PlatformAttack['attack'] =>
  async (scene, { workspace, slackSays }) => {
    const person = workspace.as(name);
    await slackSays(name, () => person.types('#dr', '/dr version'), /Lifeboat 0/);
    const forgedValue = await value(scene);
    return slackSays(name, () => person.clicksStale('#dr', { actionId: 'run:0', value: forgedValue }), hears);
  };

const buttons: readonly PlatformAttack[] = [
  {
    name: 'Slack: a button whose approval is of another machine',
    by: 'ben',
    hears: /stale or was tampered with/,
    attack: forged('ben', /stale or was tampered with/, async (scene) => {
      const seen = await scene.pending();
      const { id } = await scene.pending({ machine: elsewhere });
      return approveLine({ ...seen, id }, await codeOf(scene, 'ben'));
    }),
  },
  {
    name: 'Slack: a button with another digest',
    by: 'ben',
    hears: /stale or was tampered with/,
    attack: forged('ben', /stale or was tampered with/, async (scene) =>
      approveLine({ ...(await scene.pending()), digest: 'ffffffff' }, await codeOf(scene, 'ben')),
    ),
  },
  {
    name: 'Slack: a button that breaks the glass',
    by: 'ana',
    hears: /Only somebody on call/,
    attack: forged('ana', /Only somebody on call/, async (scene) => {
      const { name } = scene.machine;
      return `failover ${name} --planned --break-glass --confirm ${name} --reason x --code ${await codeOf(scene, 'ana')}`;
    }),
  },
  {
    name: 'Slack: a button that makes its owner an admin',
    by: 'ben',
    hears: /needs the role admin/,
    attack: forged('ben', /needs the role admin/, async () => 'oncall set ben'),
  },
  {
    name: 'Slack: a button with two lines in it',
    hears: /control characters|unknown|nothing was|not/i,
    trail: 'not-asked',
    attack: forged('ben', /control characters|no flag|too many|does not/i, async (scene) => {
      const { id } = await scene.pending();
      return `show ${id}\u0000approve ${id} --code 000000`;
    }),
  },
  {
    name: 'Slack: a request that calls everybody in its reason',
    trail: 'not-asked',
    hears: /cannot be addressed to everyone/,
    attack: async (scene, { workspace, slackUrl, slackSays }) => {
      const text = `failover ${scene.machine.name} --planned --reason "<!channel> now"`;
      const body = bodyOf(command(workspace, { text }));
      return slackSays('ana', () => send(slackUrl, sign(workspace, body)), /cannot be addressed to everyone/);
    },
  },
];

type Workspace = PlatformSite['workspace'];
function command(workspace: Workspace, more: Readonly<Record<string, string>>): Envelope {
  const own = { user_id: workspace.as('ana').id, team_id: workspace.teamId, channel_id: channelOf(workspace) };
  const fresh = { trigger_id: `${Math.random()}.1`, response_url: `${workspace.apiUrl}../response/none` };
  const payload = { command: '/dr', text: 'version', channel_name: 'dr', ...own, ...fresh, ...more };
  return { kind: 'slash_commands', payload };
}
const channelOf = (workspace: Workspace) =>
  workspace.messages().find(({ channel }) => channel.startsWith('C'))?.channel ?? 'C0';
const sign = (workspace: Workspace, body: string, more: { secret?: string; laterMs?: number } = {}) =>
  signedRequest(body, {
    secret: more.secret ?? workspace.signingSecret,
    // The workspace’s clock, as the next message says it.
    atMs: clockOf(workspace) + (more.laterMs ?? 0),
    isForm: true,
  });
const clockOf = (workspace: Workspace) =>
  1000 * Number(workspace.messages().at(-1)?.ts.split('.')[0] ?? Date.now() / 1000);
async function send(url: string, request: RequestInit): Promise<string> {
  const { status } = await fetch(url, request);
  return `status ${status}`;
}

/** A dialog of ana’s that was sent, with whatever context and answers. */
function submission(
  { workspace }: PlatformSite,
  dialog: { readonly kind: string; readonly line: string; readonly values: unknown },
): Envelope {
  const place = { surface: 'slack', tenant: workspace.teamId, place: channelOf(workspace) };
  const view = {
    ...{ id: 'V_FORGED', hash: `${Math.random()}`, callback_id: 'dr-form' },
    private_metadata: `${JSON.stringify({ kind: dialog.kind, place, isFromHome: false })}\n${dialog.line}`,
    state: { values: dialog.values },
  };
  const payload = {
    type: 'view_submission',
    team: { id: workspace.teamId },
    user: { id: workspace.as('ana').id },
    view,
  };
  return { kind: 'interactive', payload };
}

/** A whole approval by ben, as Slack would send it; wrong in one thing. */
const signs =
  (
    wrong: (signed: { readonly body: string; readonly workspace: Workspace }) => RequestInit,
  ): PlatformAttack['attack'] =>
  async (scene, { workspace, slackUrl }) => {
    const text = approveLine(await scene.pending(), await codeOf(scene, 'ben'));
    const body = bodyOf(command(workspace, { text, user_id: workspace.as('ben').id }));
    return send(slackUrl, wrong({ body, workspace }));
  };
const unauthorised = { hears: /^status 401$/, trail: 'not-asked' } as const;

const signatures: readonly PlatformAttack[] = [
  {
    name: 'Slack: signed with another secret',
    ...unauthorised,
    attack: signs(({ body, workspace }) => sign(workspace, body, { secret: 'another secret' })),
  },
  {
    name: 'Slack: a signature of more than five minutes ago',
    ...unauthorised,
    attack: signs(({ body, workspace }) => sign(workspace, body, { laterMs: -301_000 })),
  },
  {
    name: 'Slack: a signature of more than five minutes ahead',
    ...unauthorised,
    attack: signs(({ body, workspace }) => sign(workspace, body, { laterMs: 302_000 })),
  },
  {
    name: 'Slack: the signature of another body',
    ...unauthorised,
    attack: signs(({ body, workspace }) => ({ ...sign(workspace, 'text=version'), body })),
  },
  {
    name: 'Slack: no signature',
    ...unauthorised,
    attack: signs(({ body }) => ({
      method: 'POST',
      body,
      headers: { 'content-type': 'application/x-www-form-urlencoded' },
    })),
  },
  {
    name: 'Slack: an unsigned certificate check with a command in it',
    hears: /^status 200$/,
    trail: 'not-asked',
    attack: signs(({ body }) => ({
      method: 'POST',
      body: `ssl_check=1&${body}`,
      headers: { 'content-type': 'application/x-www-form-urlencoded' },
    })),
  },
  {
    name: 'Slack: a body of 300 kB',
    hears: /^status 413$/,
    trail: 'not-asked',
    attack: signs(({ body, workspace }) => sign(workspace, `${body}&x=${'x'.repeat(300_000)}`)),
  },
  {
    name: 'Slack: a good request that is sent three times, where two persons are needed',
    by: 'ben',
    hears: /1 more must agree/,
    attack: async (scene, { workspace, slackUrl, slackSays }) => {
      await scene.twoAreNeeded();
      const text = approveLine(await scene.pending(), await codeOf(scene, 'ben'));
      const request = sign(workspace, bodyOf(command(workspace, { text, user_id: workspace.as('ben').id })));
      const thrice = () => Promise.all([1, 2, 3].map(() => send(slackUrl, request)));
      return slackSays('ben', thrice, /1 more must agree/);
    },
  },
  {
    name: 'Slack: another workspace with the same user id',
    trail: 'not-asked',
    hears: /^status 200$/,
    attack: async (scene, { workspace, slackUrl }) => {
      const text = approveLine(await scene.pending(), await codeOf(scene, 'ben'));
      const foreign = { text, user_id: workspace.as('ben').id, team_id: 'TELSEWHERE' };
      return send(slackUrl, sign(workspace, bodyOf(command(workspace, foreign))));
    },
  },
  {
    name: 'Slack: another workspace with the same user id, which the configuration lets in',
    hears: /no person|another organisation|status 200/,
    trail: 'not-asked',
    attack: async (scene, { workspace, slackSays, otherSlackBot }) => {
      const { url } = await otherSlackBot({ allowedTenants: [workspace.teamId, 'TELSEWHERE'] });
      const text = approveLine(await scene.pending(), await codeOf(scene, 'ben'));
      const foreign = { text, user_id: workspace.as('ben').id, team_id: 'TELSEWHERE' };
      const request = sign(workspace, bodyOf(command(workspace, foreign)));
      return slackSays('ben', () => send(url, request), /no person|another organisation|approved|executing|run/i);
    },
  },
  {
    name: 'Slack: a dialog with answers 20,000 deep, and one with a prototype',
    hears: /went wrong in the bot/,
    trail: 'not-asked',
    attack: async (_scene, platform) => {
      const { workspace, slackUrl, slackSays } = platform;
      const deep = `{"a": ${'['.repeat(20_000)}${']'.repeat(20_000)}}`;
      const sends = (values: string) => {
        const view = submission(platform, { kind: 'approve', line: 'approve apr_0000000000', values: 'VALUES' });
        return send(slackUrl, sign(workspace, bodyOf(view).replace('%22VALUES%22', encodeURIComponent(values))));
      };
      await sends('{"__proto__": {"code": {"answer": {"value": "000000"}}}}');
      return slackSays('ana', () => sends(deep), /went wrong in the bot/);
    },
  },
];

/** A dialog that was filled in, with a context that it never had. */
const forgedDialogs: readonly PlatformAttack[] = [
  ['approve', 'failover {vm} --planned --break-glass --confirm {vm} --reason x', /Only somebody on call/, 'named'],
  ['approve', 'approve {other} --rev 1 --digest ffffffff', /stale or was tampered with/, 'named'],
  ['reject', 'approve {other} --code 000000', /help|Reject/i, 'not-asked'],
  ['snooze', 'oncall set ana', /help|Snooze/i, 'not-asked'],
].map(([kind, context, hears, trail]) => ({
  name: `Slack: the dialog \`${kind}\` with the context \`${context}\``,
  by: 'ana',
  hears: hears as RegExp,
  trail: trail as 'named',
  attack: async (scene, platform) => {
    const { workspace, slackUrl, slackSays } = platform;
    const { id } = await scene.pending({ machine: elsewhere, by: 'ben' });
    const line = String(context).replaceAll('{vm}', scene.machine.name).replaceAll('{other}', id);
    const answer = (value: string) => ({ answer: { type: 'plain_text_input', value } });
    const values = { code: answer(await codeOf(scene, 'ana')), reason: answer('x'), time: answer('1h') };
    const body = bodyOf(submission(platform, { kind: String(kind), line, values }));
    return slackSays('ana', () => send(slackUrl, sign(workspace, body)), hears as RegExp);
  },
}));

export const slackAttacks: readonly PlatformAttack[] = [...people, ...buttons, ...signatures, ...forgedDialogs];

import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { readBotConfig, readSecret } from '../../bot/service-config.ts';
import { describeCauses } from '../../domain/outage.ts';

let folder: string;
beforeEach(async () => {
  folder = await mkdtemp(path.join(tmpdir(), 'lifeboat-bot-config-'));
});
afterEach(() => rm(folder, { recursive: true }));

const slack = { mode: 'socket', botToken: 'env:SLACK_BOT_TOKEN', appToken: 'file:/run/secrets/slack-app' };
const base = { connectionFile: '/srv/lifeboat/bot/bot.json', stateFolder: '/var/lib/lifeboat-bot' };

async function problemOf(config: unknown): Promise<string> {
  const file = path.join(folder, 'bot.json');
  await writeFile(file, JSON.stringify(config));
  return readBotConfig(file).then(
    () => 'none',
    (error: unknown) => describeCauses(error),
  );
}

it('takes Slack, Teams, the web console, or several, and says what is wrong with its place', async () => {
  const teams = { appId: 'a', tenantId: 't', secret: 'file:/run/secrets/teams', port: 3978 };
  expect(await problemOf({ ...base, slack })).toBe('none');
  expect(await problemOf({ ...base, teams })).toBe('none');
  expect(await problemOf({ ...base, slack, teams: { ...teams, allowedTenants: ['x'] } })).toBe('none');
  expect(await problemOf(base)).toContain('needs `slack`, `teams`, `web`, or several of them');
  const web = { listen: { port: 8443 } };
  expect(await problemOf({ ...base, web })).toBe('none');
  expect(await problemOf({ ...base, slack, web: { ...web, url: 'https://dr.example.com' } })).toBe('none');
  expect(await problemOf({ ...base, web: { ...web, url: 'http://dr.example.com' } })).toContain('web.url');
  expect(await problemOf({ ...base, web: { ...web, url: 'https://dr.example.com/console' } })).toContain('web.url');
  expect(await problemOf({ ...base, web: { ...web, tls: { certificateFile: 'a.crt' } } })).toContain('web.tls');
  expect(await problemOf({ ...base, slack: { ...slack, mode: 'http' } })).toContain('slack.signingSecret: is missing');
  expect(await problemOf({ ...base, slack, teams: { ...teams, port: 'x' } })).toContain('teams.port');
});

it('takes no secret itself, and does not repeat the one that stands there', async () => {
  const problem = await problemOf({ ...base, slack: { ...slack, botToken: 'xoxb-very-secret' } });
  expect(problem).toContain('slack.botToken: must be file:/absolute/path or env:NAME');
  expect(problem).not.toContain('very-secret');
});

it('reads secrets from files and the environment, without the line break at the end', async () => {
  const file = path.join(folder, 'token');
  await writeFile(file, 'xoxb-1\n');
  expect(await readSecret(`file:${file}`, {})).toBe('xoxb-1');
  expect(await readSecret('env:TOKEN', { TOKEN: ' xoxb-2 ' })).toBe('xoxb-2');
  for (const reference of ['env:MISSING', 'env:EMPTY', `file:${folder}/none`, `file:${folder}`]) {
    await expect(readSecret(reference, { EMPTY: ' ' })).rejects.toThrow(`read the secret at ${reference}`);
  }
});

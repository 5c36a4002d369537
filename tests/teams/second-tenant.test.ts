import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { sql } from 'drizzle-orm';
import { expect, test } from 'vitest';
import { startBot } from '../../bot/service-main.ts';
import { startTeam, type Team } from '../../demo/teams-connector/team.ts';
import { showTopic } from '../../engine/store/messages.ts';
import { linkUser } from '../../engine/store/people.ts';
import { startTestApi, type TestApi } from '../engine/api/api-fixture.ts';
import { startTestPostgres } from '../fixtures/postgres.ts';

const otherTenant = 'eeeeeeee-7777-4888-9999-000000000000';
const patient = { timeout: 60_000, interval: 50 };

async function configurationOf(api: TestApi, team: Team, folder: string) {
  const { certificateAuthority } = api.deps.enrolment;
  const pair = await certificateAuthority.issueKeyPair({ kind: 'bot', name: 'bot' }, { nowMs: Date.now() });
  const fileOf = async (name: string, content: string) => {
    await writeFile(path.join(folder, name), content, { mode: 0o600 });
    return path.join(folder, name);
  };
  const connection = {
    engineUrl: api.url,
    name: 'bot',
    certificateFile: await fileOf('bot.crt', pair.certificate),
    keyFile: await fileOf('bot.key', pair.privateKey),
    certificateAuthorityFile: await fileOf('ca.crt', pair.certificateAuthority),
  };
  const { appId, tenantId, serviceUrls, cloud } = team.settings;
  return {
    connectionFile: await fileOf('bot.json', JSON.stringify(connection)),
    stateFolder: path.join(folder, 'state'),
    teams: {
      ...{ appId, tenantId, serviceUrls: [...serviceUrls], port: 0, botName: 'DR', allowedTenants: [otherTenant] },
      secret: `file:${await fileOf('secret', team.connector.secret)}`,
      cloud: { ...cloud, tokenUrl: cloud.tokenUrl('{tenant}').replaceAll('%7B', '{').replaceAll('%7D', '}') },
    },
  };
}

test('people of an allowed second tenant subscribe their channel, and alerts arrive there and in their private chat', {
  timeout: 120_000,
}, async () => {
  const folder = await mkdtemp(path.join(tmpdir(), 'lifeboat-second-tenant-'));
  const postgres = await startTestPostgres();
  const store = await postgres.freshStore();
  const api = await startTestApi(store);
  const team = await startTeam({ isThrottling: false });
  const stopping = new AbortController();
  const said: string[] = [];
  const log = { info: (words: string) => said.push(words), warn: (words: string) => said.push(words) };
  const bot = await startBot(await configurationOf(api, team, folder), { log, signal: stopping.signal });
  try {
    team.connect(said.find((words) => words.startsWith('teams listens at '))?.slice('teams listens at '.length) ?? '');
    const eva = team.as('eva', { tenantId: otherTenant });
    const user = eva.person.aadObjectId ?? '';
    const linked = { surface: 'teams', tenant: otherTenant, user, person: 'ada', displayName: 'Eva' } as const;
    await store.write((db) => linkUser(db, linked));
    const channel = team.channel('dr-of-b', otherTenant);
    team.connector.conversations.personalOf(eva.person, otherTenant);
    await eva.says('@DR subscribe', channel);
    await expect.poll(() => team.reads(channel), patient).toContain('is shown everything from now on');
    await store.write(async (db) => {
      await db.execute(sql`insert into alerts (id, rule, scope, severity, title, text, next_step, machine_names, members)
        values ('alr_0000000001', 'lag', 'vm-7', 'critical', 'vm-7 lags', '', '', '["vm-7"]', '[]')`);
      const show = { severity: 'critical', channels: 'subscribed', persons: ['ada'] } as const;
      await showTopic(db, { topic: 'alert:alr_0000000001', ...show });
    });
    await expect.poll(() => team.reads(channel), patient).toContain('vm-7 lags');
    await expect.poll(() => team.reads(team.personal('eva')), patient).toContain('vm-7 lags');
    expect(said.filter((words) => words.endsWith(': ready'))).toHaveLength(2);
  } finally {
    stopping.abort();
    await bot.close();
    await team.close();
    await api.stop();
    await postgres.stop();
    await rm(folder, { recursive: true, force: true });
  }
});

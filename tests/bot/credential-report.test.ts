import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { credentialsOf, reportCredentials } from '../../bot/credential-report.ts';
import { botConfig } from '../../bot/service-config.ts';
import { ownServerKey } from '../../bot/web/certificate.ts';
import { OutageError } from '../../domain/outage.ts';
import { createCertificateAuthority } from '../../engine/certificate-authority.ts';
import { credentialReportBody } from '../../protocol/credential-api.ts';

const day = 86_400_000;
let folder: string;
beforeEach(async () => {
  folder = await mkdtemp(path.join(tmpdir(), 'lifeboat-bot-credentials-'));
});
afterEach(() => rm(folder, { recursive: true }));

const file = (name: string) => path.join(folder, name);
const put = async (name: string, text: string) => {
  await writeFile(file(name), text);
  return file(name);
};

/** As the engine writes it for its bot. */
async function writeConnection(nowMs: number): Promise<string> {
  const authority = await createCertificateAuthority(file(`authority-${nowMs}`), nowMs);
  const pair = await authority.issueKeyPair({ kind: 'bot', name: 'bot' }, { nowMs });
  const files = {
    certificateFile: await put('bot.crt', pair.certificate),
    keyFile: await put('bot.key', pair.privateKey),
    certificateAuthorityFile: await put('ca.crt', pair.certificateAuthority),
  };
  return put('bot.json', JSON.stringify({ engineUrl: 'https://127.0.0.1:1', name: 'bot', ...files }));
}

const teams = { appId: 'a', tenantId: 't', secret: 'file:/run/secrets/teams', port: 3978 };
const configOf = (connectionFile: string, more: object) =>
  botConfig.parse({ connectionFile, stateFolder: folder, ...more });

it('knows until when its own certificate, the console’s and the secret of Teams are good, and how each is renewed', async () => {
  const nowMs = Date.now();
  const web = { listen: { port: 8443 } };
  const connection = await writeConnection(nowMs);
  const config = configOf(connection, { web, teams: { ...teams, secretExpiresOn: '2027-03-01' } });
  const log = { info: () => undefined };
  await ownServerKey({ stateFolder: folder, hostNames: [], nowMs, log });
  const found = await credentialsOf(config);
  expect(credentialReportBody.parse({ host: 'chat-1', credentials: found }).credentials).toEqual(found);
  expect(found.map(({ name, isRenewedByItself }) => [name, isRenewedByItself])).toEqual([
    ['The certificate of the bot', true],
    ['The certificate of the web console', true],
    ['The client secret of the Teams bot', false],
  ]);
  const [own, consoles, secret] = found.map(({ expiresAtMs }) => (expiresAtMs - nowMs) / day);
  expect(own).toBeCloseTo(7, 2);
  expect(consoles).toBeCloseTo(397, 2);
  expect(secret).toBeCloseTo((Date.UTC(2027, 2, 1) - nowMs) / day, 5);
  expect(found[0]?.nextStep).toContain('at least every three days');
});

it('says nothing of what it cannot know: a secret without its last day, a console without a certificate, a garbled file', async () => {
  const connection = await writeConnection(Date.now());
  const tls = { certificateFile: await put('brought.crt', 'no certificate'), privateKeyFile: file('none') };
  const config = configOf(connection, { teams, web: { listen: { port: 8443 }, tls } });
  expect((await credentialsOf(config)).map(({ name }) => name)).toEqual(['The certificate of the bot']);
  await writeFile(file('bot.crt'), 'no certificate');
  expect(await credentialsOf(config)).toEqual([]);
});

it('goes on while the engine is away, and ends when the bot stops', async () => {
  const config = configOf(await writeConnection(Date.now()), { teams });
  const stopping = new AbortController();
  const warned: string[] = [];
  const log = { info: () => undefined, warn: (message: string) => void warned.push(message) };
  const engine = {
    reportCredentials: async () => {
      stopping.abort();
      throw new OutageError('asking the engine', { retryable: true });
    },
  };
  await reportCredentials(config, { engine, log, signal: stopping.signal });
  expect(warned).toEqual(['could not report until when the certificates of the bot are good']);
});

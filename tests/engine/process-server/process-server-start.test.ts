import { spawn } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { readProcessServerConfig } from '../../../engine/process-server/config.ts';
import { readExposition, sampleValue } from '../../fixtures/exposition.ts';
import { createSite, type Site } from './replication-site.ts';

let site: Site;
let config: { listen: { port: number }; [field: string]: unknown };
const program = join(import.meta.dirname, '../../../bin/lifeboat.ts');

beforeAll(async () => {
  site = await createSite();
  const key = await site.authority.issueKeyPair({ kind: 'process-server', name: 'ps' }, { nowMs: Date.now() });
  const inFolder = (name: string, content: string) => {
    writeFileSync(join(site.folder, name), content);
    return join(site.folder, name);
  };
  config = {
    listen: { port: 0 },
    vault: { kind: 'directory', folder: join(site.folder, 'vault') },
    keysFolder: join(site.folder, 'keys'),
    tls: {
      certificateFile: inFolder('server.crt', key.certificate),
      privateKeyFile: inFolder('server.key', key.privateKey),
      certificateAuthorityFile: inFolder('ca.crt', key.certificateAuthority),
    },
    grantPublicKeyFile: inFolder('grant.pem', String(site.grantPublicKey.export({ type: 'spki', format: 'pem' }))),
  };
});
afterAll(() => site.close());

async function freePort(): Promise<number> {
  const other = createServer();
  await new Promise<void>((resolve) => other.listen(0, '127.0.0.1', resolve));
  const address = other.address();
  await new Promise((resolve) => other.close(resolve));
  return typeof address === 'object' && address !== null ? address.port : 0;
}

function start(content: unknown) {
  const file = join(site.folder, 'process-server.json');
  writeFileSync(file, JSON.stringify(content));
  const child = spawn(process.execPath, [program, 'process-server', '--config', file], {
    stdio: ['ignore', 'ignore', 'pipe'],
  });
  let log = '';
  const listening = Promise.withResolvers<void>();
  child.stderr.on('data', (chunk) => {
    log += chunk;
    if (log.includes('the process server listens')) listening.resolve();
  });
  const ended = new Promise<number | null>((resolve) => child.once('exit', resolve));
  void ended.then(() => listening.resolve());
  return { child, ended, listening: listening.promise, log: () => log };
}

test('it starts from its configuration, is measured, and stops when asked', async () => {
  const port = await freePort();
  const server = start({ ...config, metrics: { port } });
  await server.listening;
  const seen = readExposition(await (await fetch(`http://127.0.0.1:${port}/metrics`)).text());
  expect(sampleValue(seen, 'lifeboat_build_info', { program: 'process-server' })).toBe(1);
  server.child.kill('SIGTERM');
  expect(await server.ended).toBe(0);
  expect(server.log()).toMatch(/the process server has stopped/);
});

test('a port that is taken is said in one line with the next step, and the program ends with 1', async () => {
  const other = createServer();
  const port = await new Promise<number>((resolve) => {
    other.listen(0, '127.0.0.1', () => {
      const address = other.address();
      resolve(typeof address === 'object' && address !== null ? address.port : 0);
    });
  });
  const server = start({ ...config, listen: { port } });
  expect(await server.ended).toBe(1);
  expect(server.log()).toMatch(/another program has this port.*\n\s+Stop the other program/);
  other.close();
});

test('a wrong configuration is said with file, field and next step', async () => {
  const file = join(site.folder, 'wrong.json');
  writeFileSync(file, JSON.stringify({ ...config, keysFolder: 'keys', vault: { kind: 'tape' } }));
  await expect(readProcessServerConfig(file)).rejects.toThrow(
    /wrong\.json is wrong: vault.*keysFolder: must be an absolute path/,
  );
});

import { spawn } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { readAgentConfig, workFolderOf } from '../../agent/config.ts';
import { lockStateFolder } from '../../agent/state-lock.ts';

let folder: string;
let file: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'lifeboat-start-'));
  file = join(folder, 'agent.json');
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));
const write = (content: unknown) => writeFileSync(file, JSON.stringify(content));

describe('the configuration', () => {
  test('needs three fields and knows the rest', async () => {
    write({ stateFolder: folder, engineUrl: 'https://engine', guestFolder: '/run/guests' });
    const config = await readAgentConfig(file);
    expect(config).toMatchObject({ spoolBytesMax: 4 * 1024 ** 3, images: [], site: 'main' });
    expect(config.hostName.length).toBeGreaterThan(0);
  });

  test('that is wrong is said with file, field and next step', async () => {
    write({ stateFolder: 'here', engineUrl: 'http://engine', site: '', images: [{ name: 'a b', paths: [] }], typo: 1 });
    const error = await readAgentConfig(file).catch((caught: unknown) => caught);
    expect(String(error)).toMatch(
      /agent\.json is wrong: stateFolder: must be an absolute path; site: .*; engineUrl: .*; images\.0\.name/,
    );
    expect(String(error)).toMatch(/typo/);
    writeFileSync(file, '{');
    await expect(readAgentConfig(file)).rejects.toThrow(/is not JSON/);
    await expect(readAgentConfig('/nowhere')).rejects.toThrow(/read the configuration \/nowhere/);
  });

  test('with a deep state folder still leaves room for socket paths', () => {
    expect(workFolderOf('/var/lib/lifeboat')).toBe('/var/lib/lifeboat/work');
    expect(workFolderOf(`/${'deep/'.repeat(30)}`).length).toBeLessThan(80);
  });
});

describe('a state folder', () => {
  test('has one agent, and is free again when that one is gone', async () => {
    const unlock = await lockStateFolder(folder);
    await expect(lockStateFolder(folder)).rejects.toThrow(/another agent runs with it/);
    unlock();
    (await lockStateFolder(folder))();
  });

  test('is free again when its agent was killed', async () => {
    const script = `import(${JSON.stringify(join(import.meta.dirname, '../../agent/state-lock.ts'))})
      .then((lock) => lock.lockStateFolder(${JSON.stringify(folder)})).then(() => { console.log('held'); setInterval(() => {}, 1000); });`;
    const child = spawn(process.execPath, ['-e', script], { stdio: ['ignore', 'pipe', 'inherit'] });
    await new Promise((resolve) => child.stdout.once('data', resolve));
    await expect(lockStateFolder(folder)).rejects.toThrow(/another agent runs with it/);
    const gone = new Promise((resolve) => child.once('exit', resolve));
    child.kill('SIGKILL');
    await gone;
    (await lockStateFolder(folder))();
  });
});

test('an agent that is not enrolled and has no token says what to do, in two lines', async () => {
  write({ stateFolder: folder, hostName: 'kvm-1', engineUrl: 'https://127.0.0.1:1' });
  const program = join(import.meta.dirname, '../../bin/lifeboat.ts');
  const child = spawn(process.execPath, [program, 'agent', '--config', file], { stdio: ['ignore', 'ignore', 'pipe'] });
  let errors = '';
  child.stderr.on('data', (chunk) => {
    errors += chunk;
  });
  const code = await new Promise((resolve) => child.once('exit', resolve));
  expect(code).toBe(1);
  expect(errors).toMatch(
    /start the agent: this host is not enrolled\n\s+Make a token on the engine \(lifeboat enrolment-token --host kvm-1\)/,
  );
});

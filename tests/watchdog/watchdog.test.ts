import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { cp, mkdtemp, rm, utimes, writeFile } from 'node:fs/promises';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import os from 'node:os';
import path from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { readWatchdogConfig } from '../../watchdog/config.ts';
import { loadState } from '../../watchdog/state-file.ts';

/** The watchdog as it is installed: its own folder, alone, without node_modules. */
let folder: string;
let webhook: Awaited<ReturnType<typeof startWebhook>>;
let dogs: ChildProcess[];

beforeEach(async () => {
  folder = await mkdtemp(path.join(os.tmpdir(), 'lifeboat-watchdog-'));
  await cp(path.join(import.meta.dirname, '../../watchdog'), path.join(folder, 'watchdog'), { recursive: true });
  // Without node_modules Node has to be told that these are modules.
  await writeFile(path.join(folder, 'package.json'), '{ "type": "module" }');
  webhook = await startWebhook();
  dogs = [];
});
afterEach(async () => {
  for (const dog of dogs) await end(dog, 'SIGKILL');
  await webhook.stop();
  await rm(folder, { recursive: true, force: true });
});

const file = (name: string) => path.join(folder, name);
let beats = 0;
const beat = () => {
  beats += 1;
  return writeFile(file('alive.json'), JSON.stringify({ program: 'engine', atMs: beats }));
};

async function configure(changes: Record<string, unknown> = {}): Promise<string> {
  const config = {
    watched: [{ name: 'engine', file: file('alive.json'), limitSeconds: 1.5 }],
    webhooks: [webhook.url],
    stateFile: file('state.json'),
    checkEverySeconds: 0.1,
    ...changes,
  };
  await writeFile(file('watchdog.json'), JSON.stringify(config));
  return file('watchdog.json');
}

function start(config: string): ChildProcess {
  const main = path.join(folder, 'watchdog', 'main.ts');
  const dog = spawn(process.execPath, [main, '--config', config], { cwd: folder, stdio: ['ignore', 'ignore', 'pipe'] });
  dog.stderr?.resume();
  dogs.push(dog);
  return dog;
}

async function end(dog: ChildProcess, signal: NodeJS.Signals): Promise<void> {
  if (dog.exitCode !== null || dog.signalCode !== null) return;
  const ended = once(dog, 'exit');
  dog.kill(signal);
  await ended;
}

async function startWebhook(status = 200) {
  const bodies: { kind: string; text: string; program: string }[] = [];
  const waiting = new Set<() => void>();
  const server: Server = createServer((request, response) => {
    let text = '';
    request.setEncoding('utf8');
    request.on('data', (part: string) => {
      text += part;
    });
    request.on('end', () => {
      bodies.push(text === '' ? { kind: 'ping', text: '', program: '' } : JSON.parse(text));
      response.writeHead(status).end();
      for (const look of waiting) look();
    });
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address() as AddressInfo;
  const kinds = () => bodies.map((body) => body.kind);
  /** Waits until these kinds have come, in this order, and no others. */
  const hears = (expected: readonly string[]) =>
    new Promise<void>((resolve, reject) => {
      const limit = setTimeout(() => reject(new Error(`heard ${kinds().join()}`)), 60_000);
      const look = () => {
        if (kinds().join() !== expected.join()) return;
        clearTimeout(limit);
        waiting.delete(look);
        resolve();
      };
      waiting.add(look);
      look();
    });
  return {
    url: `http://127.0.0.1:${port}/hook`,
    bodies,
    kinds,
    hears,
    stop: () => new Promise<void>((resolve) => server.close(() => resolve())),
  };
}

test('an engine that is silent is told once, and once more when it is back; garbage in its file is silence', async () => {
  await beat();
  const dog = start(await configure());
  await webhook.hears(['silent']);
  expect(webhook.bodies[0]).toMatchObject({
    program: 'engine',
    text: expect.stringContaining('engine has been silent'),
  });
  await writeFile(file('alive.json'), '{ not json');
  await writeFile(file('alive.json'), 'x'.repeat(100_000));
  await rm(file('alive.json'));
  await beat();
  await webhook.hears(['silent', 'back']);
  await end(dog, 'SIGTERM');
  expect(dog.exitCode).toBe(0);
});

test('a restart does not repeat what was told, and a sign of life that came meanwhile is noticed', async () => {
  await beat();
  const config = await configure();
  const first = start(config);
  await webhook.hears(['silent']);
  await until(async () => loadState(file('state.json')).get('engine')?.status === 'silent');
  await end(first, 'SIGKILL');
  start(config);
  await beat();
  // Between the two there was no second `silent`.
  await webhook.hears(['silent', 'back']);
});

test('one webhook that is down does not keep the other one from hearing; the hour’s reminder comes', async () => {
  const broken = await startWebhook(500);
  const monitor = await startWebhook();
  start(
    await configure({ webhooks: [broken.url, webhook.url], externalMonitorUrl: monitor.url, repeatAfterSeconds: 1 }),
  );
  await webhook.hears(['silent']);
  // It is asked a few times each, then it is told as good as it can be.
  await until(async () => webhook.kinds().includes('still-silent'));
  expect(broken.kinds().filter((kind) => kind === 'silent')).toHaveLength(4);
  expect(monitor.kinds()).toEqual(['ping']);
  await broken.stop();
  await monitor.stop();
});

test('a file of the far past or the future, as after a jump of the clock, is only a sign of life', async () => {
  await beat();
  await utimes(file('alive.json'), new Date(0), new Date(0));
  start(await configure({ watched: [{ name: 'engine', file: file('alive.json'), limitSeconds: 20 }] }));
  await utimes(file('alive.json'), new Date('2100-01-01'), new Date('2100-01-01'));
  // Beats that go on while the clock of the file says nonsense.
  for (let i = 0; i < 10; i += 1) {
    await beat();
    await utimes(file('alive.json'), new Date(0), new Date(0));
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  expect(webhook.kinds()).toEqual([]);
});

test('a configuration that cannot be used is refused with the field that is wrong', async () => {
  const problem = async (changes: Record<string, unknown>) => {
    const config = await configure(changes);
    return () => readWatchdogConfig(config);
  };
  expect(await problem({ webhooks: [] })).toThrow('webhooks: a list of 1 to 2');
  expect(await problem({ webhooks: ['ftp://x'] })).toThrow('webhooks[0]: an http or https URL');
  expect(await problem({ watched: [{ name: 'engine', file: 'x' }] })).toThrow('watched[0].file: an absolute path');
  expect(await problem({ webhook: 'x' })).toThrow('there is no field webhook');
  const dog = start(await configure({ stateFile: 'x' }));
  await once(dog, 'exit');
  expect(dog.exitCode).toBe(1);
});

test('a state file that is garbage is as good as none', async () => {
  await writeFile(file('state.json'), '{"engine": {"status": 7}, "bot": null');
  expect(loadState(file('state.json')).size).toBe(0);
  await writeFile(file('state.json'), '{"engine": {"status": 7}, "bot": null}');
  expect(loadState(file('state.json')).size).toBe(0);
});

async function until(isSo: () => Promise<boolean>): Promise<void> {
  const deadline = performance.now() + 60_000;
  while (!(await isSo())) {
    if (performance.now() > deadline) throw new Error('it did not become so');
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}

import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { Writable } from 'node:stream';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { runProgram } from '../../bot/program.ts';
import { type Handler, json, type LoopbackEngine, startLoopbackEngine } from './loopback-engine.ts';
import { drillRun, engineOf, openDrill, verifiedRun, worlds } from './recorded-answers.ts';

let folder: string;
let engine: LoopbackEngine;
let handle: Handler;

beforeEach(async () => {
  folder = await mkdtemp(path.join(tmpdir(), 'lifeboat-dr-'));
  engine = await startLoopbackEngine(folder, (call, received) => handle(call, received));
});
afterEach(async () => {
  await engine.close();
  await rm(folder, { recursive: true });
});

/** Writes a person's files as the engine's main does. */
async function introduce(name: string): Promise<void> {
  const people = path.join(folder, '.lifeboat', 'people');
  await mkdir(people, { recursive: true });
  const { certificate, key, certificateAuthority, engineUrl } = engine.connection;
  await writeFile(path.join(people, `${name}.crt`), certificate);
  await writeFile(path.join(people, `${name}.key`), key, { mode: 0o600 });
  await writeFile(path.join(people, 'ca.crt'), certificateAuthority);
  const files = { certificateFile: `${name}.crt`, keyFile: `${name}.key`, certificateAuthorityFile: 'ca.crt' };
  await writeFile(path.join(people, `${name}.json`), JSON.stringify({ engineUrl, name, ...files }));
}

function collector() {
  let text = '';
  const stream = new Writable({
    write: (chunk, _encoding, done) => {
      text += String(chunk);
      done();
    },
  });
  return { stream, text: () => text };
}

async function dr(programArguments: readonly string[], environment: Record<string, string> = {}) {
  const output = collector();
  const errorOutput = collector();
  const exitCode = await runProgram({
    programArguments,
    environment,
    workingDirectory: folder,
    repositoryFolder: path.join(folder, 'repository'),
    output: output.stream,
    errorOutput: errorOutput.stream,
    nowMs: Date.now,
    onInterrupt: () => undefined,
  });
  return { exitCode, output: output.text(), errors: errorOutput.text() };
}

const world = engineOf(worlds.well ?? { machines: [] });
async function answerLikeTheWorld(): Promise<void> {
  const machines = await world.ask({ kind: 'machines' });
  const whoami = await world.ask({ kind: 'whoami' });
  const vm7 = await world.ask({ kind: 'machine', name: 'vm-7' });
  const looks = [drillRun(0), drillRun(3), verifiedRun];
  handle = (call) => {
    if (call.kind === 'machines' && machines.kind === 'machines') return json(machines.machines);
    if (call.kind === 'whoami' && whoami.kind === 'whoami') return json(whoami.whoami);
    if (call.kind === 'machine' && vm7.kind === 'machine') return json({ ...vm7.machine, drill: openDrill });
    if (call.kind === 'testFailover') return json({ kind: 'run-started', runId: verifiedRun.id });
    if (call.kind === 'run') return json(looks.length > 1 ? looks.shift() : looks[0]);
    return { status: 404, text: '{}' };
  };
}

it('without an engine the verbs are shown all the same, with what is wrong below them', async () => {
  const { exitCode, output } = await dr(['help']);
  expect(exitCode).toBe(3);
  expect(output).toMatch(/failover <vm>[\s\S]*The engine cannot be reached or does not answer[\s\S]*No engine found/);
  const json = await dr(['help', '--json']);
  expect(JSON.parse(json.output)).toMatchObject({ outcome: 'outage', answers: [] });
});

it('without an engine dr says where it looked and how to start one, and exits with 3', async () => {
  const { exitCode, errors } = await dr(['status']);
  expect(exitCode).toBe(3);
  expect(errors).toContain('No engine found');
  expect(errors).toContain('npm start');
});

it('an engine that does not run is exit code 3, with what to do next', async () => {
  await introduce('ana');
  await engine.close();
  const { exitCode, output } = await dr(['status']);
  expect(exitCode).toBe(3);
  expect(output).toContain('The engine cannot be reached');
  expect(output).toContain('npm start');
});

it('dr waits for a drill and shows its picture and how to clean up', async () => {
  await introduce('ana');
  await answerLikeTheWorld();
  const { exitCode, output } = await dr(['failover', 'vm-7', '--test']);
  expect(exitCode).toBe(0);
  expect(output).toContain('50 % · 4/6 start machine');
  expect(output).toContain('/srv/lifeboat/drills/drl_5J8N2P4RST/console.png');
  expect(output).toContain('→ dr cleanup vm-7');
  expect(output).not.toContain('\u001b');
});

it('--no-wait only starts it', async () => {
  await introduce('ana');
  await answerLikeTheWorld();
  const { exitCode, output } = await dr(['failover', 'vm-7', '--test', '--no-wait']);
  expect(exitCode).toBe(0);
  expect(output).toContain('→ dr show run_4F6H8J0KMN');
  expect(engine.received.map((one) => one.method)).toEqual(['POST']);
});

it('--json prints one document, with the run that ended', async () => {
  await introduce('ana');
  await answerLikeTheWorld();
  const { output } = await dr(['failover', 'vm-7', '--test', '--json']);
  expect(JSON.parse(output)).toMatchObject({
    outcome: 'done',
    answers: [{ kind: 'order' }, { kind: 'run', run: { state: 'succeeded', result: { verified: true } } }],
  });
});

it('a line that is no command never reaches the engine, and exits with 2', async () => {
  await introduce('ana');
  const { exitCode, errors, output } = await dr(['failover', 'vm-7', '--tset']);
  expect(exitCode).toBe(2);
  expect(errors).toContain('→ dr failover vm-7 --test');
  expect(output).toBe('');
  expect(engine.received).toEqual([]);
});

it('a failover without a mode asks and runs nothing', async () => {
  await introduce('ana');
  const { exitCode, errors } = await dr(['failover', 'vm-7']);
  expect(exitCode).toBe(2);
  expect(errors).toContain('Nothing has been started');
  expect(engine.received).toEqual([]);
});

it('what this version cannot do is refused with exit code 1', async () => {
  const { exitCode, output } = await dr(['commit', 'run_7K3M9Q2WXA']);
  expect(exitCode).toBe(1);
  expect(output).toContain('not available in this version');
});

it('an audit as CSV has the output to itself', async () => {
  await introduce('ana');
  const entry = { atMs: 0, who: 'ana', via: 'certificate', what: 'pause', target: 'vm-7', detail: 'x', digest: 'd' };
  handle = () => json({ entries: [{ ...entry, number: 1 }], isChainWhole: true, headDigest: 'ab' });
  const { output, errors } = await dr(['audit', 'vm-7', '--csv']);
  expect(output.split('\r\n')).toEqual([
    'number,at,who,via,what,target,detail,digest',
    '1,1970-01-01T00:00:00.000Z,ana,certificate,pause,vm-7,x,d',
    '',
  ]);
  expect(errors).toContain('Audit of vm-7 · 1 entry');
});

it('approve without its code says how to give it', async () => {
  await introduce('ana');
  const message = 'Your approval needs the six-digit code of your authenticator.';
  const refusal = { kind: 'step-up', message, candidates: [], nextStep: 'Give it with `--code`.' };
  handle = () => ({ status: 403, text: JSON.stringify(refusal) });
  const { exitCode, output } = await dr(['approve', 'apr_7K3M9Q2WXA']);
  expect(exitCode).toBe(1);
  expect(output.replaceAll(/\s+/g, ' ')).toContain('`approve apr_7K3M9Q2WXA --code <six digits>`');
});

it('with several people dr asks who, and --as says it', async () => {
  await introduce('ana');
  await introduce('ben');
  await answerLikeTheWorld();
  expect(await dr(['status'])).toMatchObject({ exitCode: 3, errors: expect.stringContaining('ana, ben') });
  expect((await dr(['status', '--as', 'ben'])).exitCode).toBe(0);
  expect((await dr(['status'], { LIFEBOAT_PERSON: 'ana' })).exitCode).toBe(0);
  expect((await dr(['status', '--as', 'eve'])).errors).toContain('no person `eve`');
  expect((await dr(['status', '--as'])).exitCode).toBe(2);
});

it('the state folder can be said', async () => {
  await introduce('ana');
  await answerLikeTheWorld();
  const elsewhere = { LIFEBOAT_STATE: path.join(folder, 'nowhere') };
  expect((await dr(['whoami'], elsewhere)).errors).toContain('nowhere');
  expect((await dr(['whoami'], { LIFEBOAT_STATE: '.lifeboat' })).output).toContain('You are ana');
});

it('a broken connection file is said, with what to do', async () => {
  await introduce('ana');
  await writeFile(path.join(folder, '.lifeboat/people/ana.json'), '{"engineUrl":"http://127.0.0.1"}');
  const { exitCode, errors } = await dr(['whoami']);
  expect(exitCode).toBe(3);
  expect(errors).toContain('ana.json');
  expect(errors).toContain('Next:');
});

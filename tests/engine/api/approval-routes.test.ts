import { randomBytes } from 'node:crypto';
import { sql } from 'drizzle-orm';
import { TOTP } from 'otpauth';
import { afterAll, beforeAll, expect, test } from 'vitest';
import type { z } from 'zod';
import { invariant } from '../../../domain/invariant.ts';
import { beginSetUp, confirmSetUp, verifyStepUp } from '../../../engine/people/authenticator.ts';
import { subscribe } from '../../../engine/store/chat-places.ts';
import type { Store } from '../../../engine/store/open.ts';
import { addPerson, linkUser, setGrants } from '../../../engine/store/people.ts';
import { createApprovedRun } from '../../../engine/workflow/approved-run.ts';
import { approvalView, chatRoutes } from '../../../protocol/chat-api.ts';
import { commandAnswer, refusalBody } from '../../../protocol/control-api.ts';
import { startTestPostgres, type TestPostgres } from '../../fixtures/postgres.ts';
import { makeFresh } from '../approvals/approval-site.ts';
import { protectMachines } from '../workflow/protected-machine.ts';
import { type Answer, type Caller, startTestApi, type TestApi } from './api-fixture.ts';

const authenticatorKey = randomBytes(32);
const started: string[] = [];
let postgres: TestPostgres;
let api: TestApi;
let ana: Caller;
let ben: Caller;
let benInSlack: Caller;
let code: (stepsAgo: number) => string;

beforeAll(async () => {
  postgres = await startTestPostgres();
  const store = await postgres.freshStore();
  api = await startTestApi(store, {
    authenticatorKey,
    approvals: {
      target: {
        check: async () => undefined,
        describe: async () => ({ target: 'QEMU on b-1', network: 'none', accelerator: 'tcg', memoryBytesMax: 2 ** 30 }),
      },
      createApprovedRun,
      startRun: async (runId) => {
        started.push(runId);
      },
      verifyStepUp: (db, proof) => verifyStepUp({ authenticatorKey }, db, proof),
    },
  });
  await store.write(async (db) => {
    await addPerson(db, 'ben', 'the test');
    await setGrants(db, 'ben', [{ role: 'approver', scope: { kind: 'machine', name: 'vm-7' } }], 'the test');
    await linkUser(db, { surface: 'slack', tenant: 'T1', user: 'U7', displayName: 'Ben', person: 'ben' });
  });
  code = await giveAuthenticator(store, 'ben');
  for (const machine of await protectMachines(store, ['vm-7', 'vm-8'])) {
    await store.write((db) => makeFresh(db, machine.machineId));
  }
  ana = await api.as({ kind: 'person', name: 'ana' });
  ben = await api.as({ kind: 'person', name: 'ben' });
  benInSlack = await api.inChat('U7');
});
afterAll(async () => {
  await api.stop();
  await postgres.stop();
});

/** A telephone that makes codes; the one of two steps ago proves it, so that the later ones are not used up. */
async function giveAuthenticator(store: Store, person: string): Promise<(stepsAgo: number) => string> {
  const begun = await store.write((db) => beginSetUp({ authenticatorKey }, db, person));
  invariant(begun !== 'confirmed-already' && begun.kind === 'secret', 'a fresh person has none');
  const telephone = new TOTP({ secret: begun.secret });
  const at = (stepsAgo: number) => telephone.generate({ timestamp: Date.now() - stepsAgo * 30_000 });
  const proven = await store.write((db) => confirmSetUp({ authenticatorKey }, db, { person, code: at(1) }));
  invariant(proven === 'proven', 'the code of a step ago is taken');
  return at;
}

const request = (more: object = {}) => ({ machine: 'vm-7', reason: 'power work', ...more });
function approvalOf(answer: Answer): z.output<typeof approvalView> {
  const parsed = commandAnswer.parse(answer.body);
  invariant(parsed.kind === 'approval', 'an approval');
  return parsed.approval;
}
const refusalOf = (answer: Answer) => ({ status: answer.status, ...refusalBody.parse(answer.body) });

test('a dry run says what would happen and who may decide, and asks for nothing', async () => {
  const answer = commandAnswer.parse((await ana.post(chatRoutes.plannedFailover, request({ dryRun: true }))).body);
  invariant(answer.kind === 'failover-plan', 'a plan');
  expect(answer.plan).toMatchObject({ machineName: 'vm-7', vmName: 'vm-7', neededCount: 1, eligible: ['ada', 'ben'] });
  expect(answer.plan.checks).toHaveLength(10);
  expect(answer.plan.impact.join(' ')).toContain('Lost: nothing');
  expect((await ana.get(chatRoutes.approvals)).body).toEqual([]);
});

test('ana asks, ben proves himself in Slack and approves, and exactly one run begins', async () => {
  const asked = approvalOf(await ana.post(chatRoutes.plannedFailover, request()));
  expect(asked).toMatchObject({ state: 'pending', requestedBy: 'ana', eligible: ['ada', 'ben'], runId: null });
  const button = { approval: asked.id, revision: asked.revision, digest8: asked.digest.slice(0, 8) };
  expect(refusalOf(await ana.post(chatRoutes.approve, button))).toMatchObject({ status: 403 });
  expect(refusalOf(await benInSlack.post(chatRoutes.approve, button))).toMatchObject({ status: 403, kind: 'step-up' });
  expect(refusalOf(await benInSlack.post(chatRoutes.approve, { ...button, code: '000000' }))).toMatchObject({
    kind: 'step-up',
  });
  const stale = { ...button, digest8: 'ffffffff', code: code(0) };
  expect(refusalOf(await benInSlack.post(chatRoutes.approve, stale))).toMatchObject({ status: 409, kind: 'refused' });
  const approved = approvalOf(await benInSlack.post(chatRoutes.approve, { ...button, code: code(0) }));
  expect(approved).toMatchObject({
    state: 'executing',
    decidedBy: 'ben',
    votes: [{ person: 'ben', via: 'slack', stepUp: 'totp' }],
  });
  expect(started).toEqual([approved.runId]);
  expect(refusalOf(await ben.post(chatRoutes.approve, { ...button, code: code(0) }))).toMatchObject({ status: 409 });
  const url = chatRoutes.approval.replace(':id', asked.id);
  expect(approvalView.parse((await ana.get(url)).body)).toMatchObject({ id: asked.id, state: 'executing' });
});

test('an approver of one machine decides about no other, and may look', async () => {
  const asked = approvalOf(await ana.post(chatRoutes.plannedFailover, request({ machine: 'vm-8' })));
  expect(asked.eligible).toEqual(['ada']);
  const no = { approval: asked.id, reason: 'no' };
  expect(refusalOf(await ben.post(chatRoutes.reject, no))).toMatchObject({
    status: 403,
    message: expect.stringContaining('ada'),
  });
  const ada = await api.as({ kind: 'person', name: 'ada' });
  expect(approvalOf(await ada.post(chatRoutes.reject, no))).toMatchObject({ state: 'rejected', decisionReason: 'no' });
  expect(refusalOf(await ana.post(chatRoutes.withdraw, { approval: asked.id }))).toMatchObject({ status: 409 });
});

test('an unknown approval is refused, and the open ones are named', async () => {
  const open = approvalOf(await ana.post(chatRoutes.plannedFailover, request({ machine: 'vm-8' })));
  const refusal = refusalOf(await ben.post(chatRoutes.reject, { approval: 'apr_nothing', reason: 'x' }));
  expect(refusal).toMatchObject({ status: 404, kind: 'unknown-target', candidates: [open.id] });
});

test('thresholds: an admin makes them stricter at once; weaker ones wait for another admin', async () => {
  const ada = await api.as({ kind: 'person', name: 'ada' });
  const set = (warnMs: number, criticalMs: number) =>
    ada.post(chatRoutes.threshold, { machine: 'vm-8', warnMs, criticalMs });
  expect(commandAnswer.parse((await set(30_000, 60_000)).body)).toMatchObject({ kind: 'done' });
  expect(approvalOf(await set(300_000, 600_000))).toMatchObject({
    operation: 'raise-threshold',
    state: 'pending',
    eligible: [],
  });
  expect((await ana.post(chatRoutes.threshold, { machine: 'vm-8', warnMs: 1, criticalMs: 2 })).status).toBe(403);
});

test('a reason that no database takes is kept as far as it can be, and an id that is none is unknown', async () => {
  const asked = approvalOf(
    await ana.post(chatRoutes.plannedFailover, request({ machine: 'vm-8', reason: 'a\u0000b' })),
  );
  expect(asked.reason).toBe('a\uFFFDb');
  for (const approval of ['apr_\u0000', "' or 1=1 --", 'run_0000000001']) {
    expect(refusalOf(await ana.post(chatRoutes.withdraw, { approval }))).toMatchObject({ status: 404 });
  }
});

test('a guest that nobody protects, and a break-glass by somebody who is not on call, are refused in words', async () => {
  expect(refusalOf(await ana.post(chatRoutes.plannedFailover, request({ machine: 'vm-77' })))).toMatchObject({
    status: 404,
  });
  const alone = request({ machine: 'vm-8', breakGlass: { typedName: 'vm-8' }, code: '123456' });
  expect(refusalOf(await ana.post(chatRoutes.plannedFailover, alone))).toMatchObject({
    status: 403,
    message: expect.stringContaining('on call'),
  });
});

test('a change of the on-call list is told in the subscribed channels, with who did it and who was on it before', async () => {
  const ada = await api.as({ kind: 'person', name: 'ada' });
  const place = { surface: 'slack' as const, tenant: 'T1', place: 'C-on-call' };
  await api.store.write((db) => subscribe(db, { place, severityMin: 'warning', person: 'ada' }));
  const told = async () => {
    const { rows } = await api.store.read((db) =>
      db.execute<{ content: unknown }>(
        sql`select content from messages where place = 'C-on-call' and kind = 'direct' order by number`,
      ),
    );
    return rows.map(({ content }) => JSON.stringify(content));
  };
  for (const persons of [['ben'], ['ada', 'ben']]) await ada.post(chatRoutes.onCall, { persons });
  const [first, second, ...more] = await told();
  expect(more).toEqual([]);
  expect(first).toContain('ada set the on-call list: ben.');
  expect(first).toContain('Nobody was on it before.');
  expect(second).toContain('ada set the on-call list: ada, then ben.');
  expect(second).toContain('Before it: ben.');
});

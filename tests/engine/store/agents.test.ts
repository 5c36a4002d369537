import { randomBytes, randomUUID } from 'node:crypto';
import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest';
import type { AgentId } from '../../../domain/ids.ts';
import { invariant } from '../../../domain/invariant.ts';
import { agentSilences, listGuests, listHostViews, noteHeartbeat, saveGuests } from '../../../engine/store/agents.ts';
import { consumeToken, insertToken, isAgentWelcome, recordRenewal } from '../../../engine/store/enrolment.ts';
import { listEvents } from '../../../engine/store/events.ts';
import { enableMachine, listMachines } from '../../../engine/store/machines.ts';
import { newId } from '../../../engine/store/new-id.ts';
import type { Store } from '../../../engine/store/open.ts';
import type { GuestReport } from '../../../protocol/agent-api.ts';
import { startTestPostgres, type TestPostgres } from '../../fixtures/postgres.ts';

let postgres: TestPostgres;
let store: Store;

beforeAll(async () => {
  postgres = await startTestPostgres();
});
afterAll(() => postgres.stop());
beforeEach(async () => {
  store = await postgres.freshStore();
});

const hash = () => randomBytes(32).toString('hex');
async function token(hostName: string, lifeMs = 60_000): Promise<string> {
  const tokenHash = hash();
  await store.write((db) => insertToken(db, { tokenHash, hostName, createdBy: 'ana', lifeMs }));
  return tokenHash;
}
function use(tokenHash: string, hostName: string, agentId: AgentId = newId('agent')) {
  const certificate = { certificateFingerprint: hash(), certificateExpiresAtMs: Date.now() + 60_000 };
  return store.write((db) => consumeToken(db, { tokenHash, hostName, agentId, ...certificate }));
}
async function enrol(hostName: string): Promise<AgentId> {
  const agentId = newId('agent');
  const outcome = await use(await token(hostName), hostName, agentId);
  invariant(outcome.kind === 'consumed', 'enrolled');
  return agentId;
}
const guest = (name: string): GuestReport => ({
  name,
  kind: 'qemu-guest',
  tracking: 'bitmaps',
  disks: [{ key: 'disk0', sizeBytes: 1_000_000 }],
  hardware: { memoryBytes: 64 * 1024 * 1024, cpuCount: 1, firmware: 'bios' },
});

test('of twenty simultaneous uses of one token exactly one enrols', async () => {
  const tokenHash = await token('host-1');
  const outcomes = await Promise.all(Array.from({ length: 20 }, () => use(tokenHash, 'host-1')));
  expect(outcomes.filter((outcome) => outcome.kind === 'consumed')).toHaveLength(1);
  expect(outcomes.filter((outcome) => outcome.kind === 'used')).toHaveLength(19);
});

test('an unknown, an expired and another host’s token enrol nobody, and people are told', async () => {
  expect(await use(hash(), 'host-1')).toEqual({ kind: 'unknown' });
  expect(await use(await token('host-1', 1), 'host-1')).toEqual({ kind: 'expired' });
  expect(await use(await token('host-1'), 'host-2')).toEqual({ kind: 'other-host', hostName: 'host-1' });
  expect(await store.read(listHostViews)).toEqual([]);
  const kinds = (await store.read((db) => listEvents(db, 0))).map((event) => event.kind);
  expect(kinds).toEqual(['enrolment-refused', 'enrolment-refused', 'enrolment-refused']);
});

test('a host that is enrolled again keeps its machines, and its old agent is turned away', async () => {
  const old = await enrol('host-1');
  await store.write((db) => saveGuests(db, old, [guest('vm-7')]));
  const [found] = await store.read(listGuests);
  invariant(found, 'a guest');
  await store.write((db) => enableMachine(db, { guest: found, policyName: 'default', enabledBy: 'ana' }));
  const next = await enrol('host-1');
  expect((await store.read(listMachines)).map((machine) => machine.agentId)).toEqual([next]);
  expect(await store.read((db) => isAgentWelcome(db, old))).toBe(false);
  expect(await store.read((db) => isAgentWelcome(db, next))).toBe(true);
  const renewal = { certificateFingerprint: hash(), certificateExpiresAtMs: Date.now() };
  expect(await store.write((db) => recordRenewal(db, { agentId: old, ...renewal }))).toEqual({ kind: 'refused' });
  expect(await store.write((db) => recordRenewal(db, { agentId: next, ...renewal }))).toEqual({ kind: 'recorded' });
});

test('a restarted agent is welcome at once; of two with one certificate the second is refused from when both were heard', async () => {
  const agentId = await enrol('host-1');
  const beat = async (instanceId: string) =>
    (await store.write((db) => noteHeartbeat(db, { agentId, instanceId, agentVersion: '1', siteName: 'main' }))).kind;
  const [a, b, c] = [randomUUID(), randomUUID(), randomUUID()];
  expect([await beat(a), await beat(a)]).toEqual(['accepted', 'accepted']);
  expect([await beat(b), await beat(b)]).toEqual(['accepted', 'accepted']);
  expect([await beat(c), await beat(b), await beat(c), await beat(b), await beat(c)]).toEqual([
    'accepted',
    'conflict-found',
    'second-instance',
    'accepted',
    'second-instance',
  ]);
});

test('the inventory is what was reported last, and an agent that was never heard has no silence that could be small', async () => {
  const agentId = await enrol('host-1');
  expect(await store.read(agentSilences)).toEqual([{ agentId, hostName: 'host-1', silentMs: undefined }]);
  await store.write((db) => saveGuests(db, agentId, [guest('vm-7'), guest('vm-8'), guest('vm-8')]));
  await store.write((db) => saveGuests(db, agentId, [guest('vm-8'), guest('vm-9')]));
  await store.write((db) =>
    noteHeartbeat(db, { agentId, instanceId: randomUUID(), agentVersion: '2', siteName: 'lisbon' }),
  );
  const [host] = await store.read(listHostViews);
  expect(host).toMatchObject({ name: 'host-1', siteName: 'lisbon', agentVersion: '2', guestNames: ['vm-8', 'vm-9'] });
  const [silence] = await store.read(agentSilences);
  expect(silence?.silentMs).toBeLessThan(10_000);
  await store.write((db) => saveGuests(db, agentId, []));
  expect(await store.read(listGuests)).toEqual([]);
});

import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { createAssignedMachines } from '../../agent/assigned-machines.ts';
import type { ChangeSender } from '../../agent/change-sender.ts';
import { runHeartbeats } from '../../agent/heartbeats.ts';
import { createSpoolBudget } from '../../agent/hrl-spool.ts';
import { openJournal } from '../../agent/journal.ts';
import { machineFolder } from '../../agent/machine-replication.ts';
import { spoolRoom } from '../../agent/spool-room.ts';
import { createSlots, createWakeup } from '../../agent/wakeup.ts';
import { idFromBytes } from '../../domain/ids.ts';
import { OutageError } from '../../domain/outage.ts';
import type { Assignment, HeartbeatRequest } from '../../protocol/agent-api.ts';
import { eventually } from './replication-agent.ts';
import { createSimulatedSource, type SimulatedSource } from './simulated-source.ts';

const machineId = idFromBytes('machine', Buffer.alloc(10, 1));
const assignment: Assignment = {
  machineId,
  name: 'vm-7',
  epoch: 1,
  crashConsistentEveryMs: 1000,
  paused: true,
  disks: [{ diskId: idFromBytes('disk', Buffer.alloc(10, 2)), key: 'disk0', sizeBytes: 65_536 }],
  grant: 'none',
  requests: [],
  isHeld: false,
};

let stateFolder: string;
let source: SimulatedSource;
let machines: ReturnType<typeof assigned>;
beforeEach(() => {
  stateFolder = mkdtempSync(join(tmpdir(), 'lifeboat-assigned-'));
  source = createSimulatedSource(join(stateFolder, 'source'), [{ key: 'disk0', sizeBytes: 65_536 }]);
  machines = assigned(['vm-7']);
});
afterEach(async () => {
  await machines.stop();
  rmSync(stateFolder, { recursive: true, force: true });
});

/** No process server can be reached: what is tested here is what runs, not what is sent. */
function assigned(guestNames: string[]) {
  const away = () => Promise.reject(new OutageError('no process server', { retryable: true }));
  const sender: ChangeSender = { position: away, digests: away, send: away, close: () => Promise.resolve() };
  return createAssignedMachines({
    sender,
    discovery: { trackerOf: (name) => (guestNames.includes(name) ? source.tracker() : undefined) },
    stateFolder,
    spoolBudget: createSpoolBudget(1e9),
    announcePoint: () => Promise.reject(new Error('nothing is announced here')),
    engineClockOffsetMs: () => 0,
    nowMs: Date.now,
    monotonicMs: () => performance.now(),
    random: Math.random,
    scanSlots: createSlots(1),
    log: { info: () => undefined, warn: () => undefined },
    onBoundary: () => undefined,
  });
}

test('a machine runs while it is assigned, and leaves nothing when it no longer is', async () => {
  await machines.reconcile([assignment]);
  await machines.reconcile([assignment]);
  expect(machines.reports()).toMatchObject([{ machineId, spoolBytes: 0 }]);
  expect(existsSync(machineFolder(stateFolder, machineId))).toBe(true);
  await machines.reconcile([]);
  expect(machines.reports()).toEqual([]);
  expect(source.record().isRemoved).toBe(true);
  expect(existsSync(machineFolder(stateFolder, machineId))).toBe(false);
});

test('a machine that was given up while the agent was not running is cleaned up when it starts', async () => {
  await openJournal(machineFolder(stateFolder, machineId), { machineId, machineName: 'vm-7' }).then((journal) =>
    journal.update((before) => ({ ...before, generation: 3 })),
  );
  await machines.reconcile([]);
  expect(source.record().isRemoved).toBe(true);
  expect(existsSync(machineFolder(stateFolder, machineId))).toBe(false);
});

test('a guest that is not on this host is said in its report, until it is there', async () => {
  const guestNames: string[] = [];
  machines = assigned(guestNames);
  await machines.reconcile([assignment]);
  expect(machines.reports()).toMatchObject([
    { machineId, activity: { kind: 'failing', message: 'There is no guest vm-7 on this host. Start it.' } },
  ]);
  guestNames.push('vm-7');
  await machines.reconcile([assignment]);
  await eventually(() => machines.reports()[0]?.activity.kind !== undefined);
  expect(machines.reports()).toHaveLength(1);
});

test('heartbeats go on while the engine is away, and a fence stops every machine', async () => {
  const stopping = new AbortController();
  const beats: HeartbeatRequest[] = [];
  const triedAgainAt: number[] = [];
  const answers = [
    () => Promise.reject(new OutageError('no engine', { retryable: true })),
    () =>
      Promise.resolve({
        kind: 'answered' as const,
        answer: { engineNowMs: 1, nextHeartbeatMs: 100, processServers: [], assignments: [assignment] },
      }),
    () => Promise.resolve({ kind: 'fenced' as const, message: 'another instance has this certificate' }),
  ];
  const running = runHeartbeats({
    client: {
      heartbeat(report) {
        beats.push(report);
        return answers[beats.length - 1]?.() ?? Promise.reject(new Error('no more'));
      },
    },
    machines: { ...machines, tryAgain: () => triedAgainAt.push(beats.length) },
    guests: () => Promise.resolve([]),
    spool: () => spoolRoom(createSpoolBudget(1e9), stateFolder),
    about: {
      instanceId: '572fc7ff-1f03-49ab-b3c5-30a665b8e20c',
      agentVersion: '0',
      hostName: 'host',
      siteName: 'main',
    },
    onAnswer: () => undefined,
    monotonicMs: () => performance.now(),
    random: () => 0.99,
    log: { info: () => undefined, warn: () => undefined },
    wakeup: createWakeup(stopping.signal),
    signal: stopping.signal,
  });
  await eventually(() => beats.length === 3);
  await eventually(() => machines.reports().length === 0);
  expect(beats[2]?.machines).toMatchObject([{ machineId }]);
  const room = { usedBytes: expect.any(Number), freeBytes: expect.any(Number) };
  expect(beats[2]?.spool).toEqual({ usedBytes: 0, bytesMax: 1e9, fileSystem: room });
  // Once, with the first answer after the silence.
  expect(triedAgainAt).toEqual([2]);
  stopping.abort();
  await running;
});

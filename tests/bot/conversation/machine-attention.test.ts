import { expect, test } from 'vitest';
import { machineCard, statusCard } from '../../../bot/conversation/machine-cards.ts';
import type { MachineView } from '../../../protocol/control-api.ts';
import { machine } from '../recorded-answers.ts';

const nowMs = Date.UTC(2026, 10, 22, 14, 0, 0);
const protection = { kind: 'initial-replication', doneBytes: 43, totalBytes: 100, bytesPerSecond: 1 } as const;
const message = 'No recovery point yet: initial replication is at 43 %.';
const firstCopy = (health: MachineView['health']) => machine('vm-7', { protection, health, lagMs: null });
const cardOf = (machines: readonly MachineView[]) => statusCard(machines, undefined, nowMs);

test('a first copy that goes on is work and not trouble; one of which nothing is known needs attention', () => {
  const card = cardOf([firstCopy({ kind: 'unknown', message, isExpected: true })]);
  expect(card).toMatchObject({ title: '1 machine · 1 replicating', tone: 'working', text: [`vm-7: ${message}`] });
  const silent = cardOf([firstCopy({ kind: 'unknown', message: 'The agent has never been heard.' })]);
  expect(silent).toMatchObject({ title: '1 machine · 1 replicating · 1 needs attention', tone: 'warning' });
});

test('a machine that was failed over needs nobody by itself, and is not green', () => {
  const moved = {
    kind: 'failed-over',
    runId: 'run_1',
    target: 'dr-1',
    vmName: 'vm-8-Failover',
    atMs: 0,
    disks: 'local',
  } as const;
  const health = { kind: 'warning', message: 'Failed over: it runs at dr-1.', isExpected: true } as const;
  const card = cardOf([machine('vm-7'), machine('vm-8', { protection: moved, health, lagMs: null })]);
  expect(card).toMatchObject({ title: '2 machines · 1 Enabled', tone: 'neutral' });
});

test('the card of a machine says its tags, and first the one that makes a planned failover wait for two persons', () => {
  const tagsOf = (tags: string[]) =>
    machineCard(machine('vm-7', { tags }), nowMs).fields?.find(({ label }) => label === 'Tags')?.value;
  expect(tagsOf(['web', 'tier:0'])).toBe('tier:0 (two approvals), web');
  expect(tagsOf(['tier:00', 'web'])).toBe('tier:00, web');
  expect(tagsOf([])).toBeUndefined();
});

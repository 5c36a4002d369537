import { describe, expect, test } from 'vitest';
import {
  admit,
  initialReplicationLeftMs,
  type MachineAction,
  type MachineFacts,
  type ProtectionState,
  percentDone,
  protectionWords,
  statesThatAdmit,
} from '../../domain/protected-machine.ts';

const protections: readonly ProtectionState[] = [
  { kind: 'not-protected' },
  { kind: 'initial-replication', doneBytes: 42, totalBytes: 100, bytesPerSecond: 1 },
  { kind: 'protected' },
];
const facts = (protection: ProtectionState, more: Partial<MachineFacts> = {}): MachineFacts => ({
  name: 'vm-7',
  protection,
  drill: { kind: 'none' },
  replication: { kind: 'running' },
  ...more,
});
const open = { drill: { kind: 'open', pointTakenAtMs: 0 } } as const;
const paused = { replication: { kind: 'paused', untilMs: 0, reason: 'tape day' } } as const;
/** What has to be true besides the protection, for each action to be possible. */
const helpful: Partial<Record<MachineAction, Partial<MachineFacts>>> = { cleanup: open, resume: paused };

describe('the table of what is allowed', () => {
  const actions = Object.keys(statesThatAdmit) as MachineAction[];
  const rows = actions.flatMap((action) =>
    protections.map((protection) => [action, protection.kind, protection] as const),
  );

  test.each(rows)('%s of a machine that is %s', (action, kind, protection) => {
    const admission = admit(action, facts(protection, helpful[action]));
    const states: readonly string[] = statesThatAdmit[action];
    expect(admission.kind).toBe(states.includes(kind) ? 'allowed' : 'refused');
    // A refusal is a sentence about this machine, with a way on.
    if (admission.kind === 'refused') expect(admission.message).toMatch(/vm-7.*\.$/);
  });
});

const [unprotected, replicating, enabled] = protections as [ProtectionState, ProtectionState, ProtectionState];
const message = (action: MachineAction, machine: MachineFacts) => {
  const admission = admit(action, machine);
  return admission.kind === 'refused' ? admission.message : 'allowed';
};

test('a refusal says why, and when it will be possible', () => {
  expect(message('test-failover', facts(replicating))).toBe(
    'vm-7 is not protected yet: its initial replication is at 42 %, about 58 s left. You can fail over as soon as it says "Enabled".',
  );
  expect(message('test-failover', facts(unprotected))).toContain('`enable vm-7 --policy default`');
  expect(message('test-failover', facts(enabled, open))).toContain('`cleanup vm-7`');
  expect(message('cleanup', facts(enabled))).toContain('`failover vm-7 --test`');
  expect(message('resume', facts(enabled))).toContain('not paused');
  expect(message('bookmark', facts(enabled, paused))).toContain('tape day');
  expect(message('enable', facts(replicating))).toContain('Enabled: Replicating (42 %)');
});

test('the words of the two documents are shown, and 100 % is never claimed before the end', () => {
  expect(protections.map(protectionWords)).toEqual(['Not enabled', 'Enabled: Replicating (42 %)', 'Enabled']);
  const almost = { kind: 'initial-replication', doneBytes: 100, totalBytes: 100, bytesPerSecond: 0 } as const;
  expect(percentDone(almost)).toBe(99);
  expect(percentDone({ ...almost, totalBytes: 0 })).toBe(0);
  expect(initialReplicationLeftMs(almost)).toBeUndefined();
});

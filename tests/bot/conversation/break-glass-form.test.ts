import { expect, test } from 'vitest';
import type { ApiCall } from '../../../bot/api-call.ts';
import { executeChatLine } from '../../../bot/chat-line.ts';
import { formFor } from '../../../bot/conversation/forms.ts';
import { formView } from '../../../bot/slack/form-view.ts';
import { renderForm } from '../../../bot/teams/render-form.ts';
import type { PlannedFailoverPlanView } from '../../../protocol/control-api.ts';
import { nowMs, refusal } from '../recorded-answers.ts';

const line = 'failover vm-7 --planned --break-glass --confirm vm-7 --reason "site on fire"';
const plan: PlannedFailoverPlanView = {
  digest: 'ab'.repeat(32),
  machineName: 'vm-7',
  newestPoint: null,
  lagMs: 9000,
  target: 'QEMU on vm',
  vmName: 'vm-7-failover',
  network: 'isolated',
  accelerator: 'kvm',
  shutdownLimitMs: 120_000,
  neededCount: 1,
  eligible: ['ben'],
  impact: ['Stops: vm-7.', 'For how long: 2 min.', 'Lost: nothing.', 'Reached by: nobody yet.'],
  checks: [
    { name: 'replication', state: 'ok', detail: 'well' },
    { name: 'drill', state: 'warning', detail: 'the last one was 40 d ago' },
    { name: 'target', state: 'failed', detail: 'full' },
  ],
  steps: [],
  measured: null,
  measuredDrills: null,
};
const shown = [
  'vm-7 is failed over at once, without an approver: "site on fire"',
  'Stops: vm-7.',
  'For how long: 2 min.',
  'Lost: nothing.',
  'Reached by: nobody yet.',
  'Check failed: target: full',
  'Check warning: drill: the last one was 40 d ago',
  'All approvers are told, and another person reviews it within 24 hours.',
];

/** The engine as the line finds it: without a code it refuses, and it makes dry runs. */
function say(hasAuthenticator: boolean) {
  const asked: ApiCall[] = [];
  const message = hasAuthenticator ? 'A code is needed.' : 'You have no authenticator yet.';
  const reply = executeChatLine(line, {
    engine: {
      ask: async (call) => {
        asked.push(call);
        if (call.kind === 'whoami') {
          const person = { name: 'ana', via: 'slack', isLinked: true, roles: [], grants: [], isOnCall: true };
          return { kind: 'whoami', whoami: { ...person, hasAuthenticator } };
        }
        if (call.kind !== 'plannedFailover' || !call.body.dryRun) return refusal({ kind: 'step-up', message });
        return { kind: 'order', answer: { kind: 'failover-plan', plan } };
      },
    },
    speaker: { session: 's' },
    newKey: () => 'k',
    nowMs: () => nowMs,
  });
  return { reply, asked };
}

test('who acts alone reads what an approver would: the impact, and what is not well, the worst first', async () => {
  const { reply, asked } = say(true);
  const { form } = await reply;
  expect(form).toMatchObject({ title: 'Break-glass', style: 'danger', text: shown });
  expect(asked.at(-1)).toEqual({
    kind: 'plannedFailover',
    body: { machine: 'vm-7', reason: 'site on fire', dryRun: true },
  });
});

test('Slack and Teams show all of it, also with the longest texts', () => {
  const long = 'x'.repeat(2000);
  const checks = Array.from({ length: 20 }, () => ({ name: long, state: 'failed', detail: long }) as const);
  const form = formFor('approve', line, { nowMs, plan: { ...plan, impact: Array(9).fill(long), checks } });
  expect(form.text.every((sentence) => sentence.length <= 600)).toBe(true);
  const place = { surface: 'slack', tenant: 'T1', place: 'C1' } as const;
  const short = formFor('approve', line, { nowMs, plan });
  const slack = JSON.stringify(formView(short, { place, threadTs: undefined, isFromHome: false }));
  const teams = JSON.stringify(renderForm(short));
  for (const sentence of shown.slice(1)) {
    expect(slack).toContain(sentence);
    expect(teams).toContain(sentence);
  }
  // Teams takes cards of 28 KB.
  expect(JSON.stringify(renderForm(form)).length).toBeLessThan(25_000);
});

test('without a dry run the form says so, and how to ask for one', () => {
  expect(formFor('approve', line, { nowMs }).text[1]).toContain('`failover vm-7 --planned --dry-run`');
});

test('who has no authenticator gets no form: the engine’s words say it', async () => {
  const { form, cards } = await say(false).reply;
  expect(form).toBeUndefined();
  expect(cards[0]?.text?.[0]).toBe('You have no authenticator yet.');
});

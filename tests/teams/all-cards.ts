import { readdirSync, readFileSync } from 'node:fs';
import path from 'node:path';
import type { Card } from '../../bot/card.ts';
import { executeChatLine } from '../../bot/chat-line.ts';
import { alertCard } from '../../bot/conversation/alert-cards.ts';
import { approvalCard } from '../../bot/conversation/approval-cards.ts';
import { formFor } from '../../bot/conversation/forms.ts';
import { engineBackCard, engineSilentCard, noteCard } from '../../bot/conversation/note-cards.ts';
import { runCard } from '../../bot/conversation/run-cards.ts';
import type { Form } from '../../bot/form.ts';
import type { ApprovalView } from '../../protocol/chat-api.ts';
import { drillRun, engineOf, nowMs, verifiedRun, worlds } from '../bot/recorded-answers.ts';
import { lagAlert, pendingApproval } from './small-engine.ts';

export type NamedCard = { readonly name: string; readonly card: Card };

const approval: ApprovalView = { ...pendingApproval, requestedAtMs: nowMs - 60_000, expiresAtMs: nowMs + 1_700_000 };
const vote = { person: 'ben', decision: 'approve', atMs: nowMs, via: 'teams', reason: 'seen', stepUp: 'totp' } as const;
const states: readonly Partial<ApprovalView>[] = [
  {},
  { isBreakGlass: true, eligible: [] },
  { state: 'approved', votes: [vote] },
  { state: 'rejected', decidedBy: 'ben', decidedAtMs: nowMs, decisionReason: 'not during the fair' },
  { state: 'expired', decidedAtMs: nowMs },
  { state: 'superseded', decidedAtMs: nowMs },
  { state: 'withdrawn', decidedBy: 'ana', decidedAtMs: nowMs },
  { state: 'executing', votes: [vote], runId: 'run_4F6H8J0KMN' as NonNullable<ApprovalView['runId']> },
  { state: 'succeeded', votes: [vote], measured: { rpoMs: 0, rtoMs: 41_000 }, decidedAtMs: nowMs },
  { state: 'failed', votes: [vote], decidedAtMs: nowMs, decisionReason: 'vm-7 did not stop within 120 s' },
];

/** Every card that the bot draws: the answers of all transcripts, and what the engine has shown by itself. */
export async function allCards(): Promise<NamedCard[]> {
  return [...(await transcriptCards()), ...engineCards()];
}

async function transcriptCards(): Promise<NamedCard[]> {
  const folder = path.join(import.meta.dirname, '../scenarios');
  const cards: NamedCard[] = [];
  for (const file of readdirSync(folder).filter((name) => name.endsWith('.txt'))) {
    let engine = engineOf(worlds.well ?? { machines: [] });
    for (const line of readFileSync(path.join(folder, file), 'utf8').split('\n')) {
      const [, word, value = ''] = /^(world|ana>)\s?(.*)$/.exec(line) ?? [];
      if (word === 'world') engine = engineOf(worlds[value] ?? { machines: [] });
      if (word === 'ana>') cards.push(...(await cardsOf(value, file, engine)));
    }
  }
  return cards;
}

async function cardsOf(line: string, file: string, engine: ReturnType<typeof engineOf>): Promise<NamedCard[]> {
  const { cards } = await executeChatLine(line, {
    engine,
    speaker: {
      actor: { surface: 'teams', tenant: 't', user: 'u', displayName: 'ana', kind: 'member', envelope: 'e' },
    },
    place: { surface: 'teams', tenant: 't', place: '19:x@thread.tacv2' },
    newKey: () => 'key',
    nowMs: () => nowMs,
  });
  return cards.map((card, index) => ({ name: `${file} ${line} ${index}`, card }));
}

function engineCards(): NamedCard[] {
  const alerts = ['open', 'acknowledged', 'snoozed', 'muted', 'recovered'] as const;
  const members = [1, 2, 3].map((n) => ({ scope: `vm-${n}`, text: 'lag 4 min, limit 1 min' }));
  return [
    ...states.map((more) => ({
      name: `approval ${more.state ?? 'pending'}`,
      card: approvalCard({ ...approval, ...more }, nowMs),
    })),
    ...alerts.map((state) => ({
      name: `alert ${state}`,
      card: alertCard({ ...lagAlert, openedAtMs: nowMs - 240_000, changedAtMs: nowMs, state, members }, nowMs),
    })),
    { name: 'run active', card: runCard(drillRun(3), nowMs) },
    { name: 'run done', card: runCard(verifiedRun, nowMs) },
    { name: 'silent', card: engineSilentCard(nowMs - 90_000, nowMs) },
    { name: 'back', card: engineBackCard(90_000) },
    {
      name: 'note',
      card: noteCard({
        title: '12 messages while Teams was away',
        tone: 'neutral',
        text: ['vm-7 lagged 4 min and recovered.'],
        copyLine: 'alerts',
      }),
    },
  ];
}

export function allForms(): Form[] {
  const facts = { approval, alert: lagAlert, nowMs };
  return [
    formFor('failover', 'failover vm-7', facts),
    formFor('approve', `approve ${approval.id} --rev 1 --digest ab12cd34`, {
      ...facts,
      problem: 'That code is wrong.',
    }),
    formFor('reject', `reject ${approval.id} --rev 1 --digest ab12cd34`, facts),
    formFor('snooze', `snooze ${lagAlert.id}`, facts),
  ];
}

import { setTimeout as delay } from 'node:timers/promises';
import type { z } from 'zod';
import type { MessageId, RunId } from '../../domain/ids.ts';
import { isId } from '../../domain/ids.ts';
import { assertNever, invariant } from '../../domain/invariant.ts';
import { type claimBody, type DeliveryView, deliverySubject, noteView } from '../../protocol/chat-api.ts';
import { approvalViewOf } from '../approvals/approval-view.ts';
import { alertViewOf } from '../store/alerts.ts';
import type { Database } from '../store/database.ts';
import { type ClaimedMessage, claimMessages, endMessage } from '../store/deliveries.ts';
import { digestMembers } from '../store/message-digest.ts';
import type { Store } from '../store/open.ts';
import { chatUsersOf, onCallPersons } from '../store/people.ts';
import { digestNote } from './digest-note.ts';

type Claim = z.output<typeof claimBody>;
type Subject = DeliveryView['subject'];

/** Due messages are looked for by ourselves too: a pause ends without anybody saying so. */
const lookEveryMs = 1000;

/** What a bot should deliver now; when there is nothing yet, waits for the first. Source: CHAT 5.2 (7) */
export async function claimDeliveries(store: Store, claim: Claim, signal: AbortSignal): Promise<DeliveryView[]> {
  const deadline = performance.now() + claim.waitMs;
  let wake: () => void = () => undefined;
  const stopListening = store.onEvent(() => wake());
  try {
    while (true) {
      // Made before the look, so that a message in between is not slept over.
      const woken = new Promise<void>((resolve) => {
        wake = resolve;
      });
      const found = signal.aborted ? [] : await store.write((db) => claimNow(db, claim));
      const leftMs = deadline - performance.now();
      if (found.length > 0 || leftMs <= 0 || signal.aborted) return found;
      const timer = new AbortController();
      const paused = delay(Math.min(leftMs, lookEveryMs), undefined, { signal: timer.signal });
      // Aborted below when somebody woke us before.
      paused.catch(() => undefined);
      await Promise.race([woken, paused]);
      timer.abort();
    }
  } finally {
    stopListening();
  }
}

async function claimNow(db: Database, claim: Claim): Promise<DeliveryView[]> {
  const views: DeliveryView[] = [];
  for (const message of await claimMessages(db, claim)) {
    const subject = await subjectOf(db, message);
    if (subject === undefined) {
      await endMessage(db, message.id, { state: 'superseded', why: 'what it tells of is gone' });
      continue;
    }
    views.push(await viewOf(db, message, subject));
  }
  return views;
}

async function viewOf(db: Database, message: ClaimedMessage, subject: Subject): Promise<DeliveryView> {
  const { id, place, revision, ref, parentRef, isNotifying, severity } = message;
  const mentions = await mentionsOf(db, message, subject);
  return { id, place, revision, subject, ref, parentRef, isNotifying, mentions, severity };
}

/** What is true now, not what was when the message was wanted: a delivery is never older than its revision. */
async function subjectOf(db: Database, message: ClaimedMessage): Promise<Subject | undefined> {
  switch (message.kind) {
    case 'copy':
      return topicSubject(db, message.topic);
    case 'note':
    case 'direct':
      return { kind: 'note', note: noteView.parse(message.content) };
    case 'picture':
      return deliverySubject.parse({ kind: 'picture', ...Object(message.content) });
    case 'digest':
      return digestSubject(db, message.id);
    default:
      return assertNever(message.kind);
  }
}

async function topicSubject(db: Database, topic: string | null): Promise<Subject | undefined> {
  invariant(topic !== null, 'a copy has a topic');
  const id = topic.slice(topic.indexOf(':') + 1);
  if (topic.startsWith('run:')) return isId('run', id) ? { kind: 'run', runId: id satisfies RunId } : undefined;
  if (topic.startsWith('approval:')) {
    const approval = await approvalViewOf(db, id);
    return approval && { kind: 'approval', approval };
  }
  const alert = await alertViewOf(db, id);
  return alert && { kind: 'alert', alert };
}

async function digestSubject(db: Database, id: MessageId): Promise<Subject> {
  const members = [];
  for (const member of await digestMembers(db, id)) {
    const alertId = member.kind === 'copy' ? member.topic?.slice('alert:'.length) : undefined;
    const alert = alertId === undefined ? undefined : await alertViewOf(db, alertId);
    members.push({ ...member, alert });
  }
  return { kind: 'note', note: digestNote(members) };
}

/** Who should look up when it rings: whoever may decide about a new request, and whoever is on call for what is critical. */
async function mentionsOf(db: Database, message: ClaimedMessage, subject: Subject): Promise<string[]> {
  const { place, ref, isNotifying, severity, topic } = message;
  // A direct message rings by itself.
  if (place.place.startsWith('user:')) return [];
  const isNewRequest = subject.kind === 'approval' && ref === null && subject.approval.state === 'pending';
  const isForOnCall = topic?.startsWith('alert:') === true && isNotifying && severity === 'critical';
  const persons = isNewRequest ? subject.approval.eligible : isForOnCall ? await onCallPersons(db) : [];
  return (await chatUsersOf(db, persons, place)).map(({ user }) => user).slice(0, 20);
}

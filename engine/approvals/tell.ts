import type { AgentId } from '../../domain/ids.ts';
import type { NoteView } from '../../protocol/chat-api.ts';
import { agentSilences } from '../store/agents.ts';
import type { ApprovalRecord } from '../store/approvals.ts';
import { appendAudit } from '../store/audit.ts';
import type { Database } from '../store/database.ts';
import { appendEvent, type NewEvent } from '../store/events.ts';
import { addNote, copyLinks, showTopic, type Topic, tellPersons, touchTopic } from '../store/messages.ts';
import type { Speaker } from './deps.ts';

/** What happened to an approval, for people. */
export type News = {
  readonly approval: Pick<ApprovalRecord, 'id' | 'machineName' | 'concerns' | 'requestedBy'>;
  /** Event kind, e.g. `approval-rejected`. */
  readonly kind: string;
  readonly tone: NoteView['tone'];
  /** One sentence. */
  readonly text: string;
  /** Also as a direct message to whoever asked. */
  readonly isForRequester?: boolean;
  readonly severity?: 'info' | 'warning' | 'critical';
  readonly copyLine?: string;
  readonly runId?: string | undefined;
};

const noteLengthMax = 3000;
const titleLengthMax = 150;

export function topicOf(approvalId: string): Topic {
  return `approval:${approvalId}`;
}

/**
 * Draws every copy of the approval's message again, adds a line to its threads and tells whoever asked. The event that is returned
 * must be appended last in the transaction: see appendEvents.
 */
export async function tell(db: Database, news: News): Promise<NewEvent> {
  const { approval, tone, text, severity = 'info' } = news;
  const topic = topicOf(approval.id);
  const isShort = text.length <= titleLengthMax;
  const body = { tone, text: isShort ? [] : [text.slice(0, noteLengthMax)], copyLine: news.copyLine ?? null };
  const note: NoteView = { ...body, title: isShort ? text : `${text.slice(0, titleLengthMax - 1)}…` };
  const isNotifying = severity !== 'info';
  await touchTopic(db, topic);
  await addNote(db, { topic, note, severity, isNotifying });
  if (news.isForRequester === true) {
    const title = `Your request for ${aboutOf(approval)}`.slice(0, 150);
    await tellPersons(db, {
      persons: [approval.requestedBy],
      note: { ...note, title, text: [text.slice(0, noteLengthMax)] },
      severity,
    });
  }
  return { kind: news.kind, text, machineName: approval.machineName, runId: news.runId };
}

/** The name of the machine or the person that it is about. */
function aboutOf({ machineName, concerns }: Pick<ApprovalRecord, 'machineName' | 'concerns'>): string {
  return machineName ?? concerns ?? '';
}

/** Shows a new request in the subscribed channels and to everybody who may decide about it. */
export async function showRequest(
  db: Database,
  show: {
    readonly approvalId: string;
    readonly persons: readonly string[];
    readonly host: string | undefined;
    readonly severity: 'warning' | 'critical';
  },
): Promise<void> {
  const { approvalId, ...more } = show;
  await showTopic(db, { topic: topicOf(approvalId), channels: 'subscribed', ...more });
}

/** Shows the run that was begun where its request was shown, without ringing: its progress is drawn there from now on. */
export async function showRun(
  db: Database,
  show: { readonly runId: string; readonly persons: readonly string[]; readonly host: string | undefined },
): Promise<void> {
  const { runId, ...more } = show;
  await showTopic(db, {
    topic: `run:${runId}`,
    channels: 'subscribed',
    severity: 'warning',
    isNotifying: false,
    ...more,
  });
}

/** The host whose subscribers are shown what happens to the machine; undefined when no agent has it. */
export async function hostOf(db: Database, agentId: AgentId | null): Promise<string | undefined> {
  return (await agentSilences(db)).find((agent) => agent.agentId === agentId)?.hostName;
}

/** Last in the transaction: from here on everybody who writes events waits (see events.ts). */
export async function appendEvents(db: Database, events: readonly NewEvent[]): Promise<void> {
  for (const event of events) await appendEvent(db, event);
}

/** What ends an approval, or begins what was approved: from here on nobody is asked any more, and what they were shown is written down. */
const decided = /^approval (executing|rejected|expired|withdrawn|superseded|succeeded|failed)$/;

/** Writes into the audit trail, before the change, what is about to be done with exactly these parameters. */
export async function audit(
  db: Database,
  entry: {
    readonly speaker: Speaker;
    readonly what: string;
    readonly approval: Pick<ApprovalRecord, 'id' | 'digest' | 'machineName' | 'concerns' | 'operation'>;
    readonly detail: string;
  },
): Promise<void> {
  const { speaker, approval } = entry;
  const links = decided.test(entry.what) ? await copyLinks(db, topicOf(approval.id)) : '';
  const shown = links === '' ? '' : `; shown in ${links}`;
  await appendAudit(db, {
    who: speaker.person,
    via: speaker.identity,
    what: entry.what,
    target: approval.id,
    detail:
      `${approval.operation} of ${aboutOf(approval)}, digest ${approval.digest}; ${entry.detail}${shown}`.replaceAll(
        '\u0000',
        '',
      ),
  });
}

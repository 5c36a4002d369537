import { type AlertView, type NoteView, noteView } from '../../protocol/chat-api.ts';
import type { DigestMember } from '../store/message-digest.ts';

export type DigestEntry = DigestMember & { readonly alert: AlertView | undefined };

const linesMax = 18;

/** One note instead of many: what happened, oldest first, each line once with how often it would have come. Source: CHAT 5.2 (7) */
export function digestNote(members: readonly DigestEntry[]): NoteView {
  const told = members.filter((member) => member.kind !== 'picture');
  const lines = new Map<string, { atMs: number; count: number }>();
  for (const member of told) {
    const words = wordsOf(member);
    const line = lines.get(words);
    if (line === undefined) lines.set(words, { atMs: member.createdAtMs, count: 1 });
    else line.count += 1;
  }
  const all = [...lines].map(
    ([words, { atMs, count }]) => `${timeOf(atMs)} ${words}${count > 1 ? ` (${count} times)` : ''}`,
  );
  const left = Math.max(0, all.length - linesMax);
  const more = left === 0 ? [] : [`… and ${left} more before these.`];
  const isBad = told.some((member) => member.severity === 'critical');
  const isWarning = told.some((member) => member.severity === 'warning');
  return {
    title: `${told.length} messages in one: what happened meanwhile`,
    tone: isBad ? 'bad' : isWarning ? 'warning' : 'neutral',
    text: [...more, ...all.slice(left), 'The messages above show how it is now.'],
    copyLine: 'alerts',
  };
}

function wordsOf(member: DigestEntry): string {
  if (member.alert !== undefined) return `${member.alert.id} ${member.alert.title} (${member.alert.state})`;
  const note = noteView.safeParse(member.content);
  if (!note.success) return 'an alert that is gone';
  const { title, text } = note.data;
  return [title, text[0]]
    .filter((part) => part)
    .join(': ')
    .slice(0, 300);
}

function timeOf(atMs: number): string {
  return `${new Date(atMs).toISOString().slice(11, 19)}Z`;
}

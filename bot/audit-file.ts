import type { ApiAnswer } from './api-call.ts';
import type { Card } from './card.ts';
import type { Command } from './command.ts';
import { auditCsv } from './conversation/audit-cards.ts';

/** A file that goes with an answer: the lag plot, an audit as CSV. */
export type ReplyFile = {
  readonly fileName: string;
  readonly mediaType: 'image/png' | 'text/csv';
  readonly bytes: Buffer;
  /** What the picture shows, for those who cannot see it; for a CSV what it holds. */
  readonly altText: string;
  /** `asker`: only who asked may get it. */
  readonly audience: Card['audience'];
};

/** The audit as a table for a spreadsheet, when it was asked for. */
export function auditFiles(command: Command, answers: readonly ApiAnswer[], nowMs: number): ReplyFile[] {
  const audit = answers.find((answer) => answer.kind === 'audit')?.audit;
  if (command.verb !== 'audit' || !command.isCsv || audit === undefined) return [];
  const fileName = `audit-${command.about}-${new Date(nowMs).toISOString().slice(0, 10)}.csv`;
  const altText = `Audit of ${command.about}: ${audit.entries.length} entries, oldest first`;
  return [{ fileName, mediaType: 'text/csv', audience: 'asker', bytes: Buffer.from(auditCsv(audit)), altText }];
}

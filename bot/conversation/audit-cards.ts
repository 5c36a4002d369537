import type { AuditAnswer, AuditView } from '../../protocol/people-api.ts';
import { type Card, shorten } from '../card.ts';
import { absoluteTime } from './time-words.ts';

const entryCountMax = 20;

/** Who did what, newest first, and whether anybody changed it afterwards. Source: CHAT 5.2 (8) */
export function auditCard(audit: AuditAnswer, about: string, nowMs: number): Card {
  const newestFirst = [...audit.entries].sort((a, b) => b.number - a.number);
  const shown = newestFirst.slice(0, entryCountMax);
  const rest = newestFirst.length - shown.length;
  const more = rest > 0 ? `and ${rest} older: \`audit ${about} --csv\` · ` : '';
  return {
    title: `Audit of ${shorten(about, 80)} · ${newestFirst.length === 0 ? 'no entries' : entryWords(newestFirst.length)}`,
    tone: audit.isChainWhole ? 'neutral' : 'bad',
    audience: 'asker',
    text: audit.isChainWhole
      ? []
      : [
          ...(audit.problem === null ? [] : [shorten(audit.problem, 500)]),
          'THE CHAIN IS BROKEN: entries were changed or removed outside of Lifeboat. Keep the database as it is and look at the anchors in the vault.',
        ],
    ...(shown.length > 0 && {
      table: {
        columns: ['When', 'Who', 'What', 'Target', 'Detail'],
        rows: shown.map((entry) => [
          absoluteTime(entry.atMs, nowMs),
          `${entry.who} (${entry.via})`,
          entry.what,
          shorten(entry.target, 60),
          shorten(entry.detail, 160),
        ]),
      },
    }),
    footer: `${more}chain ${audit.isChainWhole ? 'whole' : 'BROKEN'}, head ${audit.headDigest.slice(0, 12)}`,
  };
}

function entryWords(count: number): string {
  return count === 1 ? '1 entry' : `${count} entries`;
}

const columns = ['number', 'at', 'who', 'via', 'what', 'target', 'detail', 'digest'] as const;

/** The entries as CSV, oldest first, for a spreadsheet. */
export function auditCsv(audit: AuditAnswer): string {
  const rows = [...audit.entries].sort((a, b) => a.number - b.number).map(rowOf);
  return `${[columns.join(','), ...rows].join('\r\n')}\r\n`;
}

function rowOf(entry: AuditView): string {
  const at = new Date(entry.atMs).toISOString();
  const cells = [String(entry.number), at, entry.who, entry.via, entry.what, entry.target, entry.detail, entry.digest];
  return cells.map(csvCell).join(',');
}

/** A cell that begins like a formula would be one in a spreadsheet: what people wrote must not be carried out. */
function csvCell(text: string): string {
  const harmless = /^[=+\-@\t\r]/.test(text) ? `'${text}` : text;
  return /[",\r\n]/.test(harmless) ? `"${harmless.replaceAll('"', '""')}"` : harmless;
}

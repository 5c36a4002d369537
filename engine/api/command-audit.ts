import { canonicalText } from '../../protocol/point-manifest.ts';
import { type AuditEntry, appendAudit } from '../store/audit.ts';
import type { Database } from '../store/database.ts';
import type { Person } from './authentication.ts';
import { actorWords } from './chat-actor.ts';
import { storable } from './storable.ts';

/** Whom the trail names, and by which way they came. */
export type Origin = Pick<AuditEntry, 'who' | 'via'> & { readonly envelope?: string };

const detailLengthMax = 4000;
const targetLengthMax = 200;
const depthMax = 4;
const fieldCountMax = 100;
/** Codes prove who somebody is; they are written down nowhere. */
const secretFields = new Set(['code']);
/** Fields of command bodies that say what the command is about, in this order. */
const targetFields = ['machine', 'approval', 'alert', 'name', 'person', 'topic'] as const;

/** The person, with the chat user through whom they speak, or the session of the web console in which they do. */
export function originOf(
  caller: Pick<Person, 'name' | 'via' | 'actor' | 'session'> & { readonly isLinked?: boolean },
): Origin {
  const { name, via, actor, session } = caller;
  if (session !== undefined) return { who: name, via: `${via}:${session}` };
  if (actor === undefined) return { who: name, via };
  // How somebody calls themselves in chat must not look like a person's name here.
  const who = caller.isLinked === false ? `${name} (in chat)` : name;
  return { who, via: actorWords(actor), envelope: actor.envelope };
}

type Told = { readonly url: string; readonly body: unknown; readonly outcome?: string };

/** Writes a command into the audit trail. Call it in a transaction, before anything is done. */
export async function auditCommand(db: Database, origin: Origin, command: Told): Promise<void> {
  await appendAudit(db, entryOf(origin, command));
}

/** How a command, or what became of it, stands in the trail. */
export function entryOf(origin: Origin, command: Told): AuditEntry {
  const name = command.url.slice(command.url.lastIndexOf('/') + 1);
  return {
    who: clean(origin.who, targetLengthMax),
    via: clean(origin.via, targetLengthMax),
    what: command.outcome === undefined ? name : `${name} ${outcomeWord(command.outcome)}`,
    target: targetOf(command.body),
    detail: command.outcome === undefined ? detailOf(command.body, origin.envelope) : clean(command.outcome),
  };
}

/** The command's own words are free; its first word is one of ours. */
function outcomeWord(outcome: string): string {
  return outcome.slice(0, outcome.indexOf(':') === -1 ? undefined : outcome.indexOf(':'));
}

/** What a command is about: a machine, an approval, an alert, a person; empty for none. */
function targetOf(body: unknown): string {
  if (typeof body !== 'object' || body === null) return '';
  const fields = new Map<string, unknown>(Object.entries(body));
  for (const field of targetFields) {
    const value = fields.get(field);
    if (typeof value === 'string')
      return clean(value.startsWith('vm:') ? value.slice('vm:'.length) : value, targetLengthMax);
  }
  return '';
}

/** What was ordered, as text, without what proves who somebody is. */
export function detailOf(body: unknown, envelope: string | undefined): string {
  const fields = typeof body === 'object' && body !== null ? Object.entries(body) : [];
  const shown = fields.map(([key, value]) => [key, secretFields.has(key) ? 'not written down' : cut(value, depthMax)]);
  const where = envelope === undefined || envelope === '' ? {} : { envelope };
  return clean(canonicalText({ ...Object.fromEntries(shown), ...where }));
}

/** What nobody has checked yet may be as deep and as wide as it likes. */
function cut(value: unknown, depth: number): unknown {
  if (typeof value !== 'object' || value === null) return value;
  if (depth === 0) return '…';
  const fields = Object.entries(value).slice(0, fieldCountMax);
  const shown = fields.map(([key, field]) => [key, cut(field, depth - 1)] as const);
  return Array.isArray(value) ? shown.map(([, field]) => field) : Object.fromEntries(shown);
}

/** Postgres takes no zero byte, and nobody reads a megabyte. */
function clean(text: string, lengthMax = detailLengthMax): string {
  return storable(text).slice(0, lengthMax);
}

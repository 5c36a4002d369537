import type { ChatActor } from '../../protocol/chat-api.ts';
import { canonicalText } from '../../protocol/point-manifest.ts';
import { type AuditEntry, appendAudit } from '../store/audit.ts';
import type { Database } from '../store/database.ts';
import type { Person } from './authentication.ts';
import { actorWords } from './chat-actor.ts';

/** Whom the trail names, and by which way they came. */
export type Origin = Pick<AuditEntry, 'who' | 'via'> & { readonly envelope?: string };

const detailLengthMax = 4000;
const targetLengthMax = 200;
/** Codes prove who somebody is; they are written down nowhere. */
const secretFields = new Set(['code']);
/** Fields of command bodies that say what the command is about, in this order. */
const targetFields = ['machine', 'approval', 'alert', 'name', 'topic'] as const;

/** The person, with the chat user through whom they speak. */
export function originOf(caller: Pick<Person, 'name' | 'via' | 'actor'>): Origin {
  return caller.actor === undefined ? { who: caller.name, via: caller.via } : actorOrigin(caller.actor, caller.name);
}

/** A chat user who was turned away before anybody knew a person's name. */
export function actorOrigin(actor: ChatActor, name: string = actor.displayName || actor.user): Origin {
  return { who: name, via: actorWords(actor), envelope: actor.envelope };
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
  const shown = fields.map(([key, value]) => [key, secretFields.has(key) ? 'not written down' : value]);
  const where = envelope === undefined || envelope === '' ? {} : { envelope };
  return clean(canonicalText({ ...Object.fromEntries(shown), ...where }));
}

/** Postgres takes no zero byte, and nobody reads a megabyte. */
function clean(text: string, lengthMax = detailLengthMax): string {
  return text.replaceAll('\u0000', '\uFFFD').slice(0, lengthMax);
}

import { nearestNames } from '../../domain/nearest-names.ts';
import type { Database } from '../store/database.ts';
import { isPersonActive, linkedPerson, listPersons } from '../store/people.ts';
import type { Person } from './authentication.ts';
import { type Refusal, refuse } from './reply.ts';

/**
 * Who was meant: persons by name, or chat users of the caller's own tenant (`<@U1>`, `U1`). Each once, in the order in which they
 * were named.
 */
export async function namePersons(
  db: Database,
  caller: Pick<Person, 'actor'>,
  typed: readonly string[],
): Promise<{ readonly kind: 'found'; readonly names: readonly string[] } | Refusal> {
  const names: string[] = [];
  for (const each of typed) {
    const name = await nameOf(db, caller, each);
    if (name === undefined) return unknownPerson(db, each);
    names.push(name);
  }
  return { kind: 'found', names: [...new Set(names)] };
}

async function nameOf(db: Database, caller: Pick<Person, 'actor'>, typed: string): Promise<string | undefined> {
  const bare = /^<?@?([^|>]+)(?:\|[^>]*)?>?$/.exec(typed.trim())?.[1] ?? '';
  const user =
    caller.actor === undefined
      ? undefined
      : await linkedPerson(db, { surface: caller.actor.surface, tenant: caller.actor.tenant, user: bare });
  const name = user ?? bare.toLowerCase();
  return (await isPersonActive(db, name)) ? name : undefined;
}

async function unknownPerson(db: Database, typed: string): Promise<Refusal> {
  const known = (await listPersons(db)).filter((person) => person.disabledAtMs === null).map((person) => person.name);
  return refuse('unknown-target', `There is no person ${typed.slice(0, 80)} here, or they are disabled.`, {
    candidates: nearestNames(typed, known),
    nextStep: 'Name persons of this installation, or chat users that are linked to one.',
  });
}

import { nameDistance } from '../domain/nearest-names.ts';

/**
 * The known word that a mistyped one most likely means, or undefined when none is close.
 *
 * Close: it begins with what was typed (three letters at least), or differs by one change in short words, two in longer ones;
 * two neighbouring letters in the wrong order count as one change. Only ever shown to a person, never executed. Source: CHAT 5.1
 */
export function nearestWord(typed: string, known: readonly string[]): string | undefined {
  const lower = typed.toLowerCase();
  const ranked = known
    .map((word) => ({ word, changes: nameDistance(lower, word.toLowerCase()) }))
    .sort((a, b) => a.changes - b.changes);
  const best = ranked[0];
  if (best !== undefined && best.changes <= allowedChanges(lower)) return best.word;
  if (lower.length < 3) return undefined;
  const continued = known.filter((word) => word.toLowerCase().startsWith(lower));
  return continued.length === 1 ? continued[0] : undefined;
}

function allowedChanges(typed: string): number {
  if (typed.length <= 2) return 0;
  return typed.length <= 5 ? 1 : 2;
}

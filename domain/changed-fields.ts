/** The fields in which what would be done now differs from what was asked for, in words, e.g. `epoch: 1, now 2`. */
export function changedFields(before: object, now: object): string[] {
  const old = new Map(Object.entries(before));
  const fresh = new Map(Object.entries(now));
  return [...new Set([...old.keys(), ...fresh.keys()])].flatMap((field) => {
    const [a, b] = [old.get(field), fresh.get(field)];
    if (isEqual(a, b)) return [];
    if (isPlain(a) && isPlain(b)) return changedFields(a, b).map((change) => `${field} ${change}`);
    return [
      isShort(a) && isShort(b) ? `${wordsOf(field)}: ${a ?? 'none'}, now ${b ?? 'none'}` : `${wordsOf(field)} changed`,
    ];
  });
}

function isPlain(value: unknown): value is object {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function isShort(value: unknown): boolean {
  return value === null || value === undefined || ['string', 'number', 'boolean'].includes(typeof value);
}

/** Equal as JSON, whatever the order of the keys: the database keeps another one. */
function isEqual(a: unknown, b: unknown): boolean {
  if (Array.isArray(a) && Array.isArray(b))
    return a.length === b.length && a.every((one, index) => isEqual(one, b[index]));
  if (isPlain(a) && isPlain(b)) return changedFields(a, b).length === 0;
  return (a ?? null) === (b ?? null);
}

function wordsOf(field: string): string {
  return field.replace(/[A-Z]/g, (letter) => ` ${letter.toLowerCase()}`);
}

/**
 * The names that a person may have meant, nearest first.
 *
 * Distance is the number of letters to insert, remove, replace or swap with their neighbour, without regard to case.
 * Names further away than half of the longer word are not offered, unless one begins with the other.
 */
export function nearestNames(wanted: string, names: readonly string[], limit = 3): string[] {
  const lowered = wanted.toLowerCase();
  return [...new Set(names)]
    .map((name) => ({ name, distance: nameDistance(lowered, name.toLowerCase()) }))
    .filter(({ name, distance }) => isNear(lowered, name.toLowerCase(), distance))
    .sort(
      (a, b) =>
        a.distance - b.distance ||
        signsOnly(lowered, a.name) - signsOnly(lowered, b.name) ||
        (a.name < b.name ? -1 : 1),
    )
    .slice(0, limit)
    .map(({ name }) => name);
}

/** 0 for a name that differs in dashes, dots and the like only: `vm7` means `vm_7` before `vm17`. */
function signsOnly(wanted: string, name: string): number {
  const letters = (text: string) => text.toLowerCase().replaceAll(/[^a-z0-9]/g, '');
  return letters(wanted) === letters(name) ? 0 : 1;
}

function isNear(wanted: string, name: string, distance: number): boolean {
  if (wanted !== '' && (name.startsWith(wanted) || wanted.startsWith(name))) return true;
  return distance <= Math.max(1, Math.floor(Math.max(wanted.length, name.length) / 2));
}

/** Edit distance with swaps of neighbours; words longer than 80 letters are compared by their first 80. */
export function nameDistance(a: string, b: string): number {
  const from = [...a].slice(0, 80);
  const to = [...b].slice(0, 80);
  let twoAbove: number[] = [];
  let above = Array.from({ length: to.length + 1 }, (_, column) => column);
  for (let row = 1; row <= from.length; row += 1) {
    const current = [row];
    for (let column = 1; column <= to.length; column += 1) {
      const same = from[row - 1] === to[column - 1];
      const swapped = row > 1 && column > 1 && from[row - 1] === to[column - 2] && from[row - 2] === to[column - 1];
      const costs = [at(above, column) + 1, at(current, column - 1) + 1, at(above, column - 1) + (same ? 0 : 1)];
      if (swapped) costs.push(at(twoAbove, column - 2) + 1);
      current.push(Math.min(...costs));
    }
    twoAbove = above;
    above = current;
  }
  return at(above, to.length);
}

function at(row: readonly number[], column: number): number {
  return row[column] ?? Number.POSITIVE_INFINITY;
}

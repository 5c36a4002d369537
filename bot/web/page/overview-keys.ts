import type { Row } from './overview-rows.ts';
import type { Page } from './page.ts';

/** What a key does on a row of the tree: the one who draws it carries it out. */
export type KeyDeed =
  | { readonly kind: 'focus'; readonly index: number }
  | { readonly kind: 'toggle'; readonly key: string; readonly isOpen: boolean }
  | { readonly kind: 'open'; readonly path: string };

const pageStep = 10;

/** The keys of a tree grid: arrows, Home, End, Page Up and Down, Enter. Pure; undefined for a key that is not ours. */
export function keyDeed(key: string, rows: readonly Row[], index: number): KeyDeed | undefined {
  const row = rows[index];
  if (row === undefined) return undefined;
  const to = (wanted: number): KeyDeed => ({ kind: 'focus', index: Math.max(0, Math.min(rows.length - 1, wanted)) });
  switch (key) {
    case 'ArrowDown':
      return to(index + 1);
    case 'ArrowUp':
      return to(index - 1);
    case 'Home':
      return to(0);
    case 'End':
      return to(rows.length - 1);
    case 'PageDown':
      return to(index + pageStep);
    case 'PageUp':
      return to(index - pageStep);
    case 'ArrowRight':
      return inward(row, index, to);
    case 'ArrowLeft':
      return outward(rows, row, { index, to });
    case 'Enter':
      return openDeed(row);
    default:
      return undefined;
  }
}

/** Enter and a click: a machine's page, or a group's rows. */
export function openDeed(row: Row): KeyDeed {
  if (row.kind === 'site' || row.kind === 'host') return { kind: 'toggle', key: row.key, isOpen: !row.isOpen };
  return { kind: 'open', path: `/machines/${encodeURIComponent(row.machine.name)}` };
}

function inward(row: Row, index: number, to: (wanted: number) => KeyDeed): KeyDeed {
  const isClosed = (row.kind === 'site' || row.kind === 'host') && !row.isOpen;
  return isClosed ? { kind: 'toggle', key: row.key, isOpen: true } : to(index + 1);
}

function outward(
  rows: readonly Row[],
  row: Row,
  { index, to }: { index: number; to: (wanted: number) => KeyDeed },
): KeyDeed {
  const isOpenGroup = (row.kind === 'site' || row.kind === 'host') && row.isOpen;
  if (isOpenGroup) return { kind: 'toggle', key: row.key, isOpen: false };
  const parent = rows.slice(0, index).findLastIndex((other) => other.level < row.level);
  return to(parent === -1 ? index : parent);
}

/** Carries a deed out; the focus follows once its row is drawn. */
export function doDeed(page: Page, rows: readonly Row[], deed: KeyDeed): void {
  switch (deed.kind) {
    case 'open':
      page.go(deed.path);
      break;
    case 'toggle':
      page.dispatch({ kind: 'overview-toggled', key: deed.key, isOpen: deed.isOpen });
      focusSoon(deed.key);
      break;
    case 'focus': {
      const key = rows[deed.index]?.key;
      if (key === undefined) break;
      page.dispatch({ kind: 'overview-focused', key });
      focusSoon(key);
      break;
    }
    default:
      deed satisfies never;
  }
}

/** After the next drawing: it was asked for first, so it comes first. */
function focusSoon(key: string): void {
  requestAnimationFrame(() => {
    const row = document.querySelector(`[data-key="${CSS.escape(key)}"]`);
    if (row instanceof HTMLElement) row.focus();
  });
}

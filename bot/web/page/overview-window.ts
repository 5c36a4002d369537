import type { OverviewUi, RowLayout } from './overview-state.ts';

/** Fixed, so that the list has its full height at once and nothing moves; css/overview.css has the same numbers. */
export const rowHeightsPx = { wide: 40, compact: 52, cards: 68 } as const satisfies Record<RowLayout, number>;

/** Rows that are drawn beyond the edges of the screen, so that a quick scroll does not show a gap. */
const overscanCount = 9;
/** The window moves in steps: most scrolling draws nothing new. */
const stepCount = 6;

/** Where the list stands in the document, in pixels. */
export type ListPlace = { readonly top: number; readonly width: number; readonly screenHeight: number };

/** What the columns need in css/overview.css: in a narrower list the last ones would be cut off. */
const narrowestPx = { wide: 1090, compact: 748 };

/** The layout for a width of the list itself. */
export function layoutFor(widthPx: number): RowLayout {
  if (widthPx >= narrowestPx.wide) return 'wide';
  return widthPx >= narrowestPx.compact ? 'compact' : 'cards';
}

/** The rows to draw: those in view and a few beyond. First inclusive, last exclusive. */
export function windowFor(
  { top: listTop, screenHeight }: ListPlace,
  scrollY: number,
  layout: RowLayout,
): OverviewUi['window'] {
  const top = listTop - scrollY;
  const height = rowHeightsPx[layout];
  const first = Math.floor((-top / height - overscanCount) / stepCount) * stepCount;
  const last = Math.ceil(((screenHeight - top) / height + overscanCount) / stepCount) * stepCount;
  return { first: Math.max(0, first), last: Math.max(stepCount, last) };
}

/** Undefined while the list is not in the page. */
export function listPlace(): ListPlace | undefined {
  const list = document.getElementById('tree-rows');
  if (list === null) return undefined;
  const { top, width } = list.getBoundingClientRect();
  return width === 0 ? undefined : { top: top + window.scrollY, width, screenHeight: window.innerHeight };
}

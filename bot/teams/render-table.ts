import { cardLimits, type Table } from '../card.ts';
import { type Element, line, lineOf, plainRun, type Run, runsOf } from './card-elements.ts';

/** A grid of more than this is wider than a phone. */
const gridColumnCountMax = 3;
const gridWidthMax = 44;
const cellLengthMax = 300;

/** Columns whose values say by themselves what they are. */
const speaking: ReadonlySet<string> = new Set([
  'State',
  'Took',
  'Kind',
  'What',
  'Outcome',
  'Id',
  'Run',
  'Reason',
  'Detail',
  'Check',
]);

/** A small table as a grid, any other as one line per row: the first cells lead, the others follow with their column's name. */
export function tableElements(table: Table): Element[] {
  const columns = table.columns.slice(0, cardLimits.tableColumnCount);
  const rows = table.rows.slice(0, cardLimits.tableRowCount);
  if (rows.length === 0) return [];
  return isSmall(columns, rows) ? [grid(columns, rows)] : rows.flatMap((row, index) => stacked(columns, row, index));
}

function isSmall(columns: readonly string[], rows: readonly (readonly string[])[]): boolean {
  const lines = [columns, ...rows];
  const isFull = lines.every((cells) => cells.length === columns.length && cells.every((cell) => cell.trim() !== ''));
  const width = widthsOf(columns, rows).reduce((sum, cell) => sum + cell, 0);
  return isFull && columns.length <= gridColumnCountMax && width <= gridWidthMax;
}

function widthsOf(columns: readonly string[], rows: readonly (readonly string[])[]): number[] {
  return columns.map((column, index) => Math.max(column.length, ...rows.map((row) => (row[index] ?? '').length)));
}

function grid(columns: readonly string[], rows: readonly (readonly string[])[]): Element {
  const cells = (texts: readonly string[], isHead: boolean) => ({
    type: 'TableRow',
    cells: texts.map((text) => ({
      type: 'TableCell',
      items: line(text.slice(0, cellLengthMax), isHead ? { isSubtle: true, size: 'small' } : {}),
    })),
  });
  return {
    type: 'Table',
    columns: widthsOf(columns, rows).map((width) => ({ width: Math.max(3, width) })),
    firstRowAsHeaders: true,
    showGridLines: false,
    rows: [cells(columns, true), ...rows.map((row) => cells(row, false))],
  };
}

function stacked(columns: readonly string[], row: readonly string[], index: number): Element[] {
  const leadCount = columns[0] === '' ? 2 : 1;
  const lead = row.slice(0, leadCount).filter((cell) => cell !== '');
  const rest = row.slice(leadCount).flatMap((cell, at) => {
    const words = cellWords(columns[at + leadCount] ?? '', cell.slice(0, cellLengthMax));
    return words === '' ? [] : [plainRun(' · '), ...runsOf(words)];
  });
  const runs: Run[] = [...runsOf(lead.join(' ').slice(0, cellLengthMax), { weight: 'bolder' }), ...rest];
  return lineOf(runs, index > 0 ? { spacing: 'small' } : {});
}

function cellWords(column: string, cell: string): string {
  if (cell === '' || cell === '–') return '';
  return speaking.has(column) || column === '' ? cell : `${column.toLowerCase()} ${cell}`;
}

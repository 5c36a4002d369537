import { padTo } from '../terminal/safe-text.ts';

/** Any object of Block Kit, ours or another's, as it comes over the wire. */
type Node = Readonly<Record<string, unknown>>;

/**
 * What a person reads in blocks, line by line; a button is `[its label]`.
 *
 * @param blocks of a message, a modal or a home tab; unknown blocks read as their type in angle brackets
 */
export function textOfBlocks(blocks: readonly unknown[]): string[] {
  return blocks
    .filter(isNode)
    .flatMap(linesOfBlock)
    .map((line) => line.trimEnd());
}

function linesOfBlock(block: Node): string[] {
  switch (block.type) {
    case 'header':
    case 'section':
      return [textOf(block.text), ...list(block.fields).map(textOf)].filter((line) => line !== '');
    case 'context':
      return list(block.elements).map(textOf);
    case 'rich_text':
      return list(block.elements).flatMap(linesOfRichText);
    case 'table':
      return linesOfTable(block);
    case 'actions':
      return [list(block.elements).map(labelOf).join(' ')];
    case 'input':
      return [`${textOf(block.label)}: ${labelOf(asNode(block.element))}`.trimEnd(), ...hintOf(block)];
    case 'divider':
      return [];
    default:
      return [`<${String(block.type)}>`];
  }
}

function linesOfRichText(part: Node): string[] {
  const joined = list(part.elements)
    .map((element) => wordsOfElement(element, part.type === 'rich_text_preformatted'))
    .join('');
  return joined.replaceAll(` ${ownTime}`, '').split('\n');
}

/** A reader's own time has no text that all would read. */
const ownTime = '\u0000';

/** Code reads as in the terminal: between back-ticks. */
function wordsOfElement(element: Node, isPreformatted: boolean): string {
  switch (element.type) {
    case 'text': {
      const isCode = asNode(element.style).code === true && !isPreformatted;
      return isCode ? `\`${String(element.text)}\`` : String(element.text);
    }
    case 'user':
      return `<@${String(element.user_id)}>`;
    case 'link':
      return String(element.url);
    case 'usergroup':
      return `<!subteam^${String(element.usergroup_id)}>`;
    case 'rich_text_section':
      return list(element.elements)
        .map((inner) => wordsOfElement(inner, isPreformatted))
        .join('');
    case 'date':
      return ownTime;
    default:
      return `<${String(element.type)}>`;
  }
}

function linesOfTable(block: Node): string[] {
  const rows = (Array.isArray(block.rows) ? block.rows : []).map((row) =>
    list(row).map((cell) => String(cell.text ?? '')),
  );
  const widths = (rows[0] ?? []).map((_, index) => Math.max(...rows.map((row) => (row[index] ?? '').length)));
  return rows.map((row) =>
    row
      .map((cell, index) => padTo(cell, widths[index] ?? 0))
      .join('  ')
      .trimEnd(),
  );
}

function labelOf(element: Node): string {
  if (element.type === 'button') return `[${textOf(element.text)}]`;
  const options = list(element.options).map((option) => textOf(option.text));
  if (options.length > 0) return `(${options.join(' | ')})`;
  return typeof element.initial_value === 'string' ? element.initial_value : '';
}

function hintOf(block: Node): string[] {
  const hint = textOf(block.hint);
  return hint === '' ? [] : [`  ${hint}`];
}

function textOf(value: unknown): string {
  const { text } = asNode(value);
  return typeof text === 'string' ? text : '';
}

function list(value: unknown): Node[] {
  return Array.isArray(value) ? value.filter(isNode) : [];
}

function asNode(value: unknown): Node {
  return isNode(value) ? value : {};
}

function isNode(value: unknown): value is Node {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

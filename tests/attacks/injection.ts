/** What people, guests and hosts may write into names and reasons. */
export const hostileTexts = [
  '<!channel> <!here> <!everyone>',
  '<@U00000001> <#C00000001> <!subteam^S00000001>',
  '<https://evil.example|vm-7> &lt;!channel&gt;',
  '[x](http://evil.example) ![x](http://evil.example/t.png)',
  '<at>everyone</at> <img src=x onerror=alert(1)>',
  '*bold* _it_ ~no~ :boom: {{DATE(2026-01-01T00:00:00Z,SHORT)}}',
  'a\u202eb\u200bc\u2066d\ufeffe',
  'a\nb\r\nc\td\u0007e\u001b[31mf\u0000g',
  '=cmd|calc!A0',
  '"quoted" `code` --code 123456',
] as const;

/** Everything that would be a mark, a link or a command on some platform, in what a platform was sent. */
export function slackMarkupIn(sent: unknown): string[] {
  const nodes = nodesIn(sent);
  const types = new Set(['mrkdwn', 'channel', 'broadcast', 'link', 'emoji', 'markdown', 'image']);
  const found = nodes
    .filter((node) => typeof node.type === 'string' && types.has(node.type))
    .map((node) => String(node.type));
  return [...found, ...hiddenIn(sent)];
}

/** `text` of a message beside its blocks is markup: nothing of what people wrote may be one there. */
export function slackTextMarkup(text: string): string[] {
  return text.replace(/&(lt|gt|amp);/g, '').match(/[<>]/g) ?? [];
}

export function teamsMarkupIn(card: unknown): string[] {
  const nodes = nodesIn(card);
  const found = nodes.filter(
    ({ type }) => type === 'TextBlock' || type === 'FactSet' || type === 'Image' || type === 'Media',
  );
  const actions = nodes.filter(({ type }) => type === 'Action.OpenUrl').map(() => 'a link');
  const dates = JSON.stringify(card).includes('{{DATE') ? ['a date that clients fill in'] : [];
  return [...found.map(({ type, text }) => `${type} ${text}`), ...actions, ...dates, ...hiddenIn(card)];
}

/** Marks that hide or turn text round, and control characters. */
export function hiddenIn(sent: unknown): string[] {
  const hidden = /[\p{Cc}\u200e\u200f\u202a-\u202e\u2066-\u206f\ufeff]/gu;
  return textsIn(sent)
    .flatMap((text) => text.match(hidden) ?? [])
    .filter((mark) => mark !== '\n')
    .map((mark) => `hidden ${mark.codePointAt(0)?.toString(16)}`);
}

type Node = Readonly<Record<string, unknown>>;
function nodesIn(value: unknown): Node[] {
  if (Array.isArray(value)) return value.flatMap(nodesIn);
  if (typeof value !== 'object' || value === null) return [];
  return [value as Node, ...Object.values(value).flatMap(nodesIn)];
}

function textsIn(value: unknown): string[] {
  if (typeof value === 'string') return [value];
  return typeof value === 'object' && value !== null ? Object.values(value).flatMap(textsIn) : [];
}

/** Cells of a CSV, as a spreadsheet reads them. */
export function csvCells(csv: string): string[] {
  return [...csv.matchAll(/(?:^|,|\r\n)("(?:[^"]|"")*"|[^",\r\n]*)/g)].map(([, cell = '']) =>
    cell.startsWith('"') ? cell.slice(1, -1).replaceAll('""', '"') : cell,
  );
}

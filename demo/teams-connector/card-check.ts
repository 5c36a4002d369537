/** What Teams refuses in a card, or takes and then draws wrongly; in words, empty for a good card. Source: CHAT 3.2, 4 */
export function faultsOfCard(card: unknown): string[] {
  if (!isNode(card)) return ['the card is not an object'];
  const faults: string[] = [];
  const seen: Seen = { faults, inputIds: new Set(), textBlocks: [], depth: 0 };
  if (card.type !== 'AdaptiveCard') faults.push('type is not AdaptiveCard');
  if (!['1.0', '1.1', '1.2', '1.3', '1.4', '1.5'].includes(String(card.version))) faults.push('version is above 1.5');
  if (!Array.isArray(card.body) || card.body.length === 0) faults.push('body is empty');
  for (const element of listOf(card.body)) checkElement(element, seen);
  checkActions(card.actions, seen);
  if (isNode(card.refresh)) checkRefresh(card.refresh, seen);
  checkMentions(isNode(card.msteams) ? listOf(card.msteams.entities) : [], seen);
  return faults;
}

type Node = Readonly<Record<string, unknown>>;
type Seen = {
  readonly faults: string[];
  readonly inputIds: Set<string>;
  readonly textBlocks: string[];
  readonly depth: number;
};

const allowedInlineStyles = ['TextRun'];

function checkElement(element: unknown, seen: Seen): void {
  const isUsable = isNode(element) && seen.depth <= 8;
  need(isUsable, 'an element is not an object, or nested too deeply', seen);
  if (!isUsable) return;
  const deeper = { ...seen, depth: seen.depth + 1 };
  switch (element.type) {
    case 'TextBlock':
      seen.textBlocks.push(String(element.text ?? ''));
      need(isText(element.text), 'a TextBlock is empty', seen);
      break;
    case 'RichTextBlock':
      checkInlines(element, seen);
      break;
    case 'Image':
      need(isText(element.altText), 'an Image has no altText', seen);
      need(isPictureUrl(element.url), 'an Image has no usable url', seen);
      break;
    case 'Container':
      checkAll(element.items, 'a Container is empty', deeper);
      break;
    case 'ColumnSet':
      checkColumns(listOf(element.columns), deeper);
      break;
    case 'Table':
      checkTable(element, deeper);
      break;
    case 'Input.Text':
    case 'Input.ChoiceSet':
      checkInput(element, seen);
      break;
    default:
      need(false, `unknown element ${String(element.type)}`, seen);
  }
}

function checkColumns(columns: readonly unknown[], seen: Seen): void {
  need(columns.length > 0, 'a ColumnSet is empty', seen);
  for (const column of columns) checkAll(isNode(column) ? column.items : [], 'a Column is empty', seen);
}

function checkInlines(element: Node, seen: Seen): void {
  const inlines = listOf(element.inlines);
  need(inlines.length > 0, 'a RichTextBlock is empty', seen);
  const texts = inlines.map((run) =>
    isNode(run) && allowedInlineStyles.includes(String(run.type)) ? run.text : undefined,
  );
  need(
    texts.every((text) => typeof text === 'string' && text !== ''),
    'a TextRun is empty',
    seen,
  );
  need(texts.some(isText), 'a RichTextBlock shows nothing', seen);
}

function checkTable(table: Node, seen: Seen): void {
  const columns = listOf(table.columns).length;
  need(columns > 0 && listOf(table.rows).length > 0, 'a Table is empty', seen);
  for (const row of listOf(table.rows)) {
    const cells = isNode(row) ? listOf(row.cells) : [];
    need(cells.length === columns, 'a row has not as many cells as there are columns', seen);
    for (const cell of cells) checkAll(isNode(cell) ? cell.items : [], 'a TableCell is empty', seen);
  }
}

function checkInput(input: Node, seen: Seen): void {
  const id = String(input.id ?? '');
  need(id !== '' && !seen.inputIds.has(id), `input id ${id} is missing or used twice`, seen);
  seen.inputIds.add(id);
  need(isText(input.label), 'an input has no label', seen);
  need(input.isRequired !== true || isText(input.errorMessage), 'a required input has no errorMessage', seen);
  if (input.type === 'Input.ChoiceSet') {
    need(input.style !== 'filtered', 'a ChoiceSet is filtered: drawn as nothing on phones', seen);
    const choices = listOf(input.choices);
    need(choices.length > 0, 'a ChoiceSet has no choices', seen);
    need(
      choices.every((choice) => isNode(choice) && isText(choice.title) && typeof choice.value === 'string'),
      'a choice is empty',
      seen,
    );
  }
}

function checkActions(actions: unknown, seen: Seen): void {
  const all = listOf(actions);
  need(all.length <= 6, 'more than 6 actions', seen);
  for (const action of all) checkAction(action, seen);
}

function checkAction(action: unknown, seen: Seen): void {
  need(isNode(action), 'an action is not an object', seen);
  if (!isNode(action)) return;
  need(isText(action.title), 'an action has no title', seen);
  need(
    ['default', 'positive', 'destructive', undefined].includes(action.style as string | undefined),
    'unknown action style',
    seen,
  );
  if (action.type === 'Action.OpenUrl') {
    need(String(action.url).startsWith('https://'), 'Action.OpenUrl opens no https page', seen);
  } else if (action.type === 'Action.Execute') {
    need(isText(action.verb), 'Action.Execute has no verb', seen);
    if (isNode(action.fallback)) checkAction(action.fallback, seen);
  } else {
    need(action.type === 'Action.Submit', `unknown action ${String(action.type)}`, seen);
    need(isNode(action.data), 'Action.Submit has no data', seen);
  }
}

function checkRefresh(refresh: Node, seen: Seen): void {
  need(isNode(refresh.action) && refresh.action.type === 'Action.Execute', 'refresh has no Action.Execute', seen);
  const ids = listOf(refresh.userIds);
  need(ids.length > 0 && ids.length <= 60, 'refresh.userIds has not 1 to 60 people', seen);
  need(
    ids.every((id) => typeof id === 'string' && id.startsWith('29:')),
    'refresh.userIds is not of 29: ids',
    seen,
  );
}

/** Every mention in a text block needs its entity, and the other way round. */
function checkMentions(entities: readonly unknown[], seen: Seen): void {
  const tags = seen.textBlocks.flatMap((text) => text.match(/<at>[^<]*<\/at>/g) ?? []);
  const texts = entities.map((entity) => (isNode(entity) ? String(entity.text) : ''));
  need(
    tags.every((tag) => texts.includes(tag)),
    'a mention has no entity',
    seen,
  );
  need(
    texts.every((text) => tags.includes(text)),
    'an entity has no mention in a TextBlock',
    seen,
  );
  need(
    seen.textBlocks.every((text) => !/\]\(|https?:\/\//.test(text)),
    'a TextBlock has a link in it',
    seen,
  );
}

function checkAll(items: unknown, whenEmpty: string, seen: Seen): void {
  need(listOf(items).length > 0, whenEmpty, seen);
  for (const item of listOf(items)) checkElement(item, seen);
}

function need(isKept: boolean, fault: string, seen: Seen): void {
  if (!isKept) seen.faults.push(fault);
}

function isPictureUrl(url: unknown): boolean {
  return typeof url === 'string' && /^(https:\/\/|data:image\/(png|jpeg|gif);base64,[A-Za-z0-9+/]+=*$)/.test(url);
}

function isText(value: unknown): boolean {
  return typeof value === 'string' && value.trim() !== '';
}

function isNode(value: unknown): value is Node {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function listOf(value: unknown): readonly unknown[] {
  return Array.isArray(value) ? value : [];
}

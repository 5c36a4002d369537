import { completeLine } from '../../terminal/completion.ts';
import { isRunnableVerb, runnableVerbs, specOf } from '../../verb-table.ts';
import { isIncomplete, withoutProgram } from './action-lines.ts';
import { withoutSecrets } from './talk.ts';

/** What a choice in the palette leads to. `sheet`: the dialog of an action; `say`: the line goes into the chat. */
export type PaletteDeed =
  | { readonly kind: 'go'; readonly path: string }
  | { readonly kind: 'write'; readonly text: string }
  | { readonly kind: 'sheet' | 'say'; readonly line: string };
export type PaletteItem = {
  /** By which it is remembered as recent; undefined for what is not. */
  readonly key?: string;
  readonly label: string;
  readonly hint: string;
  readonly deed: PaletteDeed;
};

const pages: readonly (readonly [name: string, path: string])[] = [
  ['Overview', '/'],
  ['Approvals', '/approvals'],
  ['Alerts', '/alerts'],
  ['Report', '/report'],
];
const machineCountMax = 6;
const itemCountMax = 12;

/** What the palette offers for what was typed: a line to run, then machines, pages and verbs; with nothing typed, the recent first. */
export function paletteItems(
  typed: string,
  known: { machineNames: readonly string[]; recent: readonly string[] },
): PaletteItem[] {
  const text = withoutProgram(typed);
  const items = text === '' ? firstItems(known) : foundItems(typed, text, known.machineNames);
  return items.slice(0, itemCountMax);
}

function firstItems({
  machineNames,
  recent,
}: {
  machineNames: readonly string[];
  recent: readonly string[];
}): PaletteItem[] {
  const remembered = recent
    .flatMap((key) => itemOf(key, machineNames))
    .map((item) => ({ ...item, hint: `${item.hint} · recent` }));
  const rest = [...pages.map(pageItem), ...runnableVerbs.map(verbItem)].filter(
    (item) => !recent.includes(item.key ?? ''),
  );
  return [...remembered, ...rest];
}

function foundItems(typed: string, text: string, machineNames: readonly string[]): PaletteItem[] {
  const lower = text.toLowerCase();
  const machines = matching(machineNames, lower);
  const exact =
    machines.find((name) => name.toLowerCase() === lower) ?? (machines.length === 1 ? machines[0] : undefined);
  return [
    ...goingOn(typed, text, machineNames),
    ...machines.slice(0, machineCountMax).map(machineItem),
    ...(exact === undefined ? [] : actionItems(exact)),
    ...pages.filter(([name]) => name.toLowerCase().includes(lower)).map(pageItem),
    ...runnableVerbs.filter((verb) => verb.startsWith(lower) && verb !== lower).map(verbItem),
  ];
}

/** The line as it stands and its next words; while its last word is only begun, what that may become stands first, and Enter takes it. */
function goingOn(typed: string, text: string, machineNames: readonly string[]): PaletteItem[] {
  const { isBegun, isFlag, items } = wordItems(typed, machineNames);
  if (!isBegun) return [...lineItems(text), ...items];
  // A flag that is half typed is no line to run; a name may be one that the page does not know.
  return isFlag ? items : [...items, ...lineItems(text)];
}

/** Those that begin with it first. */
function matching(names: readonly string[], lower: string): string[] {
  const found = names.filter((name) => name.toLowerCase().includes(lower));
  const isFirst = (name: string) => name.toLowerCase().startsWith(lower);
  return [...found.filter(isFirst), ...found.filter((name) => !isFirst(name))].slice(0, machineCountMax);
}

/** A line that begins with a verb can be run; what it means, and whether it may, the server says. */
function lineItems(text: string): PaletteItem[] {
  const verb = text.split(/\s+/)[0]?.toLowerCase() ?? '';
  if (!isRunnableVerb(verb)) return [];
  const isAction = specOf(verb).group === 'Act' || isIncomplete(text);
  const isSecret = withoutSecrets(text) !== text;
  return [
    {
      ...(!isSecret && { key: `line ${text}` }),
      label: `Run: ${text}`,
      hint: isAction ? 'shows first what it would do' : specOf(verb).summary,
      deed: { kind: isAction ? 'sheet' : 'say', line: text },
    },
  ];
}

type Words = {
  /** The last word is the beginning of others, and none itself. */
  readonly isBegun: boolean;
  readonly isFlag: boolean;
  readonly items: PaletteItem[];
};

/** What the last word of a line may become, or its next word. */
function wordItems(typed: string, machineNames: readonly string[]): Words {
  const bare = typed.replace(/^\s*\/?dr\s+/i, '').trimStart();
  if (!bare.includes(' ')) return { isBegun: false, isFlag: false, items: [] };
  const [candidates, replaced] = completeLine(bare, machineNames);
  const words = candidates.map((candidate) => candidate.trimEnd());
  const isWhole = words.some((word) => word.toLowerCase() === replaced.toLowerCase());
  const items = words
    .filter((word) => word !== replaced)
    .slice(0, machineCountMax)
    .map((word): PaletteItem => {
      const text = `${bare.slice(0, bare.length - replaced.length)}${word}`;
      return { label: text, hint: 'goes on', deed: { kind: 'write', text: `${text} ` } };
    });
  const isBegun = replaced !== '' && !isWhole && items.length > 0;
  return { isBegun, isFlag: replaced.startsWith('-'), items };
}

function actionItems(name: string): PaletteItem[] {
  const item = (label: string, line: string): PaletteItem => ({
    key: `line ${line}`,
    label,
    hint: `/dr ${line}`,
    deed: { kind: 'sheet', line },
  });
  return [
    item(`Test failover of ${name}`, `failover ${name} --test`),
    item(`Planned failover of ${name}`, `failover ${name} --planned`),
    item(`Bookmark ${name}`, `bookmark ${name}`),
  ];
}

function machineItem(name: string): PaletteItem {
  return {
    key: `machine ${name}`,
    label: name,
    hint: 'machine',
    deed: { kind: 'go', path: `/machines/${encodeURIComponent(name)}` },
  };
}

function pageItem([name, path]: readonly [string, string]): PaletteItem {
  return { key: `page ${path}`, label: name, hint: 'page', deed: { kind: 'go', path } };
}

function verbItem(verb: (typeof runnableVerbs)[number]): PaletteItem {
  return { key: `verb ${verb}`, label: verb, hint: specOf(verb).summary, deed: { kind: 'write', text: `${verb} ` } };
}

/** The remembered item, as far as what it is about is still there. */
function itemOf(key: string, machineNames: readonly string[]): PaletteItem[] {
  const [kind = '', ...words] = key.split(' ');
  const rest = words.join(' ');
  if (kind === 'line') return lineItems(rest);
  if (kind === 'machine') return machineNames.includes(rest) ? [machineItem(rest)] : [];
  if (kind === 'verb') return isRunnableVerb(rest) ? [verbItem(rest)] : [];
  return pages.filter(([, path]) => path === rest).map(pageItem);
}

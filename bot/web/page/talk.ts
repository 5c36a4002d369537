import type { Card } from '../../card.ts';
import type { Form } from '../../form.ts';
import type { CardAnswer, LineReply, Problem } from '../wire.ts';
import { reduceSurfaces } from './talk-surfaces.ts';

/** Where a line was sent from, and so where its answer is shown besides the chat. */
export type Place =
  | { readonly kind: 'chat' }
  | { readonly kind: 'dry-run' | 'sheet'; readonly number: number }
  | { readonly kind: 'form'; readonly number: number }
  /** Beside a thing on a page, e.g. `alert:alr_…`. */
  | { readonly kind: 'aside'; readonly name: string };

/** One thing in the chat, and when it was said. `topic`: a card that is replaced as what it shows changes. */
export type TalkEntry = { readonly number: number } & (
  | { readonly kind: 'mine'; readonly line: string; readonly atMs: number }
  | {
      readonly kind: 'cards';
      readonly cards: readonly Card[];
      readonly files: LineReply['files'];
      readonly atMs: number;
    }
  | { readonly kind: 'topic'; readonly topic: string }
  | { readonly kind: 'problem'; readonly problem: Problem; readonly atMs: number }
);

/** What is known of a topic, e.g. `run:run_…`. `seen` is what the live site said of it when its card was asked for. */
export type Topic = {
  readonly card: Card | undefined;
  readonly isFinal: boolean;
  readonly isBusy: boolean;
  readonly seen: string | undefined;
  readonly askedAtMs: number;
  /** When the card was as it is shown. */
  readonly shownAtMs: number;
  readonly problem?: Problem;
};

export type Answer =
  | { readonly kind: 'none' }
  | { readonly kind: 'asked' }
  | { readonly kind: 'cards'; readonly cards: readonly Card[]; readonly topics: readonly string[] }
  | { readonly kind: 'failed'; readonly problem: Problem };

/** The dialog of one action: what would be typed, what it would do, what became of it. */
export type Sheet = {
  readonly number: number;
  readonly line: string;
  /** What the person filled in, by field. No secrets: codes are asked for by the server's form. */
  readonly answers: Readonly<Record<string, string>>;
  readonly dryRun: Answer;
  readonly run: Answer;
  /** Why the line was not taken; the fields stay, to be corrected. */
  readonly refusal: Answer;
};

/** A form of the conversation. What is typed into it stays in the browser's own fields and never comes in here. */
export type OpenForm = {
  readonly number: number;
  readonly form: Form;
  readonly isBusy: boolean;
  /** Why it was not taken; the form stays. */
  readonly refusal: readonly Card[];
  readonly problem: Problem | undefined;
  /** What became of it; replaces the form. */
  readonly result: Extract<Answer, { kind: 'cards' }> | undefined;
};

/** `chosen` counts the steps of the arrow keys, round and round. */
export type Palette = { readonly text: string; readonly chosen: number };

export type TalkState = {
  /** Oldest first, at most 200. */
  readonly entries: readonly TalkEntry[];
  readonly topics: Readonly<Record<string, Topic>>;
  /** Lines under way, without codes. */
  readonly busy: readonly { readonly number: number; readonly line: string }[];
  readonly asides: Readonly<Record<string, Answer>>;
  readonly input: string;
  /** How many steps the arrow keys went through the candidates, round and round; undefined before the first. */
  readonly chosen: number | undefined;
  readonly isListOpen: boolean;
  /** Lines that were sent, oldest first, without codes. */
  readonly history: readonly string[];
  /** Which of them the arrow keys show; undefined for the own text. */
  readonly historyIndex: number | undefined;
  /** `auto`: shown beside the page where there is room. */
  readonly pane: 'auto' | 'open' | 'closed';
  readonly sheet: Sheet | undefined;
  readonly form: OpenForm | undefined;
  readonly palette: Palette | undefined;
  /** What was chosen in the palette, newest first. */
  readonly recent: readonly string[];
  readonly picture: { readonly url: string; readonly altText: string } | undefined;
  /** The line that was copied last, for a moment. */
  readonly copied: string | undefined;
};

export type TalkEvent =
  | {
      readonly kind: 'talk-sent';
      readonly number: number;
      readonly line: string;
      readonly place: Place;
      readonly atMs: number;
    }
  | {
      readonly kind: 'talk-answered';
      readonly number: number;
      readonly place: Place;
      readonly answer: LineReply | Problem;
      readonly atMs: number;
    }
  | { readonly kind: 'talk-topic-followed'; readonly topic: string }
  /** One topic led to another: a request to its run. */
  | { readonly kind: 'talk-topic-led'; readonly from: string; readonly to: string }
  | {
      readonly kind: 'talk-topic-asked';
      readonly topic: string;
      readonly seen: string | undefined;
      readonly atMs: number;
    }
  | { readonly kind: 'talk-topic-shown'; readonly topic: string; readonly answer: CardAnswer | Problem }
  | SurfaceEvent;

/** What changes only what is open and typed. */
export type SurfaceEvent =
  | { readonly kind: 'talk-typed'; readonly text: string }
  /** One on or back; relative, because two keys can come between two drawings. */
  | { readonly kind: 'talk-candidate'; readonly step: -1 | 1 }
  | { readonly kind: 'talk-list-closed' }
  | { readonly kind: 'talk-recalled'; readonly step: -1 | 1 }
  | { readonly kind: 'talk-pane'; readonly pane: TalkState['pane'] }
  | { readonly kind: 'talk-sheet-opened'; readonly number: number; readonly line: string }
  | { readonly kind: 'talk-sheet-filled'; readonly field: string; readonly value: string }
  /** From what became of it back to its fields. */
  | { readonly kind: 'talk-sheet-back' }
  | { readonly kind: 'talk-sheet-closed' }
  | { readonly kind: 'talk-form-closed' }
  | { readonly kind: 'talk-palette-opened' }
  | { readonly kind: 'talk-palette-typed'; readonly text: string }
  | { readonly kind: 'talk-palette-chosen'; readonly step: -1 | 1 }
  /** `used`: the item that was taken, kept as recent. */
  | { readonly kind: 'talk-palette-closed'; readonly used?: string }
  | { readonly kind: 'talk-picture'; readonly picture: TalkState['picture'] }
  | { readonly kind: 'talk-copied'; readonly line: string | undefined };

export const initialTalk: TalkState = {
  entries: [],
  topics: {},
  busy: [],
  asides: {},
  input: '',
  chosen: undefined,
  isListOpen: false,
  history: [],
  historyIndex: undefined,
  pane: 'auto',
  sheet: undefined,
  form: undefined,
  palette: undefined,
  recent: [],
  picture: undefined,
  copied: undefined,
};

const entryCountMax = 200;
const looseTopicCountMax = 20;
const historyCountMax = 100;
const asideCountMax = 20;

/** The conversation in the page: pure, and without any secret that a form was sent with. */
export function reduceTalk(state: TalkState, event: TalkEvent): TalkState {
  switch (event.kind) {
    case 'talk-sent':
      return sent(state, event);
    case 'talk-answered':
      return answered(state, event);
    case 'talk-topic-followed':
      return withTopics(state, [event.topic]);
    case 'talk-topic-led':
      return led(state, event.from, event.to);
    case 'talk-topic-asked': {
      const { topic, seen, atMs } = event;
      return withTopic(state, topic, (known) => ({ ...known, isBusy: true, seen, askedAtMs: atMs }));
    }
    case 'talk-topic-shown':
      return withTopic(state, event.topic, (known) => shown(known, event.answer));
    default:
      return reduceSurfaces(state, event);
  }
}

/** A line as it may be kept and shown: six-digit codes and one-time words are gone from it. */
export function withoutSecrets(line: string): string {
  const bare = line.replace(/(--code(?:\s+|=))("[^"]*"|'[^']*'|\S+)/gi, '$1••••••');
  return bare.replace(/^(\s*(?:\/?dr\s+)?(?:authenticator|link)\s+)\S+/i, '$1••••••');
}

type Sent = Extract<TalkEvent, { kind: 'talk-sent' }>;

function sent(state: TalkState, { number, line: rawLine, place, atMs }: Sent): TalkState {
  const line = withoutSecrets(rawLine);
  const busy = { ...state, busy: [...state.busy, { number, line }].slice(-50) };
  const asked: Answer = { kind: 'asked' };
  switch (place.kind) {
    case 'chat': {
      const opened = {
        ...logged(busy, { number, kind: 'mine', line, atMs }),
        pane: 'open',
      } as const;
      return { ...opened, history: [...state.history.filter((old) => old !== line), line].slice(-historyCountMax) };
    }
    case 'dry-run':
      return withSheet(busy, place.number, { dryRun: asked });
    case 'sheet':
      return withSheet(logged(busy, { number, kind: 'mine', line, atMs }), place.number, {
        run: asked,
        refusal: { kind: 'none' },
      });
    case 'form':
      return withForm(logged(busy, { number, kind: 'mine', line, atMs }), place.number, {
        isBusy: true,
        refusal: [],
        problem: undefined,
      });
    case 'aside':
      return withAside(logged(busy, { number, kind: 'mine', line, atMs }), place.name, asked);
    default:
      return place satisfies never;
  }
}

type Answered = Extract<TalkEvent, { kind: 'talk-answered' }>;

function answered(before: TalkState, event: Answered): TalkState {
  const { number, place, answer } = event;
  const state = { ...before, busy: before.busy.filter((one) => one.number !== number) };
  if (place.kind === 'dry-run') return withSheet(state, place.number, { dryRun: answerOf(answer) });
  const told = place.kind === 'form' ? formAnswered(state, place.number, answer) : placeAnswered(state, place, answer);
  return opened(inLog(told, event), number, answer);
}

/** Where the line was sent from shows its answer too. */
function placeAnswered(
  state: TalkState,
  place: Exclude<Place, { kind: 'dry-run' | 'form' }>,
  answer: LineReply | Problem,
): TalkState {
  const isAsking = answer.kind === 'reply' && answer.form !== undefined;
  if (place.kind === 'aside') return withAside(state, place.name, isAsking ? { kind: 'none' } : answerOf(answer));
  if (place.kind === 'chat' || state.sheet?.number !== place.number) return state;
  // The server asks for more: its form takes the sheet's place.
  if (isAsking) return { ...state, sheet: undefined };
  const told = answerOf(answer);
  return withSheet(state, place.number, isToCorrect(answer) ? { run: { kind: 'none' }, refusal: told } : { run: told });
}

/** The line was not taken, so it can be corrected where it was written. After an outage nobody knows whether it was. */
function isToCorrect(answer: LineReply | Problem): boolean {
  if (answer.kind === 'problem') return answer.why !== 'outage' && answer.why !== 'signed-out';
  return answer.topic === undefined && answer.cards.some((card) => card.tone !== 'bad' && isRefusal(card));
}

function formAnswered(state: TalkState, number: number, answer: LineReply | Problem): TalkState {
  if (answer.kind === 'problem') return withForm(state, number, { isBusy: false, problem: answer });
  const isRefused = answer.topic === undefined && answer.cards.some(isRefusal);
  if (isRefused) return withForm(state, number, { isBusy: false, refusal: answer.cards });
  return withForm(state, number, { isBusy: false, result: cardsOf(answer) });
}

/** A refusal says in its title that nothing was done, or is an outage. */
function isRefusal(card: Card): boolean {
  return card.tone === 'bad' || /nothing was done|may not do this|does not know you/i.test(card.title);
}

function inLog(state: TalkState, { number, answer, atMs }: Answered): TalkState {
  if (answer.kind === 'problem') return logged(state, { number, kind: 'problem', problem: answer, atMs });
  // The form says the same as these cards.
  if (answer.form !== undefined) return state;
  const { cards, files, topic } = answer;
  const replied =
    cards.length === 0 && files.length === 0 ? state : logged(state, { number, kind: 'cards', cards, files, atMs });
  if (topic === undefined) return replied;
  const isShown = state.entries.some((entry) => entry.kind === 'topic' && entry.topic === topic);
  return withTopics(isShown ? replied : logged(replied, { number, kind: 'topic', topic }), [topic]);
}

function opened(state: TalkState, number: number, answer: LineReply | Problem): TalkState {
  if (answer.kind === 'problem' || answer.form === undefined) return state;
  const form = { number, form: answer.form, isBusy: false, refusal: [], problem: undefined, result: undefined };
  return { ...state, form };
}

function answerOf(answer: LineReply | Problem): Answer {
  return answer.kind === 'problem' ? { kind: 'failed', problem: answer } : cardsOf(answer);
}

function cardsOf({ cards, topic }: LineReply): Extract<Answer, { kind: 'cards' }> {
  return { kind: 'cards', cards, topics: topic === undefined ? [] : [topic] };
}

function logged(state: TalkState, entry: TalkEntry): TalkState {
  const entries = [...state.entries, entry].slice(-entryCountMax);
  return entries.length < entryCountMax
    ? { ...state, entries }
    : { ...state, entries, topics: usedTopics(state, entries) };
}

/** Nobody looks at the topics of entries that are gone. */
function usedTopics(state: TalkState, entries: readonly TalkEntry[]): TalkState['topics'] {
  const used = new Set(entries.flatMap((entry) => (entry.kind === 'topic' ? [entry.topic] : [])));
  const all = Object.entries(state.topics);
  const loose = all.filter(([topic]) => !used.has(topic)).slice(-looseTopicCountMax);
  return Object.fromEntries([...loose, ...all.filter(([topic]) => used.has(topic))]);
}

function led(state: TalkState, from: string, to: string): TalkState {
  const after = (topics: readonly string[]) =>
    topics.includes(from) && !topics.includes(to) ? [...topics, to] : topics;
  const join = <Kind extends Answer | undefined>(answer: Kind): Kind =>
    answer?.kind === 'cards' ? { ...answer, topics: after(answer.topics) } : answer;
  const { sheet, form } = state;
  const isIn = (topic: string) => state.entries.some((entry) => entry.kind === 'topic' && entry.topic === topic);
  const next = {
    ...state,
    ...(sheet !== undefined && { sheet: { ...sheet, run: join(sheet.run) } }),
    ...(form !== undefined && { form: { ...form, result: join(form.result) } }),
    asides: Object.fromEntries(Object.entries(state.asides).map(([name, answer]) => [name, join(answer)])),
  };
  const number = state.entries.at(-1)?.number ?? 0;
  return withTopics(isIn(from) && !isIn(to) ? logged(next, { number, kind: 'topic', topic: to }) : next, [to]);
}

const newTopic: Topic = { card: undefined, isFinal: false, isBusy: false, seen: undefined, askedAtMs: 0, shownAtMs: 0 };

function withTopics(state: TalkState, names: readonly string[]): TalkState {
  const added = names.filter((name) => !Object.hasOwn(state.topics, name)).map((name) => [name, newTopic]);
  return added.length === 0 ? state : { ...state, topics: { ...state.topics, ...Object.fromEntries(added) } };
}

function withTopic(state: TalkState, name: string, change: (known: Topic) => Topic): TalkState {
  const known = Object.hasOwn(state.topics, name) ? state.topics[name] : undefined;
  return known === undefined ? state : { ...state, topics: { ...state.topics, [name]: change(known) } };
}

/** An outage leaves the old card; what is not there, or not for this person, is asked for no more. */
function shown(known: Topic, answer: CardAnswer | Problem): Topic {
  const { problem: _, ...rest } = known;
  if (answer.kind === 'card') {
    return { ...rest, isBusy: false, card: answer.card, isFinal: answer.isFinal, shownAtMs: known.askedAtMs };
  }
  const isOver = answer.why === 'not-found' || answer.why === 'refused' || answer.why === 'bad-request';
  return { ...rest, isBusy: false, isFinal: isOver, problem: answer };
}

function withSheet(state: TalkState, number: number, change: Partial<Sheet>): TalkState {
  const { sheet } = state;
  const isSame = sheet?.number === number;
  return isSame ? { ...state, sheet: { ...sheet, ...change } } : state;
}

function withForm(state: TalkState, number: number, change: Partial<OpenForm>): TalkState {
  const { form } = state;
  return form?.number === number ? { ...state, form: { ...form, ...change } } : state;
}

function withAside(state: TalkState, name: string, answer: Answer): TalkState {
  const others = Object.entries(state.asides).filter(([known]) => known !== name);
  return { ...state, asides: Object.fromEntries([...others, [name, answer] as const].slice(-asideCountMax)) };
}

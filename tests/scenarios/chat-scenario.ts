import { type Button, brokenLimits, type Card } from '../../bot/card.ts';
import { type ChatReply, executeChatLine } from '../../bot/chat-line.ts';
import { lineOfForm } from '../../bot/conversation/forms.ts';
import { cardOfRun, cardOfSubject } from '../../bot/delivery/card-of-subject.ts';
import type { Form, FormAnswers } from '../../bot/form.ts';
import { type ChatWorld, createChatWorld } from './chat-world.ts';

/**
 * A conversation in a channel, played through one platform's renderer.
 *
 * A script has one step a line: `ana> /dr …` is typed; `ben clicks Approve` presses the newest button of that name that the channel or
 * ben alone can see; `ben answers code=123456 reason="fine"` sends the form that is open for ben; `then the run ends well` happens by
 * itself; `world` begins anew. What follows each step is what is said: `#dr` to everybody (`+` a new message, `~` one that is edited),
 * `ana only` to one, `ana form` as a dialog.
 */
export type ChatRenderer = {
  readonly name: string;
  /** What people read, as text. */
  readonly draw: (card: Card, nowMs: number) => string;
};

export type PlayedScenario = {
  readonly transcript: string;
  /** Every card that was shown, with what was drawn of it. */
  readonly shown: readonly { readonly card: Card; readonly drawn: string }[];
};

type Stage = {
  world: ChatWorld;
  readonly renderer: ChatRenderer;
  readonly said: string[];
  readonly shown: { card: Card; drawn: string }[];
  /** Newest last. A topic has one message in the channel; editing it replaces its buttons. */
  channel: { topic: string; buttons: readonly Button[] }[];
  readonly own: Map<string, readonly Button[]>;
  readonly forms: Map<string, Form>;
};

export async function playChatScenario(script: string, renderer: ChatRenderer): Promise<PlayedScenario> {
  const stage: Stage = {
    world: createChatWorld(),
    renderer,
    said: [],
    shown: [],
    channel: [],
    own: new Map(),
    forms: new Map(),
  };
  for (const line of script.split('\n')) {
    if (line.trim() === '') continue;
    if (line.startsWith('#')) {
      stage.said.push(line);
      continue;
    }
    stage.said.push('', line);
    await step(line, stage);
    drawChanges(stage);
  }
  return { transcript: `${stage.said.join('\n').trim()}\n`, shown: stage.shown };
}

async function step(line: string, stage: Stage): Promise<void> {
  if (line === 'world') {
    stage.world = createChatWorld();
    stage.channel = [];
    stage.own.clear();
    return;
  }
  const [, happening] = /^then (.*)$/.exec(line) ?? [];
  if (happening !== undefined) return stage.world.happen(happening);
  const [, typist = '', typed] = /^(\w+)> (.*)$/.exec(line) ?? [];
  if (typed !== undefined) return say(typist, typed, stage);
  const [, clicker = '', label] = /^(\w+) clicks (.*)$/.exec(line) ?? [];
  if (label !== undefined) return say(clicker, buttonFor(clicker, label, stage).line, stage);
  const [, sender = '', answers] = /^(\w+) answers (.*)$/.exec(line) ?? [];
  const form = stage.forms.get(sender);
  if (answers === undefined || form === undefined) throw new Error(`what is meant by ${JSON.stringify(line)}?`);
  stage.forms.delete(sender);
  await say(sender, lineOfForm(form.kind, form.context, answersIn(answers)), stage);
}

function buttonFor(person: string, label: string, stage: Stage): Button {
  const seen = [...stage.channel.flatMap(({ buttons }) => buttons), ...(stage.own.get(person) ?? [])];
  const button = seen.findLast((candidate) => candidate.label === label);
  if (button === undefined) throw new Error(`${person} sees no button ${label}`);
  return button;
}

function answersIn(text: string): FormAnswers {
  const found = [...text.matchAll(/(\w+)=(?:"([^"]*)"|(\S+))/g)];
  return Object.fromEntries(found.map(([, id = '', quoted, plain]) => [id, quoted ?? plain ?? '']));
}

async function say(person: string, line: string, stage: Stage): Promise<void> {
  const { world } = stage;
  const displayName = `${person[0]?.toUpperCase()}${person.slice(1)}`;
  const user = { surface: 'slack', tenant: 'T1', user: person.toUpperCase() } as const;
  const actor = { ...user, displayName, kind: 'member', envelope: line } as const;
  const reply: ChatReply = await executeChatLine(line, {
    engine: world,
    speaker: { actor },
    place: { surface: 'slack', tenant: 'T1', place: 'C1' },
    newKey: () => 'key-12345',
    nowMs: world.nowMs,
  });
  if (reply.form !== undefined) showForm(person, reply.form, stage);
  else for (const card of reply.cards) show(card.audience === 'channel' ? '#dr +' : `${person} only`, card, stage);
  const own = reply.cards.filter((card) => card.audience === 'asker').flatMap((card) => card.buttons ?? []);
  stage.own.set(person, own);
  for (const file of reply.files ?? []) stage.said.push(`${person} file   ${file.fileName}: ${file.altText}`);
  if (reply.follow !== undefined) world.follow(reply.follow.topic);
}

function showForm(person: string, form: Form, stage: Stage): void {
  stage.forms.set(person, form);
  const fields = form.fields.map((field) => {
    const choices = field.kind === 'choice' ? `: ${field.options.map((option) => option.label).join(' / ')}` : '';
    return `  (${field.label}${field.isRequired ? '' : ', optional'}${choices})`;
  });
  const lines = [form.title, ...form.text.map((text) => `  ${text}`), ...fields, `  [${form.submitLabel}]`];
  stage.said.push(...lines.map((line) => `${person} form   ${line}`));
}

function drawChanges(stage: Stage): void {
  for (const { topic, isNew, subject } of stage.world.changed()) {
    const nowMs = stage.world.nowMs();
    const card = subject.kind === 'run-view' ? cardOfRun(subject.run, undefined, nowMs) : cardOfSubject(subject, nowMs);
    if (card === undefined) throw new Error(`${topic} has no card`);
    show(isNew ? '#dr +' : '#dr ~', card, stage);
    const rest = stage.channel.filter((message) => message.topic !== topic);
    stage.channel = [...rest, { topic, buttons: card.buttons ?? [] }];
  }
}

function show(where: string, card: Card, stage: Stage): void {
  const broken = brokenLimits(card);
  if (broken.length > 0) throw new Error(`the card "${card.title}" breaks: ${broken.join(', ')}`);
  const drawn = stage.renderer.draw(card, stage.world.nowMs());
  stage.shown.push({ card, drawn });
  stage.said.push(...drawn.split('\n').map((line) => `${where.padEnd(10)} ${line}`.trimEnd()));
}

/** Every word of a card that people need, for comparing what renderers say; texts that may be shortened are cut to what all show. */
export function wordsOfCard(card: Card): readonly string[] {
  const { title, text = [], fields = [], table, progress, sections = [], footer } = card;
  const cells = (table?.rows ?? []).flat().filter((cell) => cell !== '–');
  return [
    title,
    ...text,
    ...fields.flatMap(({ label, value }) => [label, value]),
    ...cells.map((cell) => cell.slice(0, 50)),
    ...sections.flatMap((section) => [section.title, ...section.rows.flat()]),
    ...(progress === undefined ? [] : [progress.label]),
    ...(footer === undefined ? [] : [footer]),
  ].filter((words) => words !== '');
}

/** Without what renderers may do differently: spaces, line breaks, marks of code, capital letters of labels. */
export function bareWords(text: string): string {
  return text.replaceAll(/[`*_\s]/g, '').toLowerCase();
}

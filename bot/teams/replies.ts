import { describeCauses, OutageError } from '../../domain/outage.ts';
import type { ChatActor } from '../../protocol/chat-api.ts';
import { type Button, type Card, shorten } from '../card.ts';
import { parseLine } from '../chat-command.ts';
import { type ChatReply, executeChatLine, type ReplyFile } from '../chat-line.ts';
import type { DeliveryLog } from '../delivery/start-delivery.ts';
import type { BotClient } from '../engine-client.ts';
import type { Form } from '../form.ts';
import type { ObserveLine } from '../observed-line.ts';
import type { AdaptiveCard, InboundActivity } from './activity.ts';
import type { Actors } from './actors.ts';
import type { BotFramework, Posted } from './bot-framework.ts';
import { ConnectorError } from './connector-http.ts';
import { homeReply, isHomeLine } from './home.ts';
import { idempotencyKeys } from './idempotency.ts';
import { pictureCard } from './picture.ts';
import { type Places, placeOf } from './places.ts';
import { cardActivity, renderCard } from './render-card.ts';
import type { TeamsSettings } from './settings.ts';
import { commandPrefixOf } from './surface.ts';

export type TeamsDeps = {
  readonly settings: TeamsSettings;
  readonly engine: Pick<BotClient, 'ask' | 'follow'>;
  readonly framework: BotFramework;
  readonly places: Places;
  readonly actors: Actors;
  readonly nowMs: () => number;
  readonly log: DeliveryLog;
  /** How long who clicked is kept waiting; see `teamsLimits`. */
  readonly invokeMs: number;
  readonly observeLine?: ObserveLine | undefined;
};

/** An activity and who sent it. */
export type Turn = { readonly activity: InboundActivity; readonly actor: ChatActor };

/** Carries out a line as the person who wrote it, clicked it or filled it in. */
export async function carryOut(line: string, { activity, actor }: Turn, deps: TeamsDeps): Promise<ChatReply> {
  if (isPrivateLine(line) && activity.conversation.conversationType !== 'personal') return { cards: [privateCard()] };
  if (isHomeLine(line)) return homeReply({ activity, actor }, deps);
  const reply = await executeChatLine(line, {
    engine: deps.engine,
    speaker: { actor },
    place: placeOf(activity),
    newKey: idempotencyKeys(actor),
    nowMs: deps.nowMs,
    observe: deps.observeLine,
  });
  return reply.form === undefined ? reply : { ...reply, cards: withFormButton(reply.cards, reply.form) };
}

/** Posts an answer where it was asked for, in the thread of the question; the engine shows what follows, and keeps it true. */
export async function postReply(reply: ChatReply, turn: Turn, deps: TeamsDeps): Promise<void> {
  for (const card of reply.cards) await postCard(card, turn, deps);
  for (const file of reply.files ?? []) await postFile(file, turn, deps);
  if (reply.follow === undefined) return;
  const order = { topic: reply.follow.topic, place: placeOf(turn.activity), ref: null };
  await deps.engine.follow(order, { actor: turn.actor });
}

export function postCard(card: Card, { activity }: Pick<Turn, 'activity'>, deps: TeamsDeps): Promise<Posted> {
  return send(renderCard(card, viewOf(activity, deps)), card.title, { activity, deps });
}

/** How a card is drawn for a place: in a private chat with all its buttons, elsewhere with those that everybody may see. */
function viewOf(activity: InboundActivity, deps: TeamsDeps) {
  const place = placeOf(activity);
  const commandPrefix = commandPrefixOf(place, deps.settings.botName);
  return place.place.startsWith('user:') ? { commandPrefix } : { commandPrefix, viewers: [activity.from.id] };
}

async function postFile(file: ReplyFile, turn: Turn, deps: TeamsDeps): Promise<void> {
  const { activity } = turn;
  if (file.audience === 'asker' && activity.conversation.conversationType !== 'personal') {
    await postCard(noteCard(`${file.fileName} is only for you: ask for it in our private chat.`), turn, deps);
  } else if (file.mediaType === 'image/png') {
    await send(pictureCard(file.bytes, file.altText), file.altText, { activity, deps });
  } else {
    await postCard(csvCard(file), turn, deps);
  }
}

function send(
  content: AdaptiveCard,
  summary: string,
  { activity, deps }: { activity: InboundActivity; deps: TeamsDeps },
) {
  return deps.framework.send(activity.serviceUrl, activity.conversation.id, cardActivity(content, summary, false));
}

/** A bot may not send files in Teams without asking each time; the first lines are shown, a terminal writes the whole file. */
function csvCard(file: ReplyFile): Card {
  const lines = file.bytes.toString('utf8').trimEnd().split('\n');
  const shown = lines.slice(0, 20).map((row) => shorten(row, 200));
  return {
    title: file.fileName,
    tone: 'neutral',
    audience: file.audience,
    text: shown.filter((row) => row.trim() !== ''),
    footer: `${file.altText} · ${lines.length > 20 ? `20 of ${lines.length} lines; ` : ''}in a terminal the same command writes the file`,
  };
}

/** Codes that make somebody a person for the engine are not for a channel's eyes. */
function isPrivateLine(line: string): boolean {
  const parsed = parseLine(line);
  if (parsed.kind === 'command' && parsed.command.verb === 'console') return !parsed.command.isSignOut;
  const verb = parsed.kind === 'command' ? parsed.command.verb : parsed.problem.verb;
  return verb === 'link' || verb === 'authenticator';
}

function privateCard(): Card {
  return {
    title: 'That belongs into our private chat',
    tone: 'warning',
    audience: 'asker',
    text: ['Nothing was done. Open a chat with me and type it there: others would see the code here.'],
  };
}

/** Teams opens a dialog only from a button, never from a typed line. */
function withFormButton(cards: readonly Card[], form: Form): readonly Card[] {
  if (cards.some((card) => card.buttons?.some((button) => button.opens !== undefined))) return cards;
  const label = shorten(`${form.title}…`, 75);
  const button: Button = { label, line: form.context, style: form.style, opens: form.kind };
  const last = cards.at(-1);
  if (last === undefined) {
    return [{ title: form.title, tone: 'neutral', audience: 'asker', text: form.text, buttons: [button] }];
  }
  return [...cards.slice(0, -1), { ...last, buttons: [button, ...(last.buttons ?? [])].slice(0, 5) }];
}

export function noteCard(title: string, text: readonly string[] = []): Card {
  return { title, tone: 'warning', audience: 'asker', text };
}

/** What a person is told when answering them went wrong; undefined for our own bugs, which are thrown on. */
export function problemCard(error: unknown): Card | undefined {
  if (error instanceof ConnectorError) {
    return noteCard('Teams does not say who you are', [
      `Nothing was done: I could not look you up among the members (${shorten(error.message, 200)}). Please try again.`,
    ]);
  }
  if (!(error instanceof OutageError)) return undefined;
  return noteCard('That did not work', [
    shorten(describeCauses(error), 1000),
    ...(error.nextStep === undefined ? [] : [error.nextStep]),
  ]);
}

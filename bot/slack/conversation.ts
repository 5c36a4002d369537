import type { types } from '@slack/bolt';
import { assertNever } from '../../domain/invariant.ts';
import { OutageError } from '../../domain/outage.ts';
import type { ChatActor, ChatPlace } from '../../protocol/chat-api.ts';
import type { Card } from '../card.ts';
import { parseLine } from '../chat-command.ts';
import { type ChatReply, executeChatLine, type ReplyFile } from '../chat-line.ts';
import { decide } from '../conversation/decide.ts';
import { lineOfForm } from '../conversation/forms.ts';
import { homeCards } from '../conversation/home-cards.ts';
import { outageCard } from '../conversation/plain-cards.ts';
import type { BotClient } from '../engine-client.ts';
import type { ObserveLine } from '../observed-line.ts';
import { type Answerer, createAnswerer } from './answers.ts';
import type { BoundedMemory } from './bounded-memory.ts';
import { answersOf, cardsView, formView, lineView, type ModalOrigin, readOrigin, waitingView } from './form-view.ts';
import { homeView } from './home-view.ts';
import { messagesOf } from './messages.ts';
import type { SlackClients } from './slack-clients.ts';
import type { SlackEvent, Spot } from './slack-event.ts';
import { withMembers } from './user-groups.ts';
import type { Speaker } from './who-speaks.ts';

export type SlackLog = {
  readonly info: (message: string) => void;
  readonly warn: (message: string, error?: unknown) => void;
};

export type ConversationDeps = {
  readonly engine: Pick<BotClient, 'ask' | 'follow'>;
  readonly clients: SlackClients;
  readonly tenant: string;
  /** Our own workspace, and its organisation: only their users are whom Slack says. */
  readonly homeIds: readonly string[];
  readonly whoSpeaks: (userId: string) => Promise<Speaker>;
  readonly channelOf: (place: string) => Promise<string>;
  /** Who looked at their home tab lately: it is drawn again after what they do. */
  readonly homes: BoundedMemory<true>;
  /** What a modal that was sent shows by now, by the event's key: for Slack's second delivery of the same. */
  readonly shownViews: BoundedMemory<types.ModalView>;
  readonly nowMs: () => number;
  readonly log: SlackLog;
  readonly observeLine?: ObserveLine;
};

type EventOf<Kind extends SlackEvent['kind']> = Extract<SlackEvent, { kind: Kind }>;
/** One thing that a person did, with where its answers go. */
type Turn = {
  readonly event: SlackEvent;
  readonly place: ChatPlace;
  readonly answerer: Answerer;
  readonly arrivedAtMs: number;
};

/** A trigger is good for three seconds; a little is left for the way to Slack. Source: CHAT 2.1 */
const triggerMsMax = 2500;

/** What stands in a modal from the moment it is sent, before anything is asked of anybody. Undefined: it closes. */
export function acknowledgementOf(event: SlackEvent): types.ModalView | undefined {
  if (event.kind !== 'submission') return undefined;
  const read = readOrigin(event.metadata);
  // The line of the shortcut is answered in its thread: its modal closes.
  if (read === undefined || read.origin.kind === 'line') return undefined;
  return waitingView('Lifeboat');
}

/** Carries out what a person did in Slack, after it was acknowledged. Never throws: who asked is told, and it is logged. */
export async function handleSlackEvent(event: SlackEvent, deps: ConversationDeps): Promise<void> {
  const turn = turnOf(event, deps);
  try {
    await carryOut(turn, deps);
  } catch (error) {
    deps.log.warn(`slack: ${event.kind} by ${event.user} ended in an error`, error);
    await say(turn, [errorCard(error)], deps);
  }
  if (event.kind !== 'home' && deps.homes.get(event.user) === true) await drawHome(turn, deps);
}

function turnOf(event: SlackEvent, deps: ConversationDeps): Turn {
  const origin = event.kind === 'submission' ? readOrigin(event.metadata)?.origin : undefined;
  const spot = spotOf(event, origin);
  const publicThreadTs = event.kind === 'mention' ? (event.spot.threadTs ?? event.ts) : spot?.threadTs;
  const responseUrl = event.kind === 'command' || event.kind === 'click' ? event.responseUrl : undefined;
  const answererDeps = { ...deps, warn: deps.log.warn };
  const answerer = createAnswerer({ user: event.user, spot, publicThreadTs, responseUrl }, answererDeps);
  return {
    event,
    place: origin?.place ?? { surface: 'slack', tenant: deps.tenant, place: placeOf(event.user, spot) },
    // In a conversation of two everything is for who asked, and stays there to be read again.
    answerer: event.kind === 'direct' ? { ...answerer, toAsker: answerer.toChannel } : answerer,
    arrivedAtMs: deps.nowMs(),
  };
}

function spotOf(event: SlackEvent, origin: ModalOrigin | undefined): Spot | undefined {
  if ('spot' in event) return event.spot;
  if (origin === undefined || origin.place.place.startsWith('user:')) return undefined;
  return { channel: origin.place.place, channelName: '', threadTs: origin.threadTs };
}

/** In a conversation of two, Slack lets an app speak only by a direct message of its own. */
function placeOf(user: string, spot: Spot | undefined): string {
  const isDirect = spot === undefined || spot.channelName === 'directmessage' || spot.channel.startsWith('D');
  return isDirect ? `user:${user}` : spot.channel;
}

async function carryOut(turn: Turn, deps: ConversationDeps): Promise<void> {
  const { event } = turn;
  switch (event.kind) {
    case 'command':
      return isForm(event.text, turn, deps)
        ? openForm(event.triggerId, event.text, turn, deps)
        : show(await runLine(event.text, turn, deps), turn, deps);
    case 'mention':
    case 'direct':
      return event.isFromBot ? undefined : show(await runLine(event.text, turn, deps), turn, deps);
    case 'click':
      return event.opens === undefined
        ? show(await runLine(event.line, turn, deps), turn, deps)
        : openForm(event.triggerId, event.line, turn, deps);
    case 'shortcut':
      await deps.clients.answering.views.open({ trigger_id: event.triggerId, view: lineView(originOf(turn)) });
      return;
    case 'submission':
      return takeSubmission(event, turn, deps);
    case 'home':
      deps.homes.set(event.user, true);
      return drawHome(turn, deps);
    default:
      return assertNever(event);
  }
}

/** Known from the words alone, so that the modal is there before the engine is asked. */
function isForm(line: string, { place }: Turn, deps: ConversationDeps): boolean {
  return decide(parseLine(line), { nowMs: deps.nowMs(), place }).kind === 'form';
}

async function runLine(line: string, turn: Turn, deps: ConversationDeps): Promise<ChatReply> {
  const actor = await actorOf(turn.event, deps);
  let count = 0;
  const newKey = () => {
    count += 1;
    return count === 1 ? turn.event.key : `${turn.event.key}:${count}`;
  };
  const meant = await withMembers(line, deps.clients.answering);
  return executeChatLine(meant, {
    engine: deps.engine,
    speaker: { actor },
    place: turn.place,
    newKey,
    nowMs: deps.nowMs,
    observe: deps.observeLine,
  });
}

async function actorOf(event: SlackEvent, deps: ConversationDeps): Promise<ChatActor> {
  const speaker = await deps.whoSpeaks(event.user);
  const actor = { surface: 'slack', tenant: deps.tenant, user: event.user, envelope: event.key, ...speaker } as const;
  // Slack was asked about a user of our own workspace: in another one the same id is somebody else.
  return event.tenants.some((tenant) => deps.homeIds.includes(tenant)) ? actor : { ...actor, kind: 'external' };
}

/** Shows a reply: as a form when there is still time to open one, else as cards, which say the same. */
async function show(reply: ChatReply, turn: Turn, deps: ConversationDeps): Promise<void> {
  if (await hasOpened(reply, turn, deps)) return;
  await say(turn, reply.cards, deps);
  await shareAndFollow(reply, turn, deps);
}

async function hasOpened({ form }: ChatReply, turn: Turn, deps: ConversationDeps): Promise<boolean> {
  const { event } = turn;
  const triggerId = event.kind === 'command' || event.kind === 'click' ? event.triggerId : undefined;
  if (form === undefined || triggerId === undefined || deps.nowMs() - turn.arrivedAtMs > triggerMsMax) return false;
  try {
    await deps.clients.answering.views.open({ trigger_id: triggerId, view: formView(form, originOf(turn)) });
    return true;
  } catch (error) {
    deps.log.warn('slack: a form could not be opened; its words are shown instead', error);
    return false;
  }
}

/** What asks for more: an empty modal at once, within the trigger's three seconds; then the form, or why there is none. */
async function openForm(triggerId: string, line: string, turn: Turn, deps: ConversationDeps): Promise<void> {
  const viewId = await openWaiting(triggerId, deps);
  const reply = await replyOrOutage(line, turn, deps);
  if (viewId === undefined) return show(reply, turn, deps);
  await showInView(viewId, reply, turn, deps);
}

async function openWaiting(triggerId: string, deps: ConversationDeps): Promise<string | undefined> {
  try {
    const opened = await deps.clients.answering.views.open({ trigger_id: triggerId, view: waitingView('Lifeboat') });
    return opened.view?.id;
  } catch (error) {
    deps.log.warn('slack: a modal could not be opened; the answer comes as a message', error);
    return undefined;
  }
}

async function takeSubmission(event: EventOf<'submission'>, turn: Turn, deps: ConversationDeps): Promise<void> {
  const read = readOrigin(event.metadata);
  if (read === undefined) return;
  const answers = answersOf(event.values);
  if (read.origin.kind === 'line') return show(await runLine(answers.line ?? '', turn, deps), turn, deps);
  const line = lineOfForm(read.origin.kind, read.context, answers);
  await showInView(event.viewId, await replyOrOutage(line, turn, deps), turn, deps);
}

/** In a modal that is open already, an error must be shown in it: nobody looks behind it. */
async function replyOrOutage(line: string, turn: Turn, deps: ConversationDeps): Promise<ChatReply> {
  try {
    return await runLine(line, turn, deps);
  } catch (error) {
    deps.log.warn(`slack: ${turn.event.kind} by ${turn.event.user} ended in an error`, error);
    return { cards: [errorCard(error)] };
  }
}

async function showInView(viewId: string, reply: ChatReply, turn: Turn, deps: ConversationDeps): Promise<void> {
  const view =
    reply.form === undefined ? cardsView(reply.cards, { nowMs: deps.nowMs() }) : formView(reply.form, originOf(turn));
  deps.shownViews.set(turn.event.key, view);
  let isShown = true;
  try {
    await deps.clients.answering.views.update({ view_id: viewId, view });
  } catch (error) {
    deps.log.warn('slack: a modal could not be filled (closed meanwhile?); the answer comes as a message', error);
    isShown = false;
  }
  if (isShown && reply.form !== undefined) return;
  await say(turn, isShown ? reply.cards.filter((card) => card.audience === 'channel') : reply.cards, deps);
  await shareAndFollow(reply, turn, deps);
}

function originOf(turn: Turn): Omit<ModalOrigin, 'kind'> {
  const { event, place } = turn;
  const before = event.kind === 'submission' ? readOrigin(event.metadata)?.origin : undefined;
  const isFromHome = event.kind === 'click' && event.spot === undefined;
  return before ?? { place, threadTs: 'spot' in event ? event.spot?.threadTs : undefined, isFromHome };
}

async function say(turn: Turn, cards: readonly Card[], deps: ConversationDeps): Promise<void> {
  const nowMs = deps.nowMs();
  const isForAll = (card: Card) => card.audience === 'channel';
  for (const message of messagesOf(cards.filter(isForAll), nowMs)) await turn.answerer.toChannel(message);
  const forAsker = cards.filter((card) => !isForAll(card));
  for (const message of messagesOf(forAsker, nowMs)) await turn.answerer.toAsker(message);
}

async function shareAndFollow(reply: ChatReply, turn: Turn, deps: ConversationDeps): Promise<void> {
  for (const file of reply.files ?? []) await share(file, turn, deps);
  if (reply.follow === undefined) return;
  const { topic } = reply.follow;
  try {
    await deps.engine.follow({ topic, place: turn.place, ref: null }, { actor: await actorOf(turn.event, deps) });
  } catch (error) {
    if (!(error instanceof OutageError)) throw error;
    await say(turn, [outageCard(error)], deps);
  }
}

/** A file for one person goes into a direct message; one for all into the channel, if the app is a member of it. */
async function share(file: ReplyFile, turn: Turn, deps: ConversationDeps): Promise<void> {
  const direct = `user:${turn.event.user}`;
  const places = file.audience === 'channel' ? [turn.place.place, direct] : [direct];
  const about = {
    file: file.bytes,
    filename: file.fileName,
    title: file.altText,
    alt_text: file.altText.slice(0, 1000),
  };
  const threadTs =
    turn.event.kind === 'mention' ? (turn.event.spot.threadTs ?? turn.event.ts) : originOf(turn).threadTs;
  for (const [index, place] of places.entries()) {
    try {
      const channel = await deps.channelOf(place);
      const thread = place === direct || threadTs === undefined ? {} : { thread_ts: threadTs };
      await deps.clients.answering.filesUploadV2({ ...about, channel_id: channel, ...thread });
      return;
    } catch (error) {
      if (index === places.length - 1) throw error;
      deps.log.warn(`slack: ${file.fileName} could not be shared in ${place}; it goes to who asked`, error);
    }
  }
}

async function drawHome(turn: Turn, deps: ConversationDeps): Promise<void> {
  try {
    const cards = await homeCards({
      cardsOf: async (line) => (await replyOrOutage(line, turn, deps)).cards,
      ask: async (call) => deps.engine.ask(call, { actor: await actorOf(turn.event, deps) }),
      nowMs: deps.nowMs(),
    });
    await deps.clients.answering.views.publish({ user_id: turn.event.user, view: homeView(cards, deps.nowMs()) });
  } catch (error) {
    // What the person did has had its own answer; the tab is drawn again when it is opened.
    deps.log.warn(`slack: the home tab of ${turn.event.user} could not be drawn`, error);
  }
}

/** What a person is told when something failed that has no answer of its own. */
function errorCard(error: unknown): Card {
  if (error instanceof OutageError) return outageCard(error);
  return {
    title: 'This went wrong in the bot, not in the engine',
    tone: 'bad',
    audience: 'asker',
    text: ['Whether the command was carried out is shown by `list runs`. The bot’s log has the details.'],
  };
}

import { z } from 'zod';
import type { Card } from '../card.ts';
import type { ChatReply } from '../chat-line.ts';
import { lineOfForm } from '../conversation/forms.ts';
import type { FormKind } from '../form.ts';
import { type AdaptiveCard, adaptiveCardType, type ButtonData, buttonData } from './activity.ts';
import { harmlessWords } from './card-elements.ts';
import { ownView } from './own-view.ts';
import { placeOf } from './places.ts';
import { renderCard } from './render-card.ts';
import { answersIn, taskMessage, taskOfCard, taskOfForm } from './render-form.ts';
import { renderTeamsText } from './render-text.ts';
import { carryOut, postReply, type TeamsDeps, type Turn } from './replies.ts';
import { commandPrefixOf } from './surface.ts';
import { withinTime } from './within-time.ts';

/** What is answered to an invoke: Teams shows it only to who clicked. */
export type InvokeAnswer = { readonly status: number; readonly body?: Readonly<Record<string, unknown>> };

const formKinds = { failover: true, approve: true, reject: true, snooze: true } as const satisfies Record<
  FormKind,
  true
>;
const formKind = z.custom<FormKind>((value) => typeof value === 'string' && Object.hasOwn(formKinds, value));
const cardAction = z.object({ action: z.object({ data: buttonData }) });
const taskCall = z.object({ data: buttonData.loose() });
const stillWorking = 'It is still being worked on. The answer comes here as soon as there is one.';

/** Answers a click or a dialog. Whatever the engine does, there is an answer before Teams gives up waiting. */
export async function answerInvoke(turn: Turn, deps: TeamsDeps): Promise<InvokeAnswer> {
  switch (turn.activity.name) {
    case 'adaptiveCard/action':
      return answerAction(turn, deps);
    case 'task/fetch':
      return answerTask(turn, async (data) => (data.kind === 'form' ? openForm(data, turn, deps) : undefined));
    case 'task/submit':
      return answerTask(turn, async (data) => (data.kind === 'answers' ? takeAnswers(data, turn, deps) : undefined));
    default:
      return { status: 501 };
  }
}

async function answerAction(turn: Turn, deps: TeamsDeps): Promise<InvokeAnswer> {
  const parsed = cardAction.safeParse(turn.activity.value);
  if (!parsed.success) return actionError(400, 'BadRequest', 'This button cannot be read.');
  const data = parsed.data.action.data.lifeboat;
  if (data.kind !== 'line' && data.kind !== 'view')
    return actionError(400, 'BadRequest', 'This button opens a dialog.');
  if (data.kind === 'view') return answerView(data.line, turn, deps);
  const reply = await inTime(carryOut(data.line, turn, deps), turn, deps);
  return reply === undefined ? actionMessage(stillWorking) : answerClick(reply, turn, deps);
}

/** The card as who looks may see it, in place of the one that everybody sees. */
async function answerView(line: string, turn: Turn, deps: TeamsDeps): Promise<InvokeAnswer> {
  const own = await withinTime(ownView(line, turn, deps), deps.invokeMs);
  if (own === undefined) return actionError(503, 'Busy', 'The engine does not answer.');
  if (own.kind === 'refused') return actionMessage(own.words);
  const commandPrefix = commandPrefixOf(placeOf(turn.activity), deps.settings.botName);
  const view = { commandPrefix, viewers: [turn.activity.from.id], isOwnView: true };
  return actionAnswer(adaptiveCardType, renderCard(own.card, view));
}

/** What others should see goes into the thread; a refusal is for who clicked alone. */
async function answerClick(reply: ChatReply, turn: Turn, deps: TeamsDeps): Promise<InvokeAnswer> {
  const own = reply.cards.filter(isRemark);
  const posted = reply.cards.filter((card) => !isRemark(card));
  await postReply({ ...reply, cards: posted }, turn, deps);
  return actionMessage(own.length > 0 ? remarkWords(own) : (posted.at(-1)?.title ?? 'Done.'));
}

/** A refusal or a mistake: words only, for one person. */
function isRemark(card: Card): boolean {
  const isTrouble = card.tone === 'bad' || card.tone === 'warning';
  const hasMore = card.table !== undefined || card.sections !== undefined || card.fields !== undefined;
  return card.audience === 'asker' && isTrouble && !hasMore;
}

function remarkWords(cards: readonly Card[]): string {
  return cards.map((card) => [card.title, ...(card.text ?? [])].join(' – ')).join('\n');
}

async function answerTask(
  turn: Turn,
  answer: (data: ButtonData) => Promise<Readonly<Record<string, unknown>> | undefined>,
): Promise<InvokeAnswer> {
  const parsed = taskCall.safeParse(turn.activity.value);
  const body = parsed.success ? await answer(parsed.data.data.lifeboat) : undefined;
  return { status: 200, body: body ?? taskMessage('This button cannot be read; please type the command.') };
}

/** The line as it stands leads to its form, as on every platform; when it leads to something else, the dialog says what. */
async function openForm(
  data: Extract<ButtonData, { kind: 'form' }>,
  turn: Turn,
  deps: TeamsDeps,
): Promise<Readonly<Record<string, unknown>>> {
  const reply = await inTime(carryOut(data.line, turn, deps), turn, deps);
  return reply === undefined ? taskMessage(stillWorking) : showInDialog(reply, turn, deps);
}

/** A form that has to be filled in again stays open; else the dialog shows the answer, and what others should see goes into the thread. */
async function takeAnswers(
  data: Extract<ButtonData, { kind: 'answers' }>,
  turn: Turn,
  deps: TeamsDeps,
): Promise<Readonly<Record<string, unknown>> | undefined> {
  const kind = formKind.safeParse(data.form);
  const sent = taskCall.safeParse(turn.activity.value);
  if (!kind.success || !sent.success) return undefined;
  const line = lineOfForm(kind.data, data.context, answersIn(sent.data.data));
  const reply = await inTime(carryOut(line, turn, deps), turn, deps);
  return reply === undefined ? taskMessage(stillWorking) : showInDialog(reply, turn, deps);
}

async function showInDialog(reply: ChatReply, turn: Turn, deps: TeamsDeps): Promise<Readonly<Record<string, unknown>>> {
  if (reply.form !== undefined) return taskOfForm(reply.form);
  const [own] = reply.cards.filter((card) => card.audience === 'asker');
  const posted = reply.cards.filter((card) => card.audience === 'channel');
  await postReply({ ...reply, cards: posted }, turn, deps);
  if (own === undefined) return taskMessage(posted.at(-1)?.title ?? 'Done.');
  const { buttons: _, ...shown } = own;
  const commandPrefix = commandPrefixOf(placeOf(turn.activity), deps.settings.botName);
  return taskOfCard('Lifeboat', renderCard(shown, { commandPrefix }));
}

/** The reply, or undefined when it takes too long; then it is posted as soon as it is there. */
async function inTime(work: Promise<ChatReply>, turn: Turn, deps: TeamsDeps): Promise<ChatReply | undefined> {
  const reply = await withinTime(work, deps.invokeMs);
  if (reply === undefined) {
    work
      .then((late) => postReply(late, turn, deps))
      .catch((error: unknown) => deps.log.warn('a late answer could not be posted in Teams', error));
  }
  return reply;
}

/** A pop-up for who clicked; the card stays as it is. */
function actionMessage(text: string): InvokeAnswer {
  return actionAnswer('application/vnd.microsoft.activity.message', harmlessWords(text));
}

function actionAnswer(type: string, value: AdaptiveCard | string): InvokeAnswer {
  return { status: 200, body: { statusCode: 200, type, value } };
}

function actionError(statusCode: number, code: string, message: string): InvokeAnswer {
  return { status: 200, body: { statusCode, type: 'application/vnd.microsoft.error', value: { code, message } } };
}

/** The same refusal in the words of the kind of invoke that was made. */
export function invokeRefusal(turn: Pick<Turn, 'activity'>, card: Card): InvokeAnswer {
  const words = renderTeamsText(card, { commandPrefix: '' });
  if (turn.activity.name === 'adaptiveCard/action') return actionMessage(words);
  return { status: 200, body: taskMessage(words) };
}

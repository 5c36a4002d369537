import { OutageError } from '../domain/outage.ts';
import type { ChatActor, ChatPlace } from '../protocol/chat-api.ts';
import type { RefusalBody } from '../protocol/control-api.ts';
import type { ApiAnswer, ApiCall } from './api-call.ts';
import type { ReplyFile } from './audit-file.ts';
import type { Card } from './card.ts';
import { parseLine } from './chat-command.ts';
import type { Command, ParsedLine } from './command.ts';
import { type Decision, decide, type Reply } from './conversation/decide.ts';
import { type FormFacts, formFor } from './conversation/forms.ts';
import { orderOf } from './conversation/orders.ts';
import { noAuthenticatorCard, outageCard, refusalCard } from './conversation/plain-cards.ts';
import { cardsWithoutEngine, present } from './conversation/present.ts';
import type { EngineClient } from './engine-client.ts';
import type { Form } from './form.ts';
import { formatCommand } from './format-command.ts';
import { gatherAnswers } from './gather-answers.ts';
import { type ObserveLine, watchLine } from './observed-line.ts';
import { filesOf } from './reply-files.ts';

export type { ReplyFile } from './audit-file.ts';

export type ChatLineDeps = {
  readonly engine: Pick<EngineClient, 'ask'>;
  /** For whom the bot speaks: a chat user, or who holds a session of the web console. */
  readonly speaker: { readonly actor: ChatActor } | { readonly session: string; readonly isBegunByPerson?: true };
  /** Where the line was written; undefined on the web, where nothing is delivered to. */
  readonly place?: ChatPlace;
  /** Makes idempotency keys. The first one of a line should come from the platform's event, so that the same event sent twice is done once. */
  readonly newKey: () => string;
  readonly nowMs: () => number;
  readonly signal?: AbortSignal;
  /** For metrics. */
  readonly observe?: ObserveLine | undefined;
};

/**
 * What a line of chat leads to.
 *
 * `form`: open it (instead of the cards when the platform can; the cards say the same as text).
 * `follow`: call `engine.follow({ topic, place, ref: null })` as the same actor: the engine then shows it there and keeps it true.
 */
export type ChatReply = {
  readonly cards: readonly Card[];
  readonly form?: Form;
  readonly follow?: { readonly topic: string };
  /** The topic that it changed: shown wherever it is followed; a page that is open can show it here too. */
  readonly about?: string;
  readonly files?: readonly ReplyFile[];
};

/**
 * Carries out one line of chat, a click on a button (its `line`), or a form that was sent (`lineOfForm`), as the person who sent it.
 * Never waits for a run. Never throws for an engine that is away: the card says so.
 */
export async function executeChatLine(line: string, deps: ChatLineDeps): Promise<ChatReply> {
  const parsed = parseLine(line);
  const watched = watchLine(parsed, deps.engine, deps.observe);
  try {
    const reply = await replyTo(parsed, { ...deps, engine: watched.engine });
    watched.replied(reply);
    return reply;
  } catch (error) {
    const isOutage = error instanceof OutageError;
    watched.failed(isOutage ? 'outage' : 'error');
    if (!isOutage) throw error;
    return { cards: [outageCard(error), ...cardsWithoutEngine(parsed, deps.nowMs())] };
  }
}

async function replyTo(parsed: ParsedLine, deps: ChatLineDeps): Promise<ChatReply> {
  const { place } = deps;
  const decision = decide(parsed, { nowMs: deps.nowMs(), ...(place !== undefined && { place }) });
  switch (decision.kind) {
    case 'reply':
      return { cards: decision.reply.cards };
    case 'form':
      return openForm(decision, deps);
    case 'ask':
      return carryOut(decision, deps);
    default:
      return decision satisfies never;
  }
}

/** Only orders take keys: the first of a line is always the same one, whatever was asked before it. */
function askEngine(call: ApiCall, deps: ChatLineDeps): Promise<ApiAnswer> {
  const { speaker, signal } = deps;
  return deps.engine.ask(call, {
    ...speaker,
    ...('body' in call && { idempotencyKey: deps.newKey() }),
    ...(signal !== undefined && { signal }),
  });
}

async function openForm(decision: Extract<Decision, { kind: 'form' }>, deps: ChatLineDeps): Promise<ChatReply> {
  const answers: ApiAnswer[] = [];
  for (const call of decision.calls) answers.push(await askEngine(call, deps));
  const refusal = answers.find((answer) => answer.kind === 'refusal')?.refusal;
  const parsed = parseLine(decision.line);
  if (refusal !== undefined && parsed.kind === 'command') return { cards: [refusalCard(refusal, parsed.command)] };
  const form = formFor(decision.formKind, decision.line, factsIn(answers, deps.nowMs()));
  return { cards: decision.reply.cards, form };
}

function factsIn(answers: readonly ApiAnswer[], nowMs: number): FormFacts {
  const approval = answers.find((answer) => answer.kind === 'approval')?.approval;
  const alert = answers.find((answer) => answer.kind === 'alert')?.alert;
  const machine = answers.find((answer) => answer.kind === 'machine')?.machine;
  const plan = answers.flatMap((one) =>
    one.kind === 'order' && one.answer.kind === 'failover-plan' ? [one.answer.plan] : [],
  )[0];
  return {
    nowMs,
    ...(approval && { approval }),
    ...(alert && { alert }),
    ...(machine && { machine }),
    ...(plan && { plan }),
  };
}

async function carryOut(decision: Extract<Decision, { kind: 'ask' }>, deps: ChatLineDeps): Promise<ChatReply> {
  const { command } = decision;
  const answers = await gatherAnswers(decision, true, (call) => askEngine(call, deps));
  const refusal = answers.find((answer) => answer.kind === 'refusal')?.refusal;
  const isStepUp = refusal?.kind === 'step-up';
  if (isStepUp && (command.verb === 'approve' || command.verb === 'planned-failover')) {
    return stepUp(command, refusal, deps);
  }
  const reply = present(command, answers, deps.nowMs());
  const files = filesOf(command, answers, deps.nowMs());
  return { ...inChat(command, reply), ...(files.length > 0 && { files }) };
}

/** The vote is right and its code is missing or wrong: a form asks for it, if the person has codes at all. Source: CHAT 5.2 (4) */
async function stepUp(
  command: Extract<Command, { verb: 'approve' | 'planned-failover' }>,
  refusal: RefusalBody,
  deps: ChatLineDeps,
): Promise<ChatReply> {
  const whoami = await askEngine({ kind: 'whoami' }, deps);
  const hasCodes = whoami.kind === 'whoami' && whoami.whoami.hasAuthenticator === true;
  if (!hasCodes && command.verb === 'approve') return { cards: [noAuthenticatorCard()] };
  const cards = [refusalCard(refusal, command)];
  if (!hasCodes) return { cards };
  const facts = factsIn([await askEngine(aboutOf(command, deps.nowMs()), deps)], deps.nowMs());
  const problem = command.code === undefined ? {} : { problem: refusal.message };
  return { cards, form: formFor('approve', formatCommand(command), { ...facts, ...problem }) };
}

/** What the form shows above the code: the request, or, where nobody asked for one, a dry run of the same. */
function aboutOf(command: Extract<Command, { verb: 'approve' | 'planned-failover' }>, nowMs: number): ApiCall {
  if (command.verb === 'approve') return { kind: 'approval', id: command.approval };
  const { machine, reason } = command;
  const dryRun = { verb: command.verb, machine, reason, isDryRun: true, at: undefined } as const;
  return orderOf({ ...dryRun, typedName: undefined, code: undefined }, { nowMs });
}

/**
 * In chat the engine itself shows runs and requests, in every place that should see them, and keeps them true: who orders one gets a
 * short receipt, and the topic is followed where it was ordered.
 */
function inChat(command: Command, reply: Reply): ChatReply {
  const { follow } = reply;
  const isDecision = ['approve', 'reject', 'withdraw', 'review'].includes(command.verb);
  if (isDecision) {
    const isTaken = reply.outcome === 'done' && 'approval' in command;
    return { cards: reply.cards.map(receiptOf), ...(isTaken && { about: `approval:${command.approval}` }) };
  }
  if (follow === undefined || follow.kind === 'initial-replication') return { cards: reply.cards };
  const topic = follow.kind === 'run' ? `run:${follow.runId}` : `approval:${follow.approvalId}`;
  return { cards: reply.cards.map(receiptOf), follow: { topic } };
}

function receiptOf(card: Card): Card {
  const [first] = card.text ?? [];
  const { title, tone, footer } = card;
  return {
    title,
    tone,
    audience: 'asker',
    ...(first !== undefined && { text: [first] }),
    ...(footer !== undefined && { footer }),
  };
}

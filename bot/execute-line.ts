import { OutageError } from '../domain/outage.ts';
import type { MachineView } from '../protocol/control-api.ts';
import type { ApiAnswer, ApiCall } from './api-call.ts';
import { auditFiles, type ReplyFile } from './audit-file.ts';
import type { Card } from './card.ts';
import { parseArguments, parseLine } from './chat-command.ts';
import type { Command, ParsedLine } from './command.ts';
import { decide, type Follow, type Outcome, type Reply } from './conversation/decide.ts';
import { outageCard, refusalCard } from './conversation/plain-cards.ts';
import { cardsWithoutEngine, present } from './conversation/present.ts';
import { presentReplication, presentRun } from './conversation/present-machines.ts';
import type { EngineClient } from './engine-client.ts';
import { gatherAnswers } from './gather-answers.ts';
import { followReplication, followRun, isAbort } from './run-follower.ts';
import type { Surface } from './terminal/screen.ts';

export type LineDeps = {
  readonly engine: Pick<EngineClient, 'ask'>;
  /** Where progress and answers are shown as they come; left out when only the result counts. */
  readonly surface?: Pick<Surface, 'show' | 'update'>;
  readonly nowMs: () => number;
  /** Makes idempotency keys, one for each order. */
  readonly newKey: () => string;
  /** Ends the waiting; what was started goes on. */
  readonly signal: AbortSignal;
  /** False: do not wait for runs and initial replications to end. */
  readonly isWaiting: boolean;
  /** Between two looks at a run; 500 ms if left out. */
  readonly pauseMs?: number;
};

/** 0 done, 1 refused or failed, 2 not a command, 3 the engine cannot be reached. */
export type ExitCode = 0 | 1 | 2 | 3;
export type LineResult = {
  readonly cards: readonly Card[];
  readonly exitCode: ExitCode;
  readonly outcome: Outcome;
  /** What the engine answered, for programs; the last look at what was followed comes last. */
  readonly answers: readonly ApiAnswer[];
  /** An audit as CSV; pictures are for places that can show them. */
  readonly files: readonly ReplyFile[];
};

const exitCodes = { done: 0, refused: 1, usage: 2, outage: 3 } as const satisfies Record<Outcome, ExitCode>;

/** Carries out one line of chat, waits for what it started, and shows all of it. Never throws for an engine that is away. */
export function executeLine(line: string, deps: LineDeps): Promise<LineResult> {
  return executeParsed(parseLine(line), deps);
}

/** The same for the arguments of a program. */
export function executeArguments(programArguments: readonly string[], deps: LineDeps): Promise<LineResult> {
  return executeParsed(parseArguments(programArguments), deps);
}

async function executeParsed(parsed: ParsedLine, deps: LineDeps): Promise<LineResult> {
  const decision = decide(parsed, { nowMs: deps.nowMs() });
  const answers: ApiAnswer[] = [];
  if (decision.kind !== 'ask') return finish(decision.reply, answers, deps);
  const { command } = decision;
  try {
    answers.push(...(await gatherAnswers(decision, false, (call) => askEngine(call, deps))));
    const reply = present(command, answers, deps.nowMs());
    // An approval may take half an hour: the card says how to look at it, and events tell what became of it.
    if (reply.follow === undefined || reply.follow.kind === 'approval' || !deps.isWaiting) {
      return { ...finish(reply, answers, deps), files: auditFiles(command, answers, deps.nowMs()) };
    }
    for (const card of reply.cards) deps.surface?.update(card);
    const end = await watch(reply.follow, { command, answers, deps });
    return finish(end ?? { cards: reply.cards, outcome: reply.outcome }, answers, deps);
  } catch (error) {
    if (isAbort(error)) return finish({ cards: [stoppedCard(command)], outcome: 'done' }, answers, deps);
    if (!(error instanceof OutageError)) throw error;
    // In a terminal the end is what one sees.
    const explained = cardsWithoutEngine(parsed, deps.nowMs());
    return finish({ cards: [...explained, outageCard(error)], outcome: 'outage' }, answers, deps);
  }
}

function askEngine(call: ApiCall, deps: LineDeps): Promise<ApiAnswer> {
  const key = 'body' in call ? { idempotencyKey: deps.newKey() } : {};
  return deps.engine.ask(call, { ...key, signal: deps.signal });
}

function finish(reply: Reply, answers: readonly ApiAnswer[], deps: LineDeps): LineResult {
  for (const card of reply.cards) deps.surface?.show(card);
  return { cards: reply.cards, outcome: reply.outcome, exitCode: exitCodes[reply.outcome], answers, files: [] };
}

type Watching = { readonly command: Command; readonly answers: ApiAnswer[]; readonly deps: LineDeps };

type Watched = Exclude<Follow, { kind: 'approval' }>;

/** Redraws the card until what was started has ended; undefined when nobody wants to watch any longer. */
function watch(follow: Watched, watching: Watching): Promise<Reply | undefined> {
  switch (follow.kind) {
    case 'run':
      return watchRun(follow.runId, watching);
    case 'initial-replication':
      return watchReplication(follow.machine, watching);
    default:
      return follow satisfies never;
  }
}

async function watchRun(runId: string, { command, answers, deps }: Watching): Promise<Reply | undefined> {
  for await (const look of followRun(runId, followDeps(deps, 500))) {
    if (look.kind === 'refused') return { cards: [refusalCard(look.refusal, command)], outcome: 'refused' };
    if (look.kind === 'silent') {
      deps.surface?.update(outageCard(look.error));
      continue;
    }
    const machine = look.view.state === 'succeeded' ? await drilledMachine(look.view.machineName, deps) : undefined;
    const reply = presentRun(look.view, machine, deps.nowMs());
    if (look.view.state !== 'active') {
      answers.push({ kind: 'run', run: look.view });
      return reply;
    }
    for (const card of reply.cards) deps.surface?.update(card);
  }
  return watchingEnded(command);
}

/** Only tells when the drill ends by itself; the run's result does not depend on it. */
async function drilledMachine(name: string, deps: LineDeps): Promise<MachineView | undefined> {
  try {
    const answer = await deps.engine.ask({ kind: 'machine', name }, { signal: deps.signal });
    return answer.kind === 'machine' ? answer.machine : undefined;
  } catch (error) {
    if (error instanceof OutageError || isAbort(error)) return undefined;
    throw error;
  }
}

async function watchReplication(machine: string, { command, answers, deps }: Watching): Promise<Reply | undefined> {
  for await (const look of followReplication(machine, followDeps(deps, 1000))) {
    if (look.kind === 'refused') return { cards: [refusalCard(look.refusal, command)], outcome: 'refused' };
    if (look.kind === 'silent') {
      deps.surface?.update(outageCard(look.error));
      continue;
    }
    const { card, isOver } = presentReplication(look.view, deps.nowMs());
    if (isOver) {
      answers.push({ kind: 'machine', machine: look.view });
      return { cards: [card], outcome: 'done' };
    }
    deps.surface?.update(card);
  }
  return watchingEnded(command);
}

function followDeps(deps: LineDeps, pauseMs: number) {
  return { engine: deps.engine, nowMs: deps.nowMs, signal: deps.signal, pauseMs: deps.pauseMs ?? pauseMs };
}

function watchingEnded(command: Command): Reply {
  return { cards: [stoppedCard(command)], outcome: 'done' };
}

function stoppedCard(command: Command): Card {
  const line = 'machine' in command ? `status ${command.machine}` : 'status';
  return {
    title: 'Stopped waiting; what was started goes on',
    tone: 'neutral',
    audience: 'asker',
    copyLine: line,
  };
}

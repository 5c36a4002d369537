import { randomUUID } from 'node:crypto';
import type { Readable, Writable } from 'node:stream';
import { setTimeout as wait } from 'node:timers/promises';
import { OutageError } from '../domain/outage.ts';
import type { EventView } from '../protocol/control-api.ts';
import type { ApiAnswer } from './api-call.ts';
import { eventLine } from './conversation/plain-cards.ts';
import type { EngineClient } from './engine-client.ts';
import { executeLine, type LineDeps } from './execute-line.ts';
import { createOwnOrders, type OwnOrders } from './own-orders.ts';
import { isAbort } from './run-follower.ts';
import { openPrompt } from './terminal/prompt.ts';
import { createScreen, type Surface } from './terminal/screen.ts';

export { executeLine } from './execute-line.ts';

export type TerminalDeps = {
  readonly engine: EngineClient;
  readonly input: Readable & { readonly isTTY?: boolean };
  readonly output: Writable & { readonly columns?: number; readonly isTTY?: boolean };
  /** False when NO_COLOR is set or the output is no terminal. */
  readonly isColored: boolean;
  readonly nowMs: () => number;
  /** Ctrl-C at an empty prompt. Call `close` to leave. */
  readonly onInterrupt: () => void;
  /** A line to carry out first, such as `/dr`, which says who I am and what needs me. */
  readonly firstLine?: string;
};

export type Terminal = {
  /** Ends after Ctrl-D, the end of the input, or `close`. */
  readonly ended: Promise<void>;
  readonly close: () => void;
};

const eventWaitMs = 15_000;
const eventPauseMs = 2000;
const eventCatchUpCountMax = 500;

/** A surface on a stream: cards are redrawn in place on a terminal, and one line per change anywhere else. */
export function terminalSurface(options: {
  readonly output: TerminalDeps['output'];
  readonly isColored: boolean;
  readonly commandPrefix: string;
}): Surface {
  const { output, isColored, commandPrefix } = options;
  return createScreen({
    output,
    isInteractive: output.isTTY === true,
    render: () => ({
      widthColumns: output.columns ?? 80,
      isColored,
      commandPrefix,
      isTerminal: output.isTTY === true,
    }),
  });
}

/** Opens the conversation on a terminal: the prompt, live progress, and a line for everything that happens. */
export function startTerminal(deps: TerminalDeps): Terminal {
  const screen = terminalSurface({ output: deps.output, isColored: deps.isColored, commandPrefix: '' });
  const ending = new AbortController();
  const ownOrders = createOwnOrders(deps.engine);
  let machineNames: readonly string[] = [];
  const lineDeps = (signal: AbortSignal): LineDeps => ({
    engine: ownOrders,
    surface: screen,
    nowMs: deps.nowMs,
    newKey: () => randomUUID(),
    signal: AbortSignal.any([signal, ending.signal]),
    isWaiting: true,
  });
  const run = async (line: string, signal: AbortSignal) => {
    const { files } = await executeLine(line, lineDeps(signal));
    for (const { bytes } of files) for (const row of bytes.toString().trim().split('\r\n')) screen.line(row);
    machineNames = await namesOf(deps.engine, ending.signal, machineNames);
  };
  const prompt = openPrompt({
    input: deps.input,
    output: deps.output,
    isInteractive: deps.input.isTTY === true && deps.output.isTTY === true,
    screen,
    machineNames: () => machineNames,
    run,
    onInterrupt: deps.onInterrupt,
    ...(deps.firstLine !== undefined && { firstLine: deps.firstLine }),
  });
  const events = announceEvents(deps, { signal: ending.signal, announce: prompt.announce, ownOrders });
  const ended = prompt.ended.finally(() => ending.abort()).then(() => events);
  const close = () => {
    ending.abort();
    prompt.close();
  };
  return { ended, close };
}

/** For the completion only; when the engine does not answer, the names that were known stay. */
async function namesOf(
  engine: EngineClient,
  signal: AbortSignal,
  known: readonly string[],
): Promise<readonly string[]> {
  const answer = await engine.ask({ kind: 'machines' }, { signal }).catch((error: unknown): ApiAnswer | undefined => {
    if (error instanceof OutageError || isAbort(error)) return undefined;
    throw error;
  });
  return answer?.kind === 'machines' ? answer.machines.map((machine) => machine.name) : known;
}

type Announcing = {
  readonly signal: AbortSignal;
  readonly announce: (text: string) => void;
  readonly ownOrders: OwnOrders;
};

/** Says what happens as it happens, from now on. A silent engine is said once, and once when it answers again. */
async function announceEvents(deps: TerminalDeps, at: Announcing): Promise<void> {
  let after: number | undefined;
  let isSilent = false;
  while (!at.signal.aborted) {
    const events = await nextEvents(deps.engine, after, at.signal);
    if (events === 'stopped') return;
    if (events === 'silent') {
      if (!isSilent && after !== undefined) at.announce('The engine does not answer; I go on trying.');
      isSilent = true;
      await wait(eventPauseMs, undefined, { signal: at.signal }).catch(ignoreAbort);
      continue;
    }
    if (isSilent && after !== undefined) at.announce('The engine answers again.');
    isSilent = false;
    if (after !== undefined && events.length > 0) await at.ownOrders.settled();
    if (after !== undefined) for (const event of events) announceEvent(event, deps, at);
    after = Math.max(after ?? 0, ...events.map((event) => event.number));
  }
}

function announceEvent(event: EventView, deps: TerminalDeps, at: Announcing): void {
  if (!at.ownOrders.isTold(event)) at.announce(eventLine(event, deps.nowMs()));
}

/** The first time, skips to the end of what has happened before. */
async function nextEvents(
  engine: EngineClient,
  after: number | undefined,
  signal: AbortSignal,
): Promise<readonly EventView[] | 'silent' | 'stopped'> {
  try {
    if (after !== undefined) return await engine.events({ after, waitMs: eventWaitMs }, { signal });
    let past: readonly EventView[] = [];
    for (let count = 0; count < eventCatchUpCountMax; count += 1) {
      const next = await engine.events({ after: past.at(-1)?.number ?? 0, waitMs: 0 }, { signal });
      if (next.length === 0) return past.slice(-1);
      past = next;
    }
    return past.slice(-1);
  } catch (error) {
    if (isAbort(error) || signal.aborted) return 'stopped';
    if (error instanceof OutageError) return 'silent';
    throw error;
  }
}

function ignoreAbort(error: unknown): void {
  if (!isAbort(error)) throw error;
}

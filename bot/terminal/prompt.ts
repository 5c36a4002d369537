import { createInterface, type Interface } from 'node:readline';
import { type Readable, Writable } from 'node:stream';
import { completeLine } from './completion.ts';
import type { Surface } from './screen.ts';

const historySizeMax = 500;
/** Lines that wait while one is carried out: a pasted list of commands, not a file. */
const queuedLineCountMax = 200;

export type PromptDeps = {
  readonly input: Readable;
  readonly output: Writable & { readonly columns?: number };
  readonly isInteractive: boolean;
  readonly screen: Surface;
  readonly machineNames: () => readonly string[];
  /** Carries out one line; the signal is raised by Ctrl-C. */
  readonly run: (line: string, signal: AbortSignal) => Promise<void>;
  /** Ctrl-C while nothing runs and the line is empty. */
  readonly onInterrupt: () => void;
  /** Carried out before the first prompt. */
  readonly firstLine?: string;
};

export type Prompt = {
  /** Shows one line from outside (an event), above what is being typed. */
  readonly announce: (text: string) => void;
  /** Ends when the input ends (Ctrl-D) or `close` is called, after the lines that were typed. Rejects when a line throws. */
  readonly ended: Promise<void>;
  readonly close: () => void;
};

/** Reads lines, one at a time, and carries each out before the next. While one runs, what is typed is kept and not shown. */
export function openPrompt(deps: PromptDeps): Prompt {
  const state: PromptState = { queue: [], running: undefined, isClosed: false };
  const gate = mutableOutput(deps.output, () => state.running !== undefined);
  const lines = createInterface({
    input: deps.input,
    output: gate,
    terminal: deps.isInteractive,
    prompt: 'dr> ',
    historySize: historySizeMax,
    removeHistoryDuplicates: true,
    completer: (line: string) => completeLine(line, deps.machineNames()),
  });
  const { promise: ended, resolve, reject } = Promise.withResolvers<void>();
  const advance = () => {
    runQueue(state, lines, deps).then(() => {
      if (state.isClosed && state.queue.length === 0 && state.running === undefined) resolve();
    }, reject);
  };
  lines.on('line', (line) => {
    if (state.queue.length >= queuedLineCountMax)
      return deps.screen.line('Too many lines at once; this one is left out.');
    state.queue.push(line);
    advance();
  });
  lines.on('SIGINT', () => interrupt(state, lines, deps));
  // A terminal that was closed cannot leave raw mode (EIO); the end of the input follows.
  lines.on('error', () => {});
  lines.on('close', () => {
    state.isClosed = true;
    if (deps.isInteractive && state.running === undefined) deps.output.write('\n');
    // A person who leaves does not wait; a script that has been read to its end does.
    if (deps.isInteractive) state.running?.abort();
    advance();
  });
  if (deps.firstLine !== undefined) state.queue.push(deps.firstLine);
  if (deps.firstLine !== undefined) advance();
  else if (deps.isInteractive) lines.prompt();
  return { announce: (text) => announce(text, state, { lines, deps }), ended, close: () => lines.close() };
}

type PromptState = { queue: string[]; running: AbortController | undefined; isClosed: boolean };

async function runQueue(state: PromptState, lines: Interface, deps: PromptDeps): Promise<void> {
  if (state.running !== undefined) return;
  for (let line = state.queue.shift(); line !== undefined; line = state.queue.shift()) {
    if (line.trim() !== '') {
      state.running = new AbortController();
      try {
        await deps.run(line, state.running.signal);
      } finally {
        state.running = undefined;
      }
    }
    if (deps.isInteractive && !state.isClosed) lines.prompt();
  }
}

/** Ctrl-C ends the watching first, then empties the line, and only then leaves. */
function interrupt(state: PromptState, lines: Interface, deps: PromptDeps): void {
  if (state.running !== undefined) {
    state.running.abort();
    return;
  }
  if (lines.line === '') {
    deps.onInterrupt();
    return;
  }
  lines.write(null, { ctrl: true, name: 'e' });
  lines.write(null, { ctrl: true, name: 'u' });
}

function announce(text: string, state: PromptState, at: { lines: Interface; deps: PromptDeps }): void {
  const { deps, lines } = at;
  const isTyping = deps.isInteractive && state.running === undefined && !state.isClosed;
  if (isTyping) deps.output.write('\r\u001b[J');
  deps.screen.line(text);
  if (isTyping) lines.prompt(true);
}

/** Readline writes through this, so that it is silent while a card is being redrawn. */
function mutableOutput(output: PromptDeps['output'], isMuted: () => boolean): Writable {
  const gate = new Writable({
    write: (chunk, _encoding, done) => {
      if (!isMuted()) output.write(chunk);
      done();
    },
  });
  Object.defineProperty(gate, 'columns', { get: () => output.columns ?? 80 });
  output.on('resize', () => gate.emit('resize'));
  return gate;
}

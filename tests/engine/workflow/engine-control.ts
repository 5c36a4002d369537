import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import { setTimeout as delay } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { z } from 'zod';
import type { Store } from '../../../engine/store/open.ts';
import { findRunView } from '../../../engine/store/runs.ts';
import type { RunView } from '../../../protocol/control-api.ts';
import type { PlantedBug } from './recorded-target.ts';

const message = z.discriminatedUnion('kind', [
  z.object({ kind: z.literal('ready'), executorId: z.string() }),
  z.object({ kind: z.literal('log'), text: z.string() }),
  z.object({
    kind: z.literal('answer'),
    number: z.number(),
    outcome: z.object({ kind: z.string(), runId: z.string().optional(), message: z.string().optional() }),
  }),
]);
export type EngineAnswer = { readonly kind: string; readonly runId?: string; readonly message?: string };
export type EngineSettings = {
  readonly connectionString: string;
  readonly targetFolder: string;
  readonly bug: PlantedBug;
  /** Default: as in production. */
  readonly silence?: Silence | undefined;
};
/** After how long a silence an engine is taken for dead, and how often it beats. */
export type Silence = { readonly silentForMs: number; readonly beatEveryMs: number };

/** A running engine process, as tests see it. */
export type EngineProcess = {
  readonly child: ChildProcess;
  readonly log: string[];
  /** Its name among the engines of the database. */
  readonly executorId: string;
  /** Resolves with the answer, or with `died` when the process ended before it answered. */
  order(what: 'test-failover' | 'cleanup', machineName: string, idempotencyKey: string): Promise<EngineAnswer>;
  /** How many it removed. */
  removeOldJobs(): Promise<number>;
  /** Hands a run to the job engine, whatever has become of it. */
  start(runId: string): Promise<EngineAnswer>;
  /** From now on the process kills itself when it comes to this boundary. */
  killAt(boundary: string): void;
  readonly died: Promise<number | null>;
  kill(): Promise<void>;
};

const readyLimitMs = 60_000;
const program = fileURLToPath(new URL('./engine-process.ts', import.meta.url));

export async function startEngineProcess(settings: EngineSettings): Promise<EngineProcess> {
  const child = fork(program, [], {
    env: { ...process.env, ENGINE_SETTINGS: JSON.stringify(settings) },
    stdio: ['ignore', 'ignore', 'pipe', 'ipc'],
    execArgv: [],
  });
  const log: string[] = [];
  const waiting = new Map<number, (answer: EngineAnswer) => void>();
  child.stderr?.setEncoding('utf8').on('data', (text: string) => log.push(text));
  const { promise: ready, resolve: isReady } = Promise.withResolvers<{ executorId: string }>();
  child.on('message', (raw) => {
    const received = message.parse(raw);
    if (received.kind === 'ready') isReady(received);
    if (received.kind === 'log') log.push(received.text);
    if (received.kind === 'answer') waiting.get(received.number)?.(received.outcome as EngineAnswer);
  });
  const died = once(child, 'exit').then(([code]) => {
    for (const answer of waiting.values()) answer({ kind: 'died' });
    return typeof code === 'number' ? code : null;
  });
  const first = await Promise.race([ready, died, delay(readyLimitMs, 'late', { ref: false })]);
  if (typeof first !== 'object' || first === null) {
    child.kill('SIGKILL');
    throw new Error(`the engine did not start (${first}): ${log.join('')}`);
  }
  let number = 0;
  const ask = (words: object) => {
    number += 1;
    const { promise, resolve } = Promise.withResolvers<EngineAnswer>();
    waiting.set(number, resolve);
    child.send({ number, ...words }, (error) => {
      if (error) resolve({ kind: 'died' });
    });
    return promise;
  };
  return {
    ...{ child, log, died, executorId: first.executorId },
    order: (what, machineName, idempotencyKey) => ask({ what, machineName, idempotencyKey }),
    start: (runId) => ask({ what: 'start', runId }),
    removeOldJobs: async () => Number((await ask({ what: 'remove-old-jobs' })).message),
    killAt(boundary) {
      child.send({ what: 'kill-at', boundary });
    },
    async kill() {
      child.kill('SIGKILL');
      await died;
    },
  };
}

/** Waits until a condition holds; the error names what was waited for. */
export async function eventually<T>(what: string, limitMs: number, look: () => Promise<T | undefined>): Promise<T> {
  const deadline = performance.now() + limitMs;
  for (;;) {
    const found = await look();
    if (found !== undefined) return found;
    if (performance.now() > deadline) throw new Error(`${what} did not happen within ${limitMs} ms`);
    await delay(25);
  }
}

/** The run, once it has ended. */
export function endOfRun(store: Store, runId: string, limitMs = 60_000): Promise<RunView> {
  return eventually(`the end of ${runId}`, limitMs, async () => {
    const run = await store.read((db) => findRunView(db, runId)).catch(() => undefined);
    return run === undefined || run.state === 'active' ? undefined : run;
  });
}

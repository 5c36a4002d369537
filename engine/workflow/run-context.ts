import type { RunId } from '../../domain/ids.ts';
import type { Database } from '../store/database.ts';
import type { NewEvent } from '../store/events.ts';
import type { Store } from '../store/open.ts';
import type { Target } from '../target/target.ts';
import type { Vault } from '../vault/vault.ts';
import { databasePatience, patiently } from './patience.ts';
import type { RunPlan } from './plan-text.ts';

export type WorkflowLog = {
  debug(text: string): void;
  info(text: string): void;
  warn(text: string): void;
  error(text: string): void;
};

/** What the steps of a run work with. */
export type StepDeps = {
  readonly store: Store;
  readonly target: Target;
  /** Where a failed-over machine's old log is closed, so that its source can write no more. */
  readonly vault: Pick<Vault, 'append'>;
  /** This engine process (newExecutorId); the runs that it works on are taken over when its heartbeat stops. */
  readonly executorId: string;
  /** Called at every boundary of boundaries.ts; nothing in production, the end of the process in kill tests. */
  readonly boundary: (name: string) => void;
  readonly log: WorkflowLog;
  /** Others took this engine for dead: the process must end at once, without another word to anything. */
  readonly onFenced: () => void;
  /** Aborted when the engine stops in order: runs then rest where they are, and another engine, or the next start, goes on. */
  readonly stopping?: AbortSignal;
};

export type RunContext<Plan extends RunPlan = RunPlan> = {
  readonly deps: StepDeps;
  readonly runId: RunId;
  readonly startedAtMs: number;
  readonly requestedBy: string;
  readonly plan: Plan;
};

export type RecordOutcome =
  | { readonly kind: 'recorded'; readonly detail?: unknown }
  | { readonly kind: 'failed'; readonly failure: string };

/**
 * One step of a run. Both kinds are safe to run twice.
 *
 * `effect`: changes the outside world, which adopts what a first, killed attempt made; what it returns is kept under its effect key.
 * `record`: changes only the database, in the very transaction that marks the step as done, so that it happens exactly once; so does its
 * undo.
 */
export type Step<Plan extends RunPlan = RunPlan> = {
  readonly name: string;
  /** What people are told when the step is done; without it they are told its name. */
  readonly told?: (run: RunContext<Plan>) => Pick<NewEvent, 'kind' | 'text'>;
} & (
  | {
      readonly kind: 'effect';
      readonly do: (run: RunContext<Plan>) => Promise<unknown>;
      readonly undo?: (run: RunContext<Plan>) => Promise<void>;
    }
  | {
      readonly kind: 'record';
      readonly do: (run: RunContext<Plan>, db: Database) => Promise<RecordOutcome>;
      readonly undo?: (run: RunContext<Plan>, db: Database) => Promise<RecordOutcome>;
    }
);

/** Names one effect on the outside world: the run, the step, whether it is done or undone, and the machine's epoch. */
export function effectKey(run: RunContext, step: string, direction: 'do' | 'undo'): string {
  return `${run.runId}:${step}:${direction}:${run.plan.epoch}`;
}

/** A database transaction of a run; it waits for a database that is away. */
export function persist<T>(deps: StepDeps, work: (db: Database) => Promise<T>): Promise<T> {
  const transaction = () => (deps.stopping?.aborted === true ? restForGood() : deps.store.write(work));
  return patiently(databasePatience, transaction, (error, attempt) => {
    if (attempt % 20 === 1) deps.log.warn(`run waits for the database (attempt ${attempt}): ${error.message}`);
  });
}

/** A run that must not go on in this process waits here until the process ends: it reports nothing, not even a failure. */
export function restForGood(): Promise<never> {
  return new Promise<never>(() => undefined);
}

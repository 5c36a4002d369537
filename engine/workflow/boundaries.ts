import { cleanup } from './cleanup.ts';
import type { RunPlan } from './plan-text.ts';
import { plannedFailover } from './planned-failover.ts';
import { testFailover } from './test-failover.ts';

/**
 * Every place between two things that a run does, where an engine may die. Kill tests stop the process at each of them.
 *
 * `before` the step; `effect`: the outside world is changed, nobody has noted it; `noted`: the database has, the job engine has not;
 * `after`: everybody has.
 */
export const boundaryMoments = ['before', 'effect', 'noted', 'after'] as const;
export type BoundaryMoment = (typeof boundaryMoments)[number];
export type JobKind = RunPlan['kind'];

export function boundaryName(kind: JobKind, step: string, moment: BoundaryMoment): string {
  return `${kind}/${step}/${moment}`;
}

/** The run's row is there, its job is not started yet. */
export function createdBoundary(kind: JobKind): string {
  return `${kind}/created`;
}

/** The boundaries of a run that succeeds, in order. */
export const boundaries: Record<JobKind, readonly string[]> = {
  'test-failover': namesOf('test-failover', testFailover),
  cleanup: namesOf('cleanup', cleanup),
  'planned-failover': namesOf('planned-failover', plannedFailover),
};

/** The boundaries of the way back after the last step that can fail, in order; the record of the failure comes last. */
export const undoBoundaries = {
  'test-failover': undoNamesOf('test-failover', testFailover),
  'planned-failover': undoNamesOf('planned-failover', plannedFailover),
} as const;

type Named = { readonly name: string; readonly undo?: unknown };

function undoNamesOf(kind: JobKind, steps: readonly Named[]): string[] {
  const undone = [...steps].reverse().filter((step) => step.undo !== undefined);
  const names = undone.flatMap(({ name }) => boundaryMoments.map((at) => boundaryName(kind, `undo ${name}`, at)));
  return [...names, ...(['before', 'noted', 'after'] as const).map((at) => boundaryName(kind, 'record failure', at))];
}

function namesOf(kind: JobKind, steps: readonly Named[]): string[] {
  const names = steps.flatMap((step) => boundaryMoments.map((moment) => boundaryName(kind, step.name, moment)));
  return [createdBoundary(kind), ...names];
}

import { cleanup } from './cleanup.ts';
import { testFailover } from './test-failover.ts';

/**
 * Every place between two things that a run does, where an engine may die. Kill tests stop the process at each of them.
 *
 * `before` the step; `effect`: the outside world is changed, nobody has noted it; `noted`: the database has, the job engine has not;
 * `after`: everybody has.
 */
export const boundaryMoments = ['before', 'effect', 'noted', 'after'] as const;
export type BoundaryMoment = (typeof boundaryMoments)[number];
export type JobKind = 'test-failover' | 'cleanup';

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
};

/** The boundaries of the way back after a failed step, in order; the record of the failure comes last. */
export const undoBoundaries: readonly string[] = [...testFailover]
  .reverse()
  .filter((step) => step.kind === 'effect' && step.undo !== undefined)
  .map((step) => `undo ${step.name}`)
  .flatMap((step) => boundaryMoments.map((moment) => boundaryName('test-failover', step, moment)))
  .concat(
    (['before', 'noted', 'after'] as const).map((moment) => boundaryName('test-failover', 'record failure', moment)),
  );

function namesOf(kind: JobKind, steps: readonly { readonly name: string }[]): string[] {
  const names = steps.flatMap((step) => boundaryMoments.map((moment) => boundaryName(kind, step.name, moment)));
  return [createdBoundary(kind), ...names];
}

import { assertNever } from '../../domain/invariant.ts';
import { formatDuration } from '../../domain/units.ts';
import type { RunView } from '../../protocol/control-api.ts';

export type RunStep = RunView['steps'][number];

const kindWords = {
  'test-failover': 'Test failover',
  cleanup: 'Cleanup',
  'planned-failover': 'Planned failover',
} as const satisfies Record<RunView['kind'], string>;

/** `Test failover` */
export function runKindWords(kind: RunView['kind']): string {
  return kindWords[kind];
}

/** `Test failover of vm-7` */
export function runName(run: Pick<RunView, 'kind' | 'machineName'>): string {
  return `${kindWords[run.kind]} of ${run.machineName}`;
}

/** What a test failover says of the data that a real one would have lost; one from an older point than the newest says nothing. */
export function drillLossWords(
  result: Pick<NonNullable<RunView['result']>, 'isNewestPoint'>,
  pointAge: string,
): string {
  if (result.isNewestPoint !== false) return `${pointAge}, if this had been a real failover`;
  return `not measured: the drill was from a chosen point, ${pointAge} old`;
}

/** How far it is: whole per cent of its steps, and the step that runs or comes next, `3/7 Start the guest`. */
export function runProgress({ steps }: Pick<RunView, 'steps'>): { percent: number; label: string } {
  const done = steps.filter((step) => step.state === 'done').length;
  const current = steps.find((step) => step.state === 'running') ?? steps.find((step) => step.state === 'pending');
  const count = steps.length;
  const label = current === undefined ? 'starting' : `${Math.min(done + 1, count)}/${count} ${current.name}`;
  return { percent: count === 0 ? 0 : Math.floor((100 * done) / count), label };
}

/** One sign for a step's state. */
export function stepSign(step: RunStep): string {
  const signs = { pending: '·', running: '▸', done: '✓', failed: '✗', undone: '↶' } as const;
  return signs[step.state];
}

/** `4.2 s`, or what became of the step instead; empty while it runs. */
export function stepTook(step: RunStep): string {
  if (step.state === 'undone') return 'undone';
  if (step.state === 'failed') return 'failed';
  if (step.startedAtMs === null || step.finishedAtMs === null) return '';
  return formatDuration(step.finishedAtMs - step.startedAtMs);
}

/** What became of the machine when a run failed. */
export function aftermathWords(run: RunView): string {
  const name = run.machineName;
  switch (run.kind) {
    case 'test-failover':
    case 'cleanup':
      return `${name} itself was not touched.`;
    case 'planned-failover':
      return run.steps.some((step) => step.state === 'undone')
        ? `The original was started again; \`status ${name}\` shows how it is.`
        : `\`status ${name}\` shows where it runs now.`;
    default:
      return assertNever(run.kind);
  }
}

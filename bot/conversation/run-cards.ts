import { assertNever } from '../../domain/invariant.ts';
import { type PlanView, type RunView, routes } from '../../protocol/control-api.ts';
import { type Button, type Card, type Field, shorten, type Table } from '../card.ts';
import { checkTable } from './approval-cards.ts';
import { bootFields, failedOverCard } from './failover-cards.ts';
import { countWords, pageOf, pageWords } from './machine-cards.ts';
import { pointWords } from './machine-words.ts';
import { measuredWords } from './measured-words.ts';
import { aftermathWords, drillLossWords, type RunStep, runName, runProgress, stepSign, stepTook } from './run-words.ts';
import { absoluteTime, age, instant } from './time-words.ts';

type RunResult = NonNullable<RunView['result']>;

/**
 * A run, drawn whole from what the engine knows of it: a lost or repeated update does no harm. Source: DESIGN 4
 *
 * @param drillEndsAtMs when the drill ends by itself, if the run opened one and the time is known
 */
export function runCard(run: RunView, nowMs: number, drillEndsAtMs?: number): Card {
  switch (run.state) {
    case 'active':
      return activeCard(run, nowMs);
    case 'failed':
      return failedCard(run, nowMs);
    case 'succeeded':
      return run.result === null ? doneCard(run, nowMs) : resultCard(run, run.result, { nowMs, drillEndsAtMs });
    default:
      return assertNever(run.state);
  }
}

function resultCard(
  run: RunView,
  result: RunResult,
  times: { nowMs: number; drillEndsAtMs: number | undefined },
): Card {
  return run.kind === 'planned-failover' ? failedOverCard(run, result, times.nowMs) : drillCard(run, result, times);
}

function activeCard(run: RunView, nowMs: number): Card {
  return {
    title: `${runName(run)} · running for ${age(nowMs - run.startedAtMs)}`,
    tone: 'working',
    audience: 'channel',
    progress: runProgress(run),
    table: stepTable(run.steps),
    footer: `${run.id} · asked for by ${run.requestedBy}${approvalWords(run)} · started ${absoluteTime(run.startedAtMs, nowMs)}`,
  };
}

function approvalWords({ approvalId }: RunView): string {
  return approvalId === null ? '' : ` · ${approvalId}`;
}

function stepTable(steps: readonly RunStep[]): Table {
  return { columns: ['', 'Step', 'Took'], rows: steps.map((step) => [stepSign(step), step.name, stepTook(step)]) };
}

/** What a drill has proved, and how it ends. */
function drillCard(run: RunView, result: RunResult, times: { nowMs: number; drillEndsAtMs: number | undefined }): Card {
  const name = run.machineName;
  const copy = `the copy ${result.vmName} of ${name}`;
  return {
    title: `${runName(run)} · ${result.verified ? 'verified' : 'NOT verified'} · guest up after ${seconds(result.secondsToGuestUp)}`,
    tone: result.verified ? 'good' : 'warning',
    audience: 'channel',
    fields: drillFields(result, times),
    ...(result.consolePicture !== null && {
      picture: {
        path: result.consolePicture,
        apiPath: routes.consolePicture.replace(':id', run.id),
        altText: `Console of ${copy}, ${result.verified ? 'verified' : 'not verified'}`,
      },
    }),
    copyLine: `cleanup ${name}`,
    buttons: [{ label: 'Clean up', line: `cleanup ${name}`, style: 'primary' }, showButton(run)],
    footer: `${run.id} · asked for by ${run.requestedBy} · ${name} itself kept running and replicating`,
  };
}

function drillFields(result: RunResult, times: { nowMs: number; drillEndsAtMs: number | undefined }): Field[] {
  const ends =
    times.drillEndsAtMs === undefined
      ? 'by itself, as the policy says, or now with the line below'
      : `by itself ${instant(times.drillEndsAtMs, times.nowMs)}, or now with the line below`;
  return [
    { label: 'Point', value: `${pointWords(result.point)}, taken ${instant(result.point.takenAtMs, times.nowMs)}` },
    { label: 'Data loss', value: drillLossWords(result, age(result.pointAgeMs)) },
    ...bootFields(result),
    { label: 'Machine', value: `${result.vmName}, in a network of its own (${result.accelerator})` },
    { label: 'Ends', value: ends },
  ];
}

function seconds(count: number): string {
  return age(count * 1000);
}

function showButton(run: RunView): Button {
  return { label: 'Steps', line: `show ${run.id}`, style: 'default' };
}

function doneCard(run: RunView, nowMs: number): Card {
  const tookMs = (run.finishedAtMs ?? nowMs) - run.startedAtMs;
  const isCleanup = run.kind === 'cleanup';
  return {
    title: `${runName(run)} · done in ${age(tookMs)}`,
    tone: 'good',
    audience: 'channel',
    ...(isCleanup && {
      text: [`The drill is over; its machine and its disk are gone. ${run.machineName} was not touched.`],
    }),
    ...(!isCleanup && { table: stepTable(run.steps) }),
    footer: `${run.id} · asked for by ${run.requestedBy}`,
  };
}

function failedCard(run: RunView, nowMs: number): Card {
  const failedStep = run.steps.find((step) => step.state === 'failed');
  const undone = run.steps.filter((step) => step.state === 'undone').length;
  const where = failedStep === undefined ? '' : `It stopped at "${failedStep.name}". `;
  const back = undone === 0 ? '' : `${countWords(undone, 'step')} ${undone === 1 ? 'was' : 'were'} undone. `;
  return {
    title: `${runName(run)} · FAILED after ${age((run.finishedAtMs ?? nowMs) - run.startedAtMs)}`,
    tone: 'bad',
    audience: 'channel',
    text: [shorten(run.failure ?? 'The engine gave no reason.', 1500), `${where}${back}${aftermathWords(run)}`],
    table: stepTable(run.steps),
    buttons: [
      { label: 'Status', line: `status ${run.machineName}`, style: 'default' },
      { label: 'Recovery points', line: `points ${run.machineName}`, style: 'default' },
    ],
    footer: `${run.id} · asked for by ${run.requestedBy}${approvalWords(run)}`,
  };
}

/** The run with its steps, for `show run_…`: the outcome first, then the steps. Whether its drill is still open, `show <vm>` says. */
export function runDetailCard(run: RunView, nowMs: number): Card {
  const card = runCard(run, nowMs);
  if (run.state !== 'succeeded') return { ...card, table: stepTable(run.steps) };
  const { copyLine: _, buttons: __, fields, ...kept } = card;
  return {
    ...kept,
    ...(fields !== undefined && { fields: fields.filter(({ label }) => label !== 'Ends') }),
    table: stepTable(run.steps),
  };
}

/** That a run has begun, for those who do not wait for it. */
export function startedCard(runId: string, what: string): Card {
  return {
    title: `${what} · started`,
    tone: 'working',
    audience: 'channel',
    text: [`The run is ${runId}; it goes on whether somebody watches or not.`],
    copyLine: `show ${runId}`,
    buttons: [{ label: 'Watch', line: `show ${runId}`, style: 'default' }],
  };
}

/** What a test failover would do. Nothing has run; the plan is for exactly this point. */
export function planCard(plan: PlanView, nowMs: number): Card {
  const { checks } = plan;
  const line = `failover ${plan.machineName} --test --point ${plan.point.id}`;
  const failed = checks.filter((check) => check.state === 'failed').length;
  const verdict = failed === 0 ? 'nothing has been started' : `${failed} of ${checks.length} checks fail`;
  return {
    title: `Test failover of ${plan.machineName} · dry run: ${verdict}`,
    tone: failed === 0 ? 'neutral' : 'warning',
    audience: 'asker',
    fields: [
      { label: 'Point', value: `${pointWords(plan.point)}, taken ${instant(plan.point.takenAtMs, nowMs)}` },
      { label: 'Data loss', value: `${age(plan.pointAgeMs)}, if this were a real failover` },
      { label: 'Time', value: measuredWords(plan.measured, 'drill') },
      { label: 'Approval', value: 'none needed' },
      { label: 'Machine', value: `${plan.vmName} on ${plan.target} (${plan.accelerator})` },
      { label: 'Network', value: plan.network },
      { label: 'Ends', value: `by itself after ${age(plan.expiresAfterMs)}` },
      { label: 'Plan', value: `digest ${plan.digest.slice(0, 12)}` },
    ],
    ...(checks.length > 0 && { table: checkTable(checks) }),
    sections: [{ title: 'Steps', rows: plan.steps.map((step, index) => [String(index + 1), step] as const) }],
    ...(failed === 0 && { copyLine: line, buttons: [{ label: 'Start this drill', line, style: 'primary' as const }] }),
  };
}

/** A page of `list runs`, newest first. */
export function runListCard(
  runs: readonly RunView[],
  view: { page: number; state: string | undefined; nowMs: number },
): Card {
  const chosen = runs.filter((run) => view.state === undefined || run.state === view.state);
  const newestFirst = [...chosen].sort((a, b) => b.startedAtMs - a.startedAtMs);
  const shown = pageOf(newestFirst, view.page);
  const filter = view.state === undefined ? '' : ` that ${view.state === 'active' ? 'are active' : view.state}`;
  return {
    title:
      chosen.length === 0
        ? `No runs${filter} yet`
        : `${countWords(chosen.length, 'run')}${filter}${pageWords(view.page, chosen.length)}`,
    tone: 'neutral',
    audience: 'asker',
    ...(shown.length > 0 && {
      table: {
        columns: ['Started', 'Run', 'What', 'Outcome', 'By'],
        rows: shown.map((run) => [
          instant(run.startedAtMs, view.nowMs),
          run.id,
          runName(run),
          outcomeWords(run, view.nowMs),
          run.requestedBy,
        ]),
      },
    }),
    ...(shown.length === 0 && chosen.length > 0 && { footer: `There is no page ${view.page}.` }),
  };
}

function outcomeWords(run: RunView, nowMs: number): string {
  const tookMs = (run.finishedAtMs ?? nowMs) - run.startedAtMs;
  if (run.state === 'active') return `running for ${age(tookMs)}`;
  if (run.state === 'failed') return `failed after ${age(tookMs)}`;
  if (run.result === null) return `done in ${age(tookMs)}`;
  return run.result.verified ? `verified in ${age(tookMs)}` : 'not verified';
}

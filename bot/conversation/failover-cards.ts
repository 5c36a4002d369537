import { formatDuration } from '../../domain/units.ts';
import { type PlannedFailoverPlanView, type RunView, routes } from '../../protocol/control-api.ts';
import { type Card, type Field, shorten } from '../card.ts';
import { checkTable, namesWords } from './approval-cards.ts';
import { pointWords } from './machine-words.ts';
import { measuredWords } from './measured-words.ts';
import { age, instant } from './time-words.ts';

type RunResult = NonNullable<RunView['result']>;
type Measured = NonNullable<RunResult['failover']>;

/** What a planned failover would do, and whether it could be asked for now. Nothing has run. */
export function plannedPlanCard(plan: PlannedFailoverPlanView, reason: string, nowMs: number): Card {
  const failed = plan.checks.filter((check) => check.state === 'failed').length;
  const line = `failover ${plan.machineName} --planned`;
  const verdict =
    failed === 0 ? 'dry run: it can be asked for' : `dry run: ${failed} of ${plan.checks.length} checks fail`;
  return {
    title: `Planned failover of ${plan.machineName} · ${verdict}`,
    tone: failed === 0 ? 'neutral' : 'warning',
    audience: 'asker',
    text: [...plan.impact.slice(0, 6).map((sentence) => shorten(sentence, 600)), 'Nothing has been started.'],
    fields: planFields(plan, nowMs),
    table: checkTable(plan.checks),
    sections: [
      {
        title: 'Steps, after the approval',
        rows: plan.steps.slice(0, 20).map((step, index) => [String(index + 1), shorten(step, 120)] as const),
      },
    ],
    ...(failed === 0 &&
      reason !== '' && { copyLine: `${line} --reason ${JSON.stringify(reason.replaceAll('"', "'"))}` }),
    ...(failed === 0 && reason === '' && { footer: `Ask for it with \`${line} --reason "<text>"\`.` }),
  };
}

function planFields(plan: PlannedFailoverPlanView, nowMs: number): Field[] {
  const { newestPoint, lagMs } = plan;
  const approvers = plan.eligible.length === 0 ? 'nobody who may' : namesWords(plan.eligible);
  return [
    { label: 'Data loss', value: 'none: the last changes are sent after the shutdown, and compared' },
    { label: 'Time', value: timeWords(plan) },
    { label: 'Lag now', value: lagMs === null ? 'not known' : age(lagMs) },
    {
      label: 'Newest',
      value: newestPoint === null ? 'none yet' : `${pointWords(newestPoint)}, ${instant(newestPoint.takenAtMs, nowMs)}`,
    },
    { label: 'Machine', value: `${plan.vmName} on ${plan.target} (${plan.accelerator})` },
    { label: 'Network', value: plan.network },
    { label: 'Shutdown', value: `at most ${formatDuration(plan.shutdownLimitMs)}, else the original goes on` },
    { label: 'Approvals', value: `${plan.neededCount}, from: ${approvers}` },
    { label: 'Plan', value: `digest ${plan.digest.slice(0, 12)}` },
  ];
}

/** A machine that was never failed over says at least how long its drills took. */
function timeWords({ measured, measuredDrills }: PlannedFailoverPlanView): string {
  const own = measuredWords(measured, 'failover');
  return measured === null && measuredDrills ? `${own}; drills: ${measuredWords(measuredDrills, 'drill')}` : own;
}

/** A machine that runs at the target now: what was lost, how long it stood still, and how that is known. Source: A10 */
export function failedOverCard(run: RunView, result: RunResult, nowMs: number): Card {
  const { failover } = result;
  const name = run.machineName;
  const lost = failover === undefined ? 'done' : failover.rpoMs === 0 ? 'nothing lost' : `${age(failover.rpoMs)} lost`;
  const stood = failover === undefined ? '' : ` · stood still for ${age(failover.rtoMs)}`;
  return {
    title: `Planned failover of ${name} · ${lost}${stood}`,
    tone: result.verified && (failover === undefined || failover.rpoMs === 0) ? 'good' : 'warning',
    audience: 'channel',
    text: [
      `${name} runs at the target now. The original is shut down and fenced: it can neither start beside it nor replicate unnoticed.`,
    ],
    fields: [
      ...(failover === undefined ? [] : measuredFields(failover)),
      { label: 'Point', value: `${pointWords(result.point)}, taken ${instant(result.point.takenAtMs, nowMs)}` },
      ...bootFields(result),
      { label: 'Machine', value: `${result.vmName} (${result.accelerator})` },
      ...(run.approvalId === null ? [] : [{ label: 'Approval', value: run.approvalId }]),
    ],
    ...(result.consolePicture !== null && {
      picture: {
        path: result.consolePicture,
        apiPath: routes.consolePicture.replace(':id', run.id),
        altText: `Console of ${result.vmName}, ${result.verified ? 'verified' : 'not verified'}`,
      },
    }),
    copyLine: `status ${name}`,
    buttons: [{ label: 'Steps', line: `show ${run.id}`, style: 'default' }],
    footer: `${run.id} · asked for by ${run.requestedBy} · the way back comes with a later version`,
  };
}

function measuredFields(failover: Measured): Field[] {
  const compared = `${failover.disksComparedCount} ${failover.disksComparedCount === 1 ? 'disk' : 'disks'} compared`;
  return [
    { label: 'Data loss', value: `${failover.rpoMs === 0 ? 'none' : age(failover.rpoMs)}, measured; ${compared}` },
    { label: 'Proof', value: shorten(failover.proof, 600) },
    { label: 'Standstill', value: `${age(failover.rtoMs)} from the order to stop until the guest was up` },
  ];
}

/** The check of the boot; the marker has a line of its own only when the check does not tell it. */
export function bootFields(result: RunResult): Field[] {
  const { verified, verification, marker } = result;
  const check = { label: 'Boot check', value: `${verified ? 'passed' : 'NOT passed'}: ${shorten(verification, 500)}` };
  if (marker === null) return [check, { label: 'Marker', value: 'none seen on the console' }];
  return verification.includes(marker) ? [check] : [check, { label: 'Marker', value: shorten(marker, 300) }];
}

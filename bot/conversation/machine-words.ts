import { thresholdsOfPolicy } from '../../domain/alert-threshold.ts';
import { assertNever } from '../../domain/invariant.ts';
import { initialReplicationLeftMs, percentDone } from '../../domain/protected-machine.ts';
import { formatBytes } from '../../domain/units.ts';
import type { MachineView, PointView } from '../../protocol/control-api.ts';
import type { Progress, Tone } from '../card.ts';
import { absoluteTime, age, relativeTime } from './time-words.ts';

/** How urgent a machine is for whoever is on call, worst first. */
export type Urgency = 'critical' | 'warning' | 'unknown' | 'none';
const urgencyOrder: readonly Urgency[] = ['critical', 'warning', 'unknown', 'none'];

/** What people asked for is no trouble: a first copy that goes on, and a machine that was failed over, need nobody. */
export function urgencyOf({ protection, health }: MachineView): Urgency {
  if (protection.kind === 'not-protected' || health.kind === 'healthy') return 'none';
  return health.isExpected === true ? 'none' : health.kind;
}

/** Those that need somebody first, then by name. */
export function worstFirst(machines: readonly MachineView[]): MachineView[] {
  const rank = (machine: MachineView) => urgencyOrder.indexOf(urgencyOf(machine));
  return [...machines].sort((a, b) => rank(a) - rank(b) || a.name.localeCompare(b.name, 'en', { numeric: true }));
}

export function toneOf(machines: readonly MachineView[]): Tone {
  const urgencies = machines.map(urgencyOf);
  if (urgencies.includes('critical')) return 'bad';
  if (urgencies.includes('warning') || urgencies.includes('unknown')) return 'warning';
  const has = (kind: MachineView['protection']['kind']) => machines.some(({ protection }) => protection.kind === kind);
  // One that was failed over is not replicated where it runs: nothing to look at, and not green either.
  return has('initial-replication') ? 'working' : has('failed-over') ? 'neutral' : 'good';
}

/** `Enabled`, or `Enabled: Replicating 43 % · 12 MiB/s · 4 min left`: the two words of document A. Source: A6 */
export function stateWords(machine: MachineView): string {
  const { protection, replication, unsupported } = machine;
  const paused = replication.kind === 'paused' ? ' · paused' : '';
  switch (protection.kind) {
    case 'not-protected':
      return unsupported === null ? 'Not enabled' : 'Cannot be enabled';
    case 'initial-replication':
      return `Enabled: Replicating ${progressWords(replicationProgress(protection))}${paused}`;
    case 'protected':
      return `Enabled${paused}`;
    case 'failed-over':
      return `Failed over: runs at ${protection.target} as ${protection.vmName}`;
    default:
      return assertNever(protection);
  }
}

/** `961 Enabled`; `2 replicating` while none is further than its first copy, which is no `0 Enabled`. Source: A6 */
export function enabledWords(machines: readonly MachineView[]): string {
  const count = (kind: MachineView['protection']['kind']) =>
    machines.filter(({ protection }) => protection.kind === kind).length;
  const enabled = count('protected');
  const replicating = count('initial-replication');
  return enabled === 0 && replicating > 0 ? `${replicating} replicating` : `${enabled} Enabled`;
}

type InitialReplication = Extract<MachineView['protection'], { kind: 'initial-replication' }>;

/** The initial replication as a progress bar; rate and time left only when they are known. */
export function replicationProgress(state: InitialReplication): Progress {
  const sizes = `${formatBytes(state.doneBytes)} of ${formatBytes(state.totalBytes)}`;
  const isCopied = state.totalBytes > 0 && state.doneBytes >= state.totalBytes;
  // The whole image alone does not protect: the first recovery point has to be available too. Source: A6
  if (isCopied) return { percent: percentDone(state), label: `${sizes} · waiting for the first recovery point` };
  const leftMs = initialReplicationLeftMs(state);
  return {
    percent: percentDone(state),
    label: sizes,
    ...(state.bytesPerSecond > 0 && { bytesPerSecond: state.bytesPerSecond }),
    ...(leftMs !== undefined && { leftMs: Math.max(1000, leftMs) }),
  };
}

/** `43 % · 12 MiB/s · 4 min left` */
export function progressWords(progress: Progress): string {
  const rate = progress.bytesPerSecond === undefined ? [] : [`${formatBytes(progress.bytesPerSecond)}/s`];
  const left = progress.leftMs === undefined ? [] : [`${age(progress.leftMs)} left`];
  return [`${progress.percent} %`, ...rate, ...left].join(' · ');
}

/** True for a machine whose changes are sent to the vault; one that was failed over runs elsewhere, and its original is fenced. */
export function isReplicated({ protection }: MachineView): boolean {
  return protection.kind !== 'not-protected' && protection.kind !== 'failed-over';
}

/** `12 s of 1 min`: the lag beside the lag from which people are told of the machine. Unknown is never zero. */
export function lagWords(machine: MachineView): string {
  const { lagMs, thresholds } = machine;
  if (!isReplicated(machine) || lagMs === null) return '–';
  if (thresholds === null) return age(lagMs);
  const isOver = lagMs > thresholds.warnMs;
  return `${age(lagMs)} of ${age(thresholds.warnMs)}${isOver ? ' (over)' : ''}`;
}

/** The lag as a part of the warning threshold, and how grave that is; undefined where there is no lag to judge. */
export function lagShare(machine: MachineView): { share: number; level: 'good' | 'warning' | 'bad' } | undefined {
  const { lagMs, thresholds } = machine;
  if (lagMs === null || thresholds === null || !isReplicated(machine)) return undefined;
  const level = lagMs > thresholds.criticalMs ? 'bad' : lagMs > thresholds.warnMs ? 'warning' : 'good';
  return { share: lagMs / thresholds.warnMs, level };
}

/** `warning above 5 min, critical above 15 min, set for this machine`; those of the policy say no more than the figures. */
export function thresholdWords(machine: Pick<MachineView, 'thresholds' | 'policy'>): string {
  if (machine.thresholds === null) return '–';
  const { warnMs, criticalMs } = machine.thresholds;
  const whose = hasOwnThresholds(machine) ? ', set for this machine' : '';
  return `warning above ${age(warnMs)}, critical above ${age(criticalMs)}${whose}`;
}

/** True when the machine is watched by other figures than its policy's. */
export function hasOwnThresholds({ thresholds, policy }: Pick<MachineView, 'thresholds' | 'policy'>): boolean {
  if (thresholds === null || policy === null) return false;
  const { warnMs, criticalMs } = thresholdsOfPolicy(policy);
  return thresholds.warnMs !== warnMs || thresholds.criticalMs !== criticalMs;
}

/** When the newest available point was taken. */
export function newestPointWords(machine: MachineView, nowMs: number): string {
  if (machine.newestPoint === null) return machine.protection.kind === 'not-protected' ? '–' : 'none yet';
  return `${absoluteTime(machine.newestPoint.takenAtMs, nowMs)}, ${relativeTime(machine.newestPoint.takenAtMs, nowMs)}`;
}

/** `open, ends 18:02:33Z`: a drill is never forgotten in a status. */
export function drillWords(machine: MachineView, nowMs: number): string {
  const { drill } = machine;
  if (drill === null || drill.state === 'closed') return '–';
  switch (drill.state) {
    case 'starting':
      return 'starting';
    case 'cleaning':
      return 'being cleaned up';
    case 'open':
      return `open, ends ${absoluteTime(drill.expiresAtMs, nowMs)}`;
    default:
      return assertNever(drill.state);
  }
}

/** What is wrong with a machine, as one sentence each; empty for a machine that is well. */
export function troubleSentences(machine: MachineView, nowMs: number): string[] {
  const sentences: string[] = [];
  if (machine.protection.kind !== 'not-protected' && machine.health.kind !== 'healthy') {
    const kind = machine.health.isExpected === true ? '' : `${machine.health.kind}: `;
    sentences.push(`${machine.name}: ${kind}${machine.health.message}`);
  }
  if (machine.replication.kind === 'paused') {
    const until = `${absoluteTime(machine.replication.untilMs, nowMs)} (${relativeTime(machine.replication.untilMs, nowMs)})`;
    sentences.push(`${machine.name}: paused until ${until}: ${machine.replication.reason}`);
  }
  return sentences;
}

/** `crash-consistent rp_7K3M9Q2WXA` */
export function pointWords(point: PointView): string {
  return `${point.kind} ${point.id}`;
}

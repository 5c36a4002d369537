import { assertNever } from './invariant.ts';
import { formatDuration } from './units.ts';

/**
 * Whether a machine is protected. A test failover, a resynchronisation and health are separate axes.
 *
 * ```
 * not-protected ──enable──▶ initial-replication ──first available point──▶ protected ──planned failover──▶ failed-over
 * ```
 * Committed and reprotected join when the way back does. Source: DESIGN 5, A6, A10.
 */
export type ProtectionState =
  | { readonly kind: 'not-protected' }
  | {
      readonly kind: 'initial-replication';
      /** Bytes of all disks that the vault holds already, zeros included; compare with `totalBytes`. */
      readonly doneBytes: number;
      readonly totalBytes: number;
      readonly bytesPerSecond: number;
    }
  | { readonly kind: 'protected' }
  /** It runs at the target; its source is stopped and fenced. */
  | {
      readonly kind: 'failed-over';
      readonly runId: string;
      readonly target: string;
      readonly vmName: string;
      readonly atMs: number;
      /** `hydrating`: blocks still come from the vault while it runs. */
      readonly disks: 'hydrating' | 'local';
    };

/** Whether a test failover of the machine is open: replication goes on beneath it. Source: A7. */
export type DrillState = { readonly kind: 'none' } | { readonly kind: 'open'; readonly pointTakenAtMs: number };

/** Whether replication may move: paused on request until a time, or running. */
export type ReplicationSwitch =
  | { readonly kind: 'running' }
  | { readonly kind: 'paused'; readonly untilMs: number; readonly reason: string };

export type MachineAction =
  | 'enable'
  | 'pause'
  | 'resume'
  | 'resync'
  | 'bookmark'
  | 'test-failover'
  | 'planned-failover'
  | 'cleanup';

/** The one table of what is allowed in which protection state; chat, API and workflows all read it. */
export const statesThatAdmit = {
  enable: ['not-protected'],
  pause: ['initial-replication', 'protected'],
  resume: ['initial-replication', 'protected'],
  resync: ['protected'],
  bookmark: ['protected'],
  'test-failover': ['protected'],
  'planned-failover': ['protected'],
  cleanup: ['protected'],
} as const satisfies Record<MachineAction, readonly ProtectionState['kind'][]>;

/** What is known of a machine when an action is asked for. */
export type MachineFacts = {
  readonly name: string;
  readonly protection: ProtectionState;
  readonly drill: DrillState;
  readonly replication: ReplicationSwitch;
};

export type Admission = { readonly kind: 'allowed' } | { readonly kind: 'refused'; readonly message: string };

/** Says whether the action may start now; a refusal says why, and when it will be possible. Source: A6, DESIGN 5 */
export function admit(action: MachineAction, machine: MachineFacts): Admission {
  const states: readonly ProtectionState['kind'][] = statesThatAdmit[action];
  if (!states.includes(machine.protection.kind)) return refuse(action, machine);
  if (action === 'test-failover' && machine.drill.kind === 'open') {
    return {
      kind: 'refused',
      message: `${machine.name} already has a test failover open. Run \`cleanup ${machine.name}\` first, then ask again.`,
    };
  }
  if (action === 'planned-failover' && machine.drill.kind === 'open') {
    return {
      kind: 'refused',
      message: `${machine.name} has a test failover open. Run \`cleanup ${machine.name}\` first, then ask again.`,
    };
  }
  if (action === 'cleanup' && machine.drill.kind === 'none') {
    return {
      kind: 'refused',
      message: `${machine.name} has no test failover to clean up. \`failover ${machine.name} --test\` starts one.`,
    };
  }
  if (action === 'resume' && machine.replication.kind === 'running') {
    return { kind: 'refused', message: `Replication of ${machine.name} is not paused; there is nothing to resume.` };
  }
  if (action === 'bookmark' && machine.replication.kind === 'paused') {
    return {
      kind: 'refused',
      message: `Replication of ${machine.name} is paused (${machine.replication.reason}). Run \`resume ${machine.name}\` first.`,
    };
  }
  return { kind: 'allowed' };
}

function refuse(action: MachineAction, machine: MachineFacts): Admission {
  const { protection, name } = machine;
  switch (protection.kind) {
    case 'not-protected':
      return {
        kind: 'refused',
        message: `${name} is not protected, so there is nothing to ${verbOf(action)}. Protect it with \`enable ${name} --policy default\`.`,
      };
    case 'initial-replication':
      return {
        kind: 'refused',
        message:
          action === 'enable'
            ? `${name} is being protected already: ${protectionWords(protection)}.`
            : `${name} is not protected yet: its initial replication is at ${percentDone(protection)} %${timeLeft(protection)}. ` +
              `You can ${verbOf(action)} as soon as it says "Enabled".`,
      };
    case 'protected':
      return { kind: 'refused', message: `${name} is protected already ("Enabled").` };
    case 'failed-over':
      return {
        kind: 'refused',
        message: `${name} was failed over and runs at ${protection.target} as ${protection.vmName}; its source is stopped. You cannot ${verbOf(action)} it until it is protected again from there.`,
      };
    default:
      return assertNever(protection);
  }
}

function verbOf(action: MachineAction): string {
  return action === 'test-failover' || action === 'planned-failover'
    ? 'fail over'
    : action === 'cleanup'
      ? 'clean up'
      : action;
}

function timeLeft(state: Extract<ProtectionState, { kind: 'initial-replication' }>): string {
  const leftMs = initialReplicationLeftMs(state);
  return leftMs === undefined ? '' : `, about ${formatDuration(leftMs)} left`;
}

/** Whole per cent of the initial replication, never 100 before it is done. */
export function percentDone(state: Extract<ProtectionState, { kind: 'initial-replication' }>): number {
  if (state.totalBytes === 0) return 0;
  return Math.min(99, Math.floor((100 * state.doneBytes) / state.totalBytes));
}

/** Estimated milliseconds until the whole image is in the vault; undefined while no rate is known. */
export function initialReplicationLeftMs(
  state: Extract<ProtectionState, { kind: 'initial-replication' }>,
): number | undefined {
  if (state.bytesPerSecond <= 0) return undefined;
  return (1000 * Math.max(0, state.totalBytes - state.doneBytes)) / state.bytesPerSecond;
}

/** The source documents' words for a protection state, as people are shown them. Source: A6 */
export function protectionWords(state: ProtectionState): string {
  switch (state.kind) {
    case 'not-protected':
      return 'Not enabled';
    case 'initial-replication':
      return `Enabled: Replicating (${percentDone(state)} %)`;
    case 'protected':
      return 'Enabled';
    case 'failed-over':
      return state.disks === 'local' ? 'Failed over' : 'Failed over (filling its disks)';
    default:
      return assertNever(state);
  }
}

import { totalBytes } from '../domain/extent.ts';
import { assertNever, invariant } from '../domain/invariant.ts';
import { OutageError } from '../domain/outage.ts';
import { minuteMs } from '../domain/units.ts';
import type { Assignment, PowerOutcome, PowerResult } from '../protocol/agent-api.ts';
import type { Journal, JournalPower } from './journal.ts';
import { captureOnce } from './machine-capture.ts';
import type { MachineContext } from './machine-context.ts';
import { queuedLogCount } from './replication-decision.ts';
import type { PowerControl } from './tracker/change-tracker.ts';

/**
 * `as-usual`: captures go on. `moved`: something was done, look again. `off`: the source is stopped and there is nothing to capture until
 * somebody wakes the loop.
 */
export type SourceState = 'as-usual' | 'moved' | 'off';

/** What the engine asks to be done with the source's power. Every step is noted before the next, so that a killed agent goes on. */
export type SourcePower = {
  /** Does the next step, if one is due. The capture loop calls it before each capture, and no capture overlaps it. */
  readonly see: () => Promise<SourceState>;
  readonly result: () => PowerResult | undefined;
  readonly wasRunningAlthoughHeld: () => boolean;
  /** A heartbeat was answered. */
  readonly answered: () => void;
};

type PowerRequest = Extract<Assignment['requests'][number], { kind: 'shutdown' | 'power-on' }>;
type ShutdownRequest = Extract<PowerRequest, { kind: 'shutdown' }>;

/** A guest that did not stop in time may still be about to: for so long it is started again when it does. */
const lateStopMs = 10 * minuteMs;
const lastCaptureReason = 'the last change before a planned failover';

export function createSourcePower(machine: MachineContext): SourcePower {
  const { journal, assignment } = machine;
  const held = createHeldWatch(machine);
  return {
    async see() {
      if (assignment().isHeld) return held.keepStopped();
      const asked = openPowerRequest(assignment());
      if (asked === undefined) return withoutRequest(machine);
      return asked.kind === 'power-on' ? startAgain(machine, asked.requestId) : shutDown(machine, asked);
    },
    result: () => resultOf(journal.now()),
    wasRunningAlthoughHeld: held.wasRunning,
    answered: held.answered,
  };
}

/** A wish to start takes back a wish to stop. */
function openPowerRequest({ requests }: Assignment): PowerRequest | undefined {
  const ofKind = <Kind extends PowerRequest['kind']>(kind: Kind) => requests.find((request) => request.kind === kind);
  const found = ofKind('power-on') ?? ofKind('shutdown');
  return found?.kind === 'power-on' || found?.kind === 'shutdown' ? found : undefined;
}

function note(machine: MachineContext, change: Partial<JournalPower>): Promise<void> {
  return machine.journal.update((journal) => {
    invariant(journal.power !== null, 'a step follows a request that was noted');
    return { ...journal, power: { ...journal.power, ...change } };
  });
}

function begin(machine: MachineContext, first: Pick<JournalPower, 'requestId' | 'phase'> & Partial<JournalPower>) {
  const rest = { words: '', isRunning: true, captureId: null, isAnnounced: false, watchUntilMs: 0 };
  return machine.journal.update((journal) => ({ ...journal, power: { ...rest, ...first } }));
}

function forget(machine: MachineContext): Promise<void> {
  return machine.journal.update((journal) => ({ ...journal, power: null }));
}

// ── stopping ───────────────────────────────────────────────────────────────────────────────────────────────
async function shutDown(machine: MachineContext, request: ShutdownRequest): Promise<SourceState> {
  const { power } = machine.journal.now();
  const control = machine.tracker.power;
  if (power?.requestId !== request.requestId) {
    if (control === undefined)
      await begin(machine, { requestId: request.requestId, phase: 'given-up', words: noSwitch });
    else await begin(machine, { requestId: request.requestId, phase: 'stopping' });
    return 'moved';
  }
  if (isCaptureLost(machine.journal.now(), power)) {
    await note(machine, { phase: 'off', captureId: null });
    return 'moved';
  }
  switch (power.phase) {
    case 'stopping':
      return stop(machine, request);
    case 'off':
      return captureLast(machine, request);
    case 'captured':
      return lookAgain(machine);
    case 'proven':
      return 'off';
    case 'given-up':
      return watchLateStop(machine, power);
    case 'started':
      return 'as-usual';
    default:
      return assertNever(power.phase);
  }
}

const noSwitch = 'it is made of plain disk images: there is no machine that could be shut down';

async function stop(machine: MachineContext, { limitMs }: ShutdownRequest): Promise<SourceState> {
  const outcome = await controlOf(machine).shutDown({ limitMs, signal: machine.signal });
  machine.deps.log.info({ machineId: machine.assignment().machineId, outcome }, 'the source was asked to stop');
  if (outcome.kind === 'stopped') await note(machine, { phase: 'off', words: outcome.how, isRunning: false });
  else await giveUp(machine, { words: outcome.message, isRunning: outcome.isRunning });
  return 'moved';
}

async function captureLast(machine: MachineContext, { requestId }: ShutdownRequest): Promise<SourceState> {
  const journal = machine.journal.now();
  // A comparison must wait until all that is queued has been sent; each log that is sent wakes this loop.
  if (journal.disks.some((disk) => disk.resync !== null) && queuedLogCount(journal) > 0) return 'off';
  await captureOnce(machine, { requestId, reason: lastCaptureReason });
  return 'moved';
}

/** A second look at all disks: a source that has really stopped has changed nothing since its last capture. */
async function lookAgain(machine: MachineContext): Promise<SourceState> {
  const capture = await machine.tracker.capture(machine.journal.now().generation);
  const changedBytes = capture.disks.reduce(
    (sum, { changes, disk }) => sum + (changes.kind === 'extents' ? totalBytes(changes.extents) : disk.sizeBytes),
    0,
  );
  await capture.abandon();
  if (changedBytes === 0) {
    await note(machine, { phase: 'proven' });
    machine.deps.onNews?.();
    return 'moved';
  }
  await controlOf(machine).start();
  const words = `${changedBytes} bytes of its disks changed after it had switched itself off`;
  await giveUp(machine, { words, isRunning: true });
  return 'moved';
}

async function giveUp(machine: MachineContext, why: Pick<JournalPower, 'words' | 'isRunning'>): Promise<void> {
  const watchUntilMs = why.isRunning ? machine.deps.nowMs() + lateStopMs : 0;
  await note(machine, { phase: 'given-up', watchUntilMs, ...why });
  machine.deps.onNews?.();
}

/** What was queued was dropped for a comparison, and the capture after the stop with it. */
function isCaptureLost(journal: Journal, power: JournalPower): boolean {
  if (power.captureId === null || power.isAnnounced) return false;
  return !journal.captures.some((capture) => capture.captureId === power.captureId);
}

/** The source goes on: a guest that obeys after its time is started again, so that nobody finds it stopped for nothing. */
async function watchLateStop(machine: MachineContext, power: JournalPower): Promise<SourceState> {
  if (power.watchUntilMs === 0) return 'as-usual';
  const control = controlOf(machine);
  const hasObeyedLate = !(await control.isRunning());
  if (!hasObeyedLate && machine.deps.nowMs() < power.watchUntilMs) return 'as-usual';
  await control.start();
  await note(machine, { watchUntilMs: 0 });
  const { machineId } = machine.assignment();
  if (hasObeyedLate) machine.deps.log.warn({ machineId }, 'the source stopped after its time and was started again');
  return 'moved';
}

// ── starting ───────────────────────────────────────────────────────────────────────────────────────────────
async function startAgain(machine: MachineContext, requestId: string): Promise<SourceState> {
  const { power } = machine.journal.now();
  if (power?.requestId === requestId && power.phase === 'started') return 'as-usual';
  await machine.tracker.power?.start();
  await begin(machine, { requestId, phase: 'started' });
  machine.deps.log.info({ machineId: machine.assignment().machineId }, 'the source was started again');
  machine.deps.onNews?.();
  return 'moved';
}

/** Nothing is asked (any more): what was half done is taken back, what was done stays. */
async function withoutRequest(machine: MachineContext): Promise<SourceState> {
  const { power } = machine.journal.now();
  if (power === null) return 'as-usual';
  switch (power.phase) {
    case 'stopping':
    case 'off':
    case 'captured':
      await controlOf(machine).start();
      await forget(machine);
      return 'moved';
    case 'proven':
      // The engine knows that it is stopped, and says next what becomes of it. Who starts it by hand before that, replicates again.
      if (!(await controlOf(machine).isRunning())) return 'off';
      await forget(machine);
      return 'moved';
    case 'given-up':
      if (power.watchUntilMs > 0) return watchLateStop(machine, power);
      await forget(machine);
      return 'moved';
    case 'started':
      await forget(machine);
      return 'moved';
    default:
      return assertNever(power.phase);
  }
}

function controlOf(machine: MachineContext): PowerControl {
  const { power } = machine.tracker;
  invariant(power, 'only a machine with a power switch was asked to stop');
  return power;
}

// ── what heartbeats say ────────────────────────────────────────────────────────────────────────────────────
function resultOf(journal: Journal): PowerResult | undefined {
  const outcome = outcomeOf(journal);
  return outcome && journal.power ? { requestId: journal.power.requestId, outcome } : undefined;
}

function outcomeOf({ power, disks }: Journal): PowerOutcome | undefined {
  switch (power?.phase) {
    case 'proven': {
      invariant(power.captureId !== null, 'what is proven was captured');
      const left = disks.flatMap(({ diskId, acked }) => (acked === null ? [] : [{ diskId, position: acked }]));
      const { captureId, words: how } = power;
      return { kind: 'stopped', captureId, how, changedSinceBytes: 0, disks: power.isAnnounced ? left : [] };
    }
    case 'given-up':
      return { kind: 'failed', message: power.words.slice(0, 500), isRunning: power.isRunning };
    case 'started':
      return { kind: 'running' };
    default:
      return undefined;
  }
}

/** Another copy of the machine is in charge: while that is so, this one must not run. Source: RELIABILITY I3 */
function createHeldWatch(machine: MachineContext) {
  let found: 'no' | 'found' | 'told' = 'no';
  return {
    async keepStopped(): Promise<SourceState> {
      const control = machine.tracker.power;
      if (control === undefined || !(await isUp(control))) return 'off';
      found = 'found';
      await control.hold();
      const { machineId } = machine.assignment();
      machine.deps.log.warn({ machineId }, 'the source ran although another copy is in charge; it was stopped');
      machine.deps.onNews?.();
      return 'off';
    },
    wasRunning() {
      if (found === 'found') found = 'told';
      return found !== 'no';
    },
    answered() {
      if (found === 'told') found = 'no';
    },
  };
}

/** A guest that cannot be asked is switched off altogether, which is what it should be. */
async function isUp(control: PowerControl): Promise<boolean> {
  try {
    return await control.isRunning();
  } catch (error) {
    if (error instanceof OutageError) return false;
    throw error;
  }
}

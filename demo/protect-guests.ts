import { randomUUID } from 'node:crypto';
import { setTimeout as pause } from 'node:timers/promises';
import type { EngineClient } from '../bot/engine-client.ts';
import { OutageError } from '../domain/outage.ts';
import { initialReplicationLeftMs, protectionWords } from '../domain/protected-machine.ts';
import { formatBytes, formatDuration } from '../domain/units.ts';
import type { MachineView } from '../protocol/control-api.ts';
import { guestNames } from './guests.ts';

type Deps = { readonly engine: EngineClient; readonly say: (line: string) => void; readonly signal: AbortSignal };

const discoveryLimitMs = 60_000;
const replicationLimitMs = 600_000;
const freshPointLimitMs = 30_000;
const lookEveryMs = 300;

/** Whether this start found the guests protected already, by an earlier one. */
export type Resumed = boolean;

/** Protects the guests that are not, and shows their initial replication until each says "Enabled". Source: A5, A6 */
export async function protectGuests(deps: Deps): Promise<Resumed> {
  const startedAtMs = Date.now();
  const machines = await discovered(deps);
  const isResumed = machines.every(isSettled);
  for (const { name } of machines.filter((machine) => machine.protection.kind === 'not-protected')) {
    const order = { kind: 'enable' as const, body: { machine: name, policy: 'default' } };
    const answer = await deps.engine.ask(order, { idempotencyKey: randomUUID(), signal: deps.signal });
    if (answer.kind === 'refusal') throw new OutageError(answer.refusal.message, { retryable: false });
    deps.say(`enable ${name} --policy default`);
  }
  await (isResumed ? waitForFreshPoints(deps, startedAtMs) : watchInitialReplication(deps));
  for (const machine of await lookAt(deps)) sayEnabled(deps, machine);
  return isResumed;
}

/** Protected, or failed over in an earlier run of the demo. */
function isSettled({ protection }: MachineView): boolean {
  return protection.kind === 'protected' || protection.kind === 'failed-over';
}

async function discovered(deps: Deps): Promise<MachineView[]> {
  const deadline = performance.now() + discoveryLimitMs;
  while (performance.now() < deadline) {
    const machines = await lookAt(deps);
    if (guestNames.every((name) => machines.some((machine) => machine.name === name))) return machines;
    await pause(lookEveryMs, undefined, { signal: deps.signal });
  }
  throw new OutageError(`the agent did not report ${guestNames.join(' and ')} within a minute`, { retryable: false });
}

async function watchInitialReplication(deps: Deps): Promise<void> {
  const lastLines = new Map<string, string>();
  const deadline = performance.now() + replicationLimitMs;
  while (performance.now() < deadline) {
    const machines = await lookAt(deps);
    for (const machine of machines) {
      const line = progressLine(machine);
      if (lastLines.get(machine.name) !== line) deps.say(line);
      lastLines.set(machine.name, line);
    }
    if (machines.every(isSettled)) return;
    await pause(lookEveryMs, undefined, { signal: deps.signal });
  }
  throw new OutageError('the initial replication did not end within ten minutes', { retryable: false });
}

/** After a stop the newest points are old, and so the lag is long; what follows shall show what replication does now. */
async function waitForFreshPoints(deps: Deps, startedAtMs: number): Promise<void> {
  deps.say('They are protected already; waiting for a recovery point taken after this start …');
  const deadline = performance.now() + freshPointLimitMs;
  let waiting: string[] = [];
  while (performance.now() < deadline) {
    const machines = await lookAt(deps);
    waiting = machines
      .filter(({ protection }) => protection.kind === 'protected')
      .filter(({ newestPoint }) => (newestPoint?.takenAtMs ?? 0) < startedAtMs)
      .map((machine) => machine.name);
    if (waiting.length === 0) return;
    await pause(lookEveryMs, undefined, { signal: deps.signal });
  }
  deps.say(
    `  ${waiting.join(' and ')}: no new point within ${formatDuration(freshPointLimitMs)}; going on with the old one.`,
  );
}

function progressLine({ name, protection }: MachineView): string {
  const words = `  ${name}  ${protectionWords(protection)}`;
  if (protection.kind !== 'initial-replication') return words;
  const leftMs = initialReplicationLeftMs(protection);
  if (leftMs === undefined) return words;
  return `${words}  ${formatBytes(protection.bytesPerSecond)}/s  ${formatDuration(leftMs)} left`;
}

function sayEnabled(deps: Deps, { name, newestPoint, lagMs, tracking, protection }: MachineView): void {
  const age = lagMs === null ? 'no recovery point yet' : `newest recovery point ${formatDuration(lagMs)} old`;
  if (protection.kind === 'failed-over') {
    deps.say(`  ${name}  ${protectionWords(protection)}`);
    return;
  }
  deps.say(`  ${name}  Enabled · ${newestPoint === null ? 'no recovery point yet' : age} · ${tracking}`);
}

export async function lookAt(deps: Pick<Deps, 'engine' | 'signal'>): Promise<MachineView[]> {
  const answer = await deps.engine.ask({ kind: 'machines' }, { signal: deps.signal });
  if (answer.kind !== 'machines') throw new OutageError('the engine did not list its machines', { retryable: true });
  return answer.machines.filter((machine) => guestNames.some((name) => name === machine.name));
}

import { randomUUID } from 'node:crypto';
import { setTimeout as pause } from 'node:timers/promises';
import { executeLine, terminalSurface } from '../bot/main.ts';
import { OutageError } from '../domain/outage.ts';
import { formatBytes, formatDuration } from '../domain/units.ts';
import type { MachineView, RunView } from '../protocol/control-api.ts';
import { guestWriteCount } from './guests.ts';
import type { Layout } from './layout.ts';
import { lookAt } from './protect-guests.ts';
import type { Site } from './site.ts';

export type OnceDeps = {
  readonly site: Site;
  readonly layout: Layout;
  readonly hasQemu: boolean;
  readonly resumed: boolean;
  readonly say: (line: string) => void;
  readonly signal: AbortSignal;
};

type Look = { readonly machines: MachineView[]; readonly writeCounts: ReadonlyMap<string, number> };

const newPointLimitMs = 90_000;

/** One test failover, of vm-7 unless it runs at the target already, and its clean-up, as a person would type them, and a summary that proves what went on meanwhile. */
export async function runOnce(deps: OnceDeps): Promise<number> {
  const before = await look(deps);
  const machine = before.machines[0]?.name;
  if (machine === undefined) {
    deps.say('Both machines were failed over in earlier starts and run at the target: there is nothing to drill here.');
    deps.say(`To begin anew, remove ${deps.layout.state}.`);
    return 1;
  }
  const failover = await type(deps, `failover ${machine} --test`);
  const run = failover.answers.findLast((answer) => answer.kind === 'run')?.run;
  deps.say('');
  deps.say('Waiting for newer recovery points while the copy runs …');
  const during = await lookAfterNewPoints(deps, before);
  const cleanup = await type(deps, `cleanup ${machine}`);
  const problems = [
    ...(failover.exitCode === 0 ? [] : ['the test failover did not succeed']),
    ...(run?.result?.verified === true ? [] : ['the machine was not verified']),
    ...(cleanup.exitCode === 0 ? [] : ['the clean-up did not succeed']),
    ...stoodStill(before, during),
  ];
  sayMeanwhile(deps, before, during);
  saySummary(deps, run, during);
  if (problems.length === 0) return 0;
  deps.say(`Not good: ${problems.join('; ')}.`);
  return 1;
}

async function type(deps: OnceDeps, line: string): ReturnType<typeof executeLine> {
  deps.say('');
  deps.say(`dr> ${line}`);
  return executeLine(line, {
    engine: deps.site.engine,
    surface: terminalSurface({ output: process.stdout, isColored: false, commandPrefix: '' }),
    nowMs: () => Date.now(),
    newKey: () => randomUUID(),
    signal: deps.signal,
    isWaiting: true,
  });
}

async function look(deps: OnceDeps): Promise<Look> {
  const all = await lookAt({ engine: deps.site.engine, signal: deps.signal });
  // One that was failed over in an earlier start runs at the target and replicates no more.
  const machines = all.filter(({ protection }) => protection.kind !== 'failed-over');
  const writeCounts = new Map<string, number>();
  for (const { name } of machines) {
    if (deps.hasQemu) writeCounts.set(name, await guestWriteCount(deps.layout, name));
  }
  return { machines, writeCounts };
}

/** Waits until each machine has a newer recovery point than before the drill: replication went on beneath it. */
async function lookAfterNewPoints(deps: OnceDeps, before: Look): Promise<Look> {
  const deadline = performance.now() + newPointLimitMs;
  while (performance.now() < deadline) {
    const now = await look(deps);
    if (
      now.machines.every((machine) => hasNewerPoint(machine, before) && (!deps.hasQemu || hasSentMore(machine, before)))
    )
      return now;
    await pause(500, undefined, { signal: deps.signal });
  }
  throw new OutageError('no newer recovery point came while the drill was open', { retryable: false });
}

function hasNewerPoint(machine: MachineView, before: Look): boolean {
  const earlier = before.machines.find(({ name }) => name === machine.name)?.newestPoint;
  return machine.newestPoint !== null && machine.newestPoint.takenAtMs > (earlier?.takenAtMs ?? 0);
}

/** The agent says at its next heartbeat what it has sent, which is a moment after the point is there. */
function hasSentMore(machine: MachineView, before: Look): boolean {
  const earlier = before.machines.find(({ name }) => name === machine.name);
  return machine.sentBytesTotal > (earlier?.sentBytesTotal ?? 0);
}

function stoodStill(before: Look, during: Look): string[] {
  const isStill = (name: string) => (during.writeCounts.get(name) ?? 0) <= (before.writeCounts.get(name) ?? 0);
  return [...during.writeCounts.keys()].filter(isStill).map((name) => `${name} wrote nothing during the drill`);
}

function sayMeanwhile(deps: OnceDeps, before: Look, during: Look): void {
  deps.say('');
  deps.say('Meanwhile, beneath the drill:');
  for (const machine of during.machines) {
    const earlier = before.machines.find(({ name }) => name === machine.name);
    const writes = (during.writeCounts.get(machine.name) ?? 0) - (before.writeCounts.get(machine.name) ?? 0);
    const sentBytes = machine.sentBytesTotal - (earlier?.sentBytesTotal ?? 0);
    const taken = machine.newestPoint === null ? 'none' : new Date(machine.newestPoint.takenAtMs).toISOString();
    const guest = deps.hasQemu ? `the guest made ${writes} writes, ` : '';
    deps.say(
      `  ${machine.name}  ${guest}${formatBytes(sentBytes)} of changes were sent, newest recovery point ${taken}`,
    );
  }
}

function saySummary(deps: OnceDeps, run: RunView | undefined, during: Look): void {
  const sentBytes = during.machines.reduce((sum, machine) => sum + machine.sentBytesTotal, 0);
  const lags = during.machines.map(
    ({ name, lagMs }) => `${name} ${lagMs === null ? 'unknown' : formatDuration(lagMs)}`,
  );
  deps.say('');
  deps.say('Summary');
  deps.say(`  lag                  ${lags.join(', ')}`);
  if (run?.result) {
    const { result } = run;
    deps.say(
      `  recovery point       ${result.point.id}, ${formatDuration(result.pointAgeMs)} old when the drill began`,
    );
    deps.say(`  command to guest up  ${result.secondsToGuestUp.toFixed(1)} s (${result.accelerator})`);
    deps.say(`  marker               ${result.marker ?? 'none'}`);
    deps.say(`  console picture      ${result.consolePicture ?? 'none'}`);
    deps.say(`  verified             ${result.verified ? 'yes' : 'no'}: ${result.verification}`);
  } else {
    deps.say(`  test failover        ${run?.failure ?? 'did not run'}`);
  }
  deps.say(
    `  bytes replicated     ${formatBytes(sentBytes)} in all${deps.resumed ? '; this start resumed, without a new initial replication' : ''}`,
  );
}

import { randomUUID } from 'node:crypto';
import { mkdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import pino from 'pino';
import { OutageError } from '../domain/outage.ts';
import { createAssignedMachines } from './assigned-machines.ts';
import { createChangeSender } from './change-sender.ts';
import { type AgentConfig, readAgentConfig, workFolderOf } from './config.ts';
import { createControlClient } from './control-client.ts';
import { createDiscovery } from './discovery.ts';
import { enrol, startIdentityRenewal } from './enrolment.ts';
import { runHeartbeats } from './heartbeats.ts';
import { createSpoolBudget } from './hrl-spool.ts';
import { type AgentIdentity, loadIdentity } from './identity.ts';
import type { CaptureBoundary } from './machine-context.ts';
import { spoolRoom } from './spool-room.ts';
import { lockStateFolder } from './state-lock.ts';
import { createSlots, createWakeup } from './wakeup.ts';

/** One at a time: a scan takes some 35 MiB of memory, and more of them share the same network. */
const scansAtOnce = 1;
const stopLimitMs = 20_000;

/** Runs the mobility agent until SIGTERM or SIGINT. @throws OutageError with a next step when it cannot start */
export async function runAgent(configFile: string): Promise<void> {
  const config = await readAgentConfig(configFile);
  const log = pino({ name: 'agent' }, pino.destination({ fd: 2, sync: false }));
  await mkdir(config.stateFolder, { recursive: true, mode: 0o700 });
  const unlock = await lockStateFolder(config.stateFolder);
  const agent = await startAgent(config, log, await identityOf(config, log));
  await new Promise<void>((resolve) => {
    for (const signal of ['SIGTERM', 'SIGINT'] as const) process.once(signal, () => resolve());
  });
  log.info('the agent stops; captures under way are abandoned');
  await Promise.race([agent.stop(), delay(stopLimitMs, undefined, { ref: false })]);
  unlock();
  log.info('the agent has stopped');
}

async function identityOf(config: AgentConfig, log: pino.Logger): Promise<AgentIdentity> {
  const identity = await loadIdentity(config.stateFolder);
  if (identity !== undefined) return identity;
  const nextStep = `Make a token on the engine (lifeboat enrolment-token --host ${config.hostName}) and put it into the configuration as enrolmentToken.`;
  if (config.enrolmentToken === undefined) {
    throw new OutageError('start the agent: this host is not enrolled', { retryable: false, nextStep });
  }
  const { enrolmentToken: token, hostName, stateFolder } = config;
  const outcome = await enrol({ token, hostName, stateFolder });
  if (outcome.kind !== 'enrolled') {
    throw new OutageError(`enrol this host: ${outcome.message}`, { retryable: false, nextStep });
  }
  log.info({ agentId: outcome.identity.agentId }, 'this host is enrolled');
  return outcome.identity;
}

async function startAgent(config: AgentConfig, log: pino.Logger, firstIdentity: AgentIdentity) {
  const workFolder = await makeFolders(config);
  const stopping = new AbortController();
  const heartbeatWakeup = createWakeup(stopping.signal);
  let identity = firstIdentity;
  let processServers: readonly string[] = [];
  let engineClockOffsetMs = 0;
  const clock = { nowMs: Date.now, monotonicMs: () => performance.now() };
  const client = createControlClient({ engineUrl: config.engineUrl, identity: () => identity });
  const sender = createChangeSender({
    ...clock,
    processServers: () => processServers,
    identity: () => identity,
    delay: (ms, signal) => delay(ms, undefined, { signal }),
    onTakeOver: (from, to, why) => log.warn({ from, to, err: why }, 'another process server took over'),
  });
  const discovery = createDiscovery({ ...clock, config, workFolder, log });
  const spoolBudget = createSpoolBudget(config.spoolBytesMax);
  const machines = createAssignedMachines({
    ...clock,
    sender,
    discovery,
    stateFolder: config.stateFolder,
    spoolBudget,
    announcePoint: client.announcePoint,
    engineClockOffsetMs: () => engineClockOffsetMs,
    random: Math.random,
    scanSlots: createSlots(scansAtOnce),
    log,
    onBoundary: (boundary) => passBoundary(log, boundary),
    onNews: () => heartbeatWakeup.wake(),
  });
  const stopRenewal = startIdentityRenewal({
    client,
    identity,
    stateFolder: config.stateFolder,
    nowMs: clock.nowMs,
    onRenewed: (renewed) => {
      identity = renewed;
    },
    onProblem: (message, cause) => log.warn({ err: cause }, message),
  });
  const heartbeats = runHeartbeats({
    ...clock,
    client,
    machines,
    guests: discovery.reports,
    spool: () => spoolRoom(spoolBudget, config.stateFolder),
    about: await introduction(config),
    onAnswer: (answer) => {
      // The engine looked at its clock before we look at ours, so this is never more than the true difference.
      engineClockOffsetMs = answer.engineNowMs - Date.now();
      processServers = answer.processServers;
    },
    random: Math.random,
    log,
    wakeup: heartbeatWakeup,
    signal: stopping.signal,
  });
  log.info({ agentId: identity.agentId, engine: config.engineUrl }, 'the agent runs');
  return {
    async stop() {
      stopping.abort();
      stopRenewal();
      await heartbeats;
      await machines.stop();
      await Promise.all([sender.close(), client.close(), discovery.close()]);
    },
  };
}

async function makeFolders({ stateFolder }: AgentConfig): Promise<string> {
  const workFolder = workFolderOf(stateFolder);
  await mkdir(workFolder, { recursive: true, mode: 0o700 });
  await mkdir(join(stateFolder, 'images'), { recursive: true, mode: 0o700 });
  return workFolder;
}

async function introduction({ hostName, site }: AgentConfig) {
  return { instanceId: randomUUID(), agentVersion: await version(), hostName, siteName: site };
}

/** Fault tests end the process exactly here: `LIFEBOAT_KILL_AT=agent/<boundary>`. */
function passBoundary(log: pino.Logger, boundary: CaptureBoundary): void {
  if (process.env.LIFEBOAT_KILL_AT === `agent/${boundary}`) process.kill(process.pid, 'SIGKILL');
  log.trace({ boundary }, 'a capture passed a boundary');
}

async function version(): Promise<string> {
  const text = await readFile(join(import.meta.dirname, '..', 'package.json'), 'utf8');
  const parsed: { version?: unknown } = JSON.parse(text);
  return typeof parsed.version === 'string' ? parsed.version : 'unknown';
}

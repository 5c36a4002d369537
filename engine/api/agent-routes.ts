import { assertNever } from '../../domain/invariant.ts';
import { minuteMs } from '../../domain/units.ts';
import {
  type Assignment,
  announcePointAnswer,
  announcePointRequest,
  certificateAnswer,
  enrolRequest,
  type HeartbeatAnswer,
  type HeartbeatRequest,
  heartbeatAnswer,
  heartbeatRequest,
  renewRequest,
} from '../../protocol/agent-api.ts';
import { routes } from '../../protocol/control-api.ts';
import { signGrant } from '../../protocol/replication-grant.ts';
import { type EnrolmentOutcome, type EnrolmentRefusal, enrolAgent, renewAgent } from '../enrolment.ts';
import { type InstanceOutcome, noteHeartbeat, saveGuests } from '../store/agents.ts';
import { type Database, databaseNowMs } from '../store/database.ts';
import { appendEvent } from '../store/events.ts';
import {
  listMachinesOfAgent,
  type MachineRecord,
  noteRunningAlthoughHeld,
  saveHardware,
  saveReport,
} from '../store/machines.ts';
import { finishRequests, type OutstandingRequest, outstandingRequests, savePowerResults } from '../store/requests.ts';
import type { CallerOf } from './authentication.ts';
import type { ApiDeps } from './deps.ts';
import { answer, type Refusal, type Reply, refuse } from './reply.ts';
import type { Router } from './route.ts';

/**
 * Grants are renewed by each heartbeat and outlive a short silence of the engine. Source:
 * protocol/replication-grant.ts
 */
const grantLifeMs = 10 * minuteMs;

/** What agents ask the engine. */
export function addAgentRoutes(router: Router, deps: ApiDeps): void {
  router.add({
    method: 'POST',
    url: routes.enrol,
    summary: 'Turns a one-time token into the first certificate of an agent',
    access: 'anyone',
    body: enrolRequest,
    answer: certificateAnswer,
    handle: async ({ body }) => certificateReply(await enrolAgent(deps.enrolment, body)),
  });
  router.add({
    method: 'POST',
    url: routes.renew,
    summary: 'A new certificate for an agent, for a new key',
    access: 'agent',
    body: renewRequest,
    answer: certificateAnswer,
    handle: async ({ caller, body }) => certificateReply(await renewAgent(deps.enrolment, { ...caller, ...body })),
  });
  router.add({
    method: 'POST',
    url: routes.heartbeat,
    summary: 'What is at the host, against what should be',
    access: 'agent',
    body: heartbeatRequest,
    answer: heartbeatAnswer,
    handle: async ({ caller, body }) => answerHeartbeat(deps, caller, body),
  });
  router.add({
    method: 'POST',
    url: routes.announcePoint,
    summary: 'All disks of a machine have passed a barrier',
    access: 'agent',
    body: announcePointRequest,
    answer: announcePointAnswer,
    async handle({ caller, body }) {
      const outcome = await deps.points.announce(caller.agentId, body);
      switch (outcome.kind) {
        case 'announced':
          return answer({ pointId: outcome.pointId });
        case 'fenced':
          return refuse('refused', outcome.message);
        case 'refused':
          return refuse('forbidden', outcome.message);
        default:
          return assertNever(outcome);
      }
    },
  });
}

type CertificateBody = Extract<EnrolmentOutcome, { kind: 'issued' }>['answer'];

const enrolmentRefusals = {
  malformed: 'bad-request',
  'unknown-token': 'unauthenticated',
  expired: 'unauthenticated',
  used: 'unauthenticated',
  'other-host': 'forbidden',
  'bad-request': 'bad-request',
  revoked: 'forbidden',
} as const satisfies Record<EnrolmentRefusal['why'], Parameters<typeof refuse>[0]>;

function certificateReply(outcome: EnrolmentOutcome): Reply<CertificateBody> {
  if (outcome.kind === 'issued') return answer(outcome.answer);
  return refuse(enrolmentRefusals[outcome.why], outcome.message, { nextStep: outcome.nextStep });
}

type HeartbeatDeps = Pick<ApiDeps, 'store' | 'heartbeatEveryMs' | 'processServers' | 'grantKey'>;

/** Keeps what an agent says of its host, and tells it what should be. */
export async function answerHeartbeat(
  deps: HeartbeatDeps,
  caller: CallerOf['agent'],
  beat: HeartbeatRequest,
): Promise<Reply<HeartbeatAnswer>> {
  const { agentId } = caller;
  const { instanceId, agentVersion, siteName, spool } = beat;
  return deps.store.write(async (db) => {
    const instance = await noteHeartbeat(db, { agentId, instanceId, agentVersion, siteName, spool });
    const refusal = refuseInstance(instance);
    if (refusal !== undefined) return refusal;
    await saveGuests(db, agentId, beat.guests);
    const machines = await listMachinesOfAgent(db, agentId);
    await saveReports(db, machines, beat);
    const requests = await outstandingRequests(
      db,
      machines.map((machine) => machine.id),
    );
    const nowMs = await databaseNowMs(db);
    await tellOfHeld(db, machines, beat);
    if (instance.kind === 'conflict-found') await tellOfConflict(db, instance.hostName);
    return answer({
      engineNowMs: nowMs,
      nextHeartbeatMs: deps.heartbeatEveryMs,
      processServers: [...deps.processServers],
      assignments: machines.map((machine) => assignmentOf(deps, { machine, caller, requests, nowMs })),
    });
  });
}

function refuseInstance(instance: InstanceOutcome): Refusal | undefined {
  switch (instance.kind) {
    case 'accepted':
    case 'conflict-found':
      return undefined;
    case 'unknown-agent':
      return refuse('forbidden', 'This agent is revoked.', { nextStep: 'Enrol its host again with a new token.' });
    case 'second-instance':
      return refuse('refused', `Another agent runs with the certificate of host ${instance.hostName}.`, {
        nextStep: 'If this host is a copy, remove the agent’s state folder and enrol it under a name of its own.',
      });
    default:
      return assertNever(instance);
  }
}

async function tellOfConflict(db: Database, hostName: string): Promise<void> {
  const text =
    `Two agents run with the certificate of host ${hostName}; the second one is refused. ` +
    'If the host was copied, stop the copy; if not, the certificate was stolen: enrol the host again.';
  await appendEvent(db, { kind: 'agent-conflict', text });
}

/** A source that was failed over from runs again: the agent has stopped it, and people must know. Source: RELIABILITY I3 */
async function tellOfHeld(db: Database, machines: readonly MachineRecord[], beat: HeartbeatRequest): Promise<void> {
  for (const machine of machines) {
    if (!machine.isHeld || !beat.runningAlthoughHeld.includes(machine.id)) continue;
    if ((await noteRunningAlthoughHeld(db, machine)) === 'again') continue;
    const where = machine.protection.kind === 'failed-over' ? machine.protection.target : 'the target';
    const text =
      `The source of ${machine.name} on ${beat.hostName} was running although ${machine.name} is in charge at ${where}. ` +
      'The agent has stopped it; nothing of it was replicated or discarded. See who started it, and keep it off.';
    await appendEvent(db, { kind: 'two-copies', machineName: machine.name, text });
  }
}

async function saveReports(db: Database, machines: readonly MachineRecord[], beat: HeartbeatRequest): Promise<void> {
  for (const machine of machines) {
    const report = beat.machines.find((one) => one.machineId === machine.id);
    if (report !== undefined) await saveReport(db, machine, report);
    const guest = beat.guests.find((one) => one.name === machine.name);
    if (guest !== undefined) await saveHardware(db, machine.id, guest.hardware);
  }
  const machineIds = machines.map((machine) => machine.id);
  await finishRequests(db, beat.doneRequests, machineIds);
  await savePowerResults(db, beat.powerResults, machineIds);
}

type AssignmentFacts = {
  readonly machine: MachineRecord;
  readonly caller: CallerOf['agent'];
  readonly requests: readonly OutstandingRequest[];
  readonly nowMs: number;
};

function assignmentOf(deps: HeartbeatDeps, facts: AssignmentFacts): Assignment {
  const { machine } = facts;
  const { epoch } = machine;
  const disks = machine.disks.map(({ id, key, sizeBytes }) => ({ diskId: id, key, sizeBytes }));
  const grant = {
    agentId: facts.caller.agentId,
    machineId: machine.id,
    // A held source may write nothing at all: its grant names no disk.
    disks: machine.isHeld ? [] : disks.map(({ diskId, sizeBytes }) => ({ diskId, sizeBytes })),
    epoch,
    notAfterMs: facts.nowMs + grantLifeMs,
  };
  return {
    machineId: machine.id,
    name: machine.name,
    epoch,
    crashConsistentEveryMs: machine.policy.crashConsistentEveryMs,
    paused: machine.replication.kind === 'paused',
    disks,
    grant: signGrant(grant, deps.grantKey),
    requests: facts.requests.filter((request) => request.machineId === machine.id),
    isHeld: machine.isHeld,
  };
}

import type { z } from 'zod';
import { assertNever } from '../../domain/invariant.ts';
import { admit, type MachineAction } from '../../domain/protected-machine.ts';
import { formatDuration } from '../../domain/units.ts';
import {
  bookmarkBody,
  cleanupBody,
  enableBody,
  pauseBody,
  resumeBody,
  resyncBody,
  routes,
  testFailoverBody,
} from '../../protocol/control-api.ts';
import type { Database } from '../store/database.ts';
import { openDrillOf } from '../store/drills.ts';
import { appendEvent } from '../store/events.ts';
import { type MachineRecord, pauseMachine, resumeMachine } from '../store/machines.ts';
import { addRequest } from '../store/requests.ts';
import { type CommandReply, type CommandRoute, commandsOf, type Order } from './command.ts';
import type { ApiDeps, PlanOutcome, StartOutcome } from './deps.ts';
import { enable } from './enable.ts';
import { findByName } from './find-machine.ts';
import { answer, type Refusal, refuse } from './reply.ts';
import type { Router } from './route.ts';

/** What people may order. Each is carried out once for its idempotency key. */
export function addCommandRoutes(router: Router, deps: ApiDeps): void {
  const add = commandsOf(router, deps);
  const command = <Body extends z.ZodType<{ machine: string }>>(
    route: CommandRoute<Body>,
    work: (order: Order<z.output<Body>>) => Promise<CommandReply>,
  ) => add({ machineOf: (body) => body.machine, ...route }, work);
  const inTransaction =
    <Body>(work: (db: Database, order: Order<Body>) => Promise<CommandReply>) =>
    (order: Order<Body>) =>
      deps.store.write((db) => work(db, order));

  command(
    { url: routes.enable, summary: 'Protect a machine', needs: 'enable', body: enableBody },
    inTransaction(enable),
  );
  command(
    { url: routes.pause, summary: 'Stop replication for a time', needs: 'pause', body: pauseBody },
    inTransaction(pause),
  );
  command({ url: routes.resume, summary: 'End a pause', needs: 'resume', body: resumeBody }, inTransaction(resume));
  command(
    { url: routes.resync, summary: 'Compare every block with the vault', needs: 'resync', body: resyncBody },
    inTransaction(resync),
  );
  command(
    { url: routes.bookmark, summary: 'Take a recovery point now', needs: 'bookmark', body: bookmarkBody },
    inTransaction(bookmark),
  );
  command(
    {
      url: routes.testFailover,
      summary: 'Start a machine from a recovery point, isolated',
      needs: 'test-failover',
      body: testFailoverBody,
    },
    (order) => testFailover(deps, order),
  );
  command({ url: routes.cleanup, summary: 'End a test failover', needs: 'cleanup', body: cleanupBody }, (order) =>
    cleanup(deps, order),
  );
}

async function pause(db: Database, { body, person }: Order<z.output<typeof pauseBody>>): Promise<CommandReply> {
  const machine = await admitted(db, 'pause', body.machine);
  if (machine.kind === 'refusal') return machine;
  const { untilMs } = await pauseMachine(db, machine.id, body);
  const until = `${new Date(untilMs).toISOString().slice(0, 19).replace('T', ' ')}Z`;
  return done(db, machine, {
    kind: 'paused',
    text:
      `${person} paused replication of ${machine.name} for ${formatDuration(body.forMs)}, ` +
      `until ${until} (${body.reason}).`,
  });
}

async function resume(db: Database, { body, person }: Order<z.output<typeof resumeBody>>): Promise<CommandReply> {
  const machine = await admitted(db, 'resume', body.machine);
  if (machine.kind === 'refusal') return machine;
  await resumeMachine(db, machine.id);
  return done(db, machine, { kind: 'resumed', text: `${person} resumed replication of ${machine.name}.` });
}

async function resync(db: Database, { body, person }: Order<z.output<typeof resyncBody>>): Promise<CommandReply> {
  const machine = await admitted(db, 'resync', body.machine);
  if (machine.kind === 'refusal') return machine;
  const request = { machineId: machine.id, kind: 'resync' as const, reason: body.reason, requestedBy: person };
  if ((await addRequest(db, request)) === 'outstanding') {
    return refuse('refused', `A resynchronisation of ${machine.name} was asked for already and has not ended yet.`);
  }
  return done(db, machine, {
    kind: 'resync-requested',
    text: `${person} asked for a resynchronisation of ${machine.name}.`,
  });
}

async function bookmark(db: Database, { body, person }: Order<z.output<typeof bookmarkBody>>): Promise<CommandReply> {
  const machine = await admitted(db, 'bookmark', body.machine);
  if (machine.kind === 'refusal') return machine;
  if (body.applicationConsistent) {
    return refuse('refused', `Application-consistent points of ${machine.name} cannot be taken yet.`, {
      nextStep: `Take a crash-consistent one: \`bookmark ${machine.name} --reason …\`.`,
    });
  }
  await addRequest(db, { machineId: machine.id, kind: 'bookmark', reason: body.reason, requestedBy: person });
  return done(db, machine, {
    kind: 'bookmark-requested',
    text: `${person} asked for a recovery point of ${machine.name} (${body.reason}).`,
  });
}

async function testFailover(deps: ApiDeps, order: Order<z.output<typeof testFailoverBody>>): Promise<CommandReply> {
  const { body, person, key } = order;
  const name = await protectedName(deps, 'test-failover', body.machine);
  if (typeof name !== 'string') return name;
  const request = { machineName: name, point: body.point, requestedBy: person };
  return body.dryRun
    ? workflowReply(await deps.workflow.planTestFailover(request))
    : workflowReply(await deps.workflow.startTestFailover({ ...request, idempotencyKey: key }));
}

async function cleanup(deps: ApiDeps, order: Order<z.output<typeof cleanupBody>>): Promise<CommandReply> {
  const { body, person, key } = order;
  const name = await protectedName(deps, 'cleanup', body.machine);
  if (typeof name !== 'string') return name;
  const request = { machineName: name, note: body.note, requestedBy: person, idempotencyKey: key };
  return workflowReply(await deps.workflow.startCleanup(request));
}

function workflowReply(outcome: PlanOutcome | StartOutcome): CommandReply {
  switch (outcome.kind) {
    case 'plan':
      return answer(outcome);
    case 'started':
      return answer({ kind: 'run-started', runId: outcome.runId });
    case 'refused':
      return refuse('refused', outcome.message, { candidates: outcome.candidates, nextStep: outcome.nextStep });
    default:
      return assertNever(outcome);
  }
}

/** The name of a machine that has protection; whether the run may start is decided with its plan. */
async function protectedName(deps: ApiDeps, action: MachineAction, typed: string): Promise<string | Refusal> {
  const found = await deps.store.read((db) => findByName(db, typed));
  if (found.kind === 'refusal') return found;
  return found.kind === 'machine' ? found.machine.name : refuseUnprotected(action, found.guest.name);
}

/** The machine, when the action may be done with it now: domain/protected-machine.ts decides. */
async function admitted(
  db: Database,
  action: MachineAction,
  typed: string,
): Promise<(MachineRecord & { readonly kind: MachineRecord['kind'] }) | Refusal> {
  const found = await findByName(db, typed);
  if (found.kind === 'refusal') return found;
  if (found.kind === 'guest') return refuseUnprotected(action, found.guest.name);
  const { machine } = found;
  const drill = await openDrillOf(db, machine.id);
  const admission = admit(action, {
    name: machine.name,
    protection: machine.protection,
    drill: drill === undefined ? { kind: 'none' } : { kind: 'open', pointTakenAtMs: drill.point.takenAtMs },
    replication: machine.replication,
  });
  return admission.kind === 'refused' ? refuse('refused', admission.message) : machine;
}

function refuseUnprotected(action: MachineAction, name: string): Refusal {
  const admission = admit(action, {
    name,
    protection: { kind: 'not-protected' },
    drill: { kind: 'none' },
    replication: { kind: 'running' },
  });
  return refuse('refused', admission.kind === 'refused' ? admission.message : `${name} is not protected.`);
}

async function done(
  db: Database,
  machine: MachineRecord,
  event: { kind: string; text: string },
): Promise<CommandReply> {
  await appendEvent(db, { ...event, machineName: machine.name });
  return answer({ kind: 'done', message: event.text });
}

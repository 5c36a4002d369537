import { randomUUID } from 'node:crypto';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import type { MachineId, RunId } from '../../../domain/ids.ts';
import { invariant } from '../../../domain/invariant.ts';
import { type PlannedFailoverPlan, plannedFailoverSteps } from '../../../domain/planned-failover.ts';
import { noteHeartbeat } from '../../../engine/store/agents.ts';
import type { Database } from '../../../engine/store/database.ts';
import { beatExecutor } from '../../../engine/store/executors.ts';
import { findMachine, type MachineRecord } from '../../../engine/store/machines.ts';
import { openStore, type Store } from '../../../engine/store/open.ts';
import { insertPoint, markSealed, movePoint } from '../../../engine/store/points.ts';
import { outstandingRequests, savePowerResults } from '../../../engine/store/requests.ts';
import { findRunView } from '../../../engine/store/runs.ts';
import type { Target } from '../../../engine/target/target.ts';
import { createApprovedRun } from '../../../engine/workflow/approved-run.ts';
import type { StepOutcome } from '../../../engine/workflow/perform-step.ts';
import type { StepDeps } from '../../../engine/workflow/run-context.ts';
import { runJob } from '../../../engine/workflow/run-job.ts';
import type { PowerOutcome } from '../../../protocol/agent-api.ts';
import type { RunView } from '../../../protocol/control-api.ts';
import { manifestDigest } from '../../../protocol/point-manifest.ts';
import { startTestPostgres, type TestPostgres } from '../../fixtures/postgres.ts';
import { approvePlan } from './approve-plan.ts';
import { protectMachines } from './protected-machine.ts';
import { recordedTarget, thingsThere } from './recorded-target.ts';
import { recordedVault } from './recorded-vault.ts';

/** How a source behaves that an agent looks after; the agent's part is played by the bench, through the store's own functions. */
export type Source = {
  isRunning: boolean;
  /** `ignores`: it does not stop when it is asked to; `lies`: the agent's positions are not the point's. */
  manner: 'obeys' | 'ignores' | 'lies' | 'silent';
  startCount: number;
  /** The source and its copy at the target were seen running at one time. */
  hasTwoCopies: boolean;
};

export type FailoverMachine = { readonly plan: PlannedFailoverPlan; readonly source: Source };

/** An engine that dies at a boundary: what it was doing ends there, nothing is said or noted. */
class EngineDied extends Error {
  override name = 'EngineDied';
}

export type FailoverBench = Awaited<ReturnType<typeof startFailoverBench>>;

export async function startFailoverBench() {
  const postgres: TestPostgres = await startTestPostgres();
  const connectionString = await postgres.freshDatabase();
  const store = await openStore({ connectionString });
  const folder = await mkdtemp(join(tmpdir(), 'lifeboat-failover-'));
  // One at a time: a test has one machine.
  let agent = { stop: new AbortController(), ended: Promise.resolve() };
  const endAgent = () => {
    agent.stop.abort();
    return agent.ended;
  };
  let count = 0;
  const newMachine = async (manner: Source['manner'] = 'obeys'): Promise<FailoverMachine> => {
    count += 1;
    const machine = await protectedGuest(store, `vm-${count}`);
    const source: Source = { isRunning: true, manner, startCount: 0, hasTwoCopies: false };
    await endAgent();
    const stop = new AbortController();
    agent = { stop, ended: playAgent({ store, folder, machine, source, signal: stop.signal }) };
    return { plan: planFor(machine), source };
  };
  return {
    ...{ store, folder, connectionString, newMachine },
    machine: async (plan: PlannedFailoverPlan) => store.read((db) => findMachine(db, plan.machineId)),
    view: (runId: string): Promise<RunView | undefined> => store.read((db) => findRunView(db, runId)),
    /** The approval's transaction: its run is there and nobody works on it. */
    create: (plan: PlannedFailoverPlan) =>
      store.write(async (db) => {
        const approvalId = await approvePlan(db, plan);
        return { approvalId, ...(await createApprovedRun(db, { approvalId, plan, requestedBy: 'ana' })) };
      }),
    engines: (change: (target: Target) => Target = (target) => target) =>
      engineChain({ store, folder, target: change(recordedTarget(folder, 'none')) }),
    async stop() {
      await endAgent();
      await store.close();
      await postgres.stop();
      await rm(folder, { recursive: true, force: true });
    },
  };
}

/** Engines that follow each other on one run, with the memory that the job engine keeps for them. */
function engineChain(world: { store: Store; folder: string; target: Target }) {
  const memory = new Map<string, StepOutcome>();
  const remember = async (name: string, work: () => Promise<StepOutcome>) => {
    const outcome = memory.get(name) ?? (await work());
    memory.set(name, outcome);
    return outcome;
  };
  const noLog = () => undefined;
  const log = { debug: noLog, info: noLog, warn: noLog, error: noLog };
  const { store, folder, target } = world;
  return {
    /** One engine works on the run until it is done, or until it dies at the boundary. */
    async work(runId: RunId, dieAt?: string): Promise<'done' | 'died'> {
      const executorId = `engine ${randomUUID()}`;
      await store.write((db) => beatExecutor(db, executorId));
      const boundary = (name: string) => {
        if (name === dieAt) throw new EngineDied(name);
      };
      const deps: StepDeps = {
        ...{ store, target, executorId, boundary, log, vault: recordedVault(folder) },
        onFenced: () => undefined,
      };
      try {
        await runJob(deps, runId, remember);
        return 'done';
      } catch (error) {
        if (error instanceof EngineDied) return 'died';
        throw error;
      }
    },
  };
}

async function protectedGuest(store: Store, name: string): Promise<MachineRecord> {
  const disks = ['disk0', 'disk1'].map((key) => ({ key, sizeBytes: 65_536 }));
  const [made] = await protectMachines(store, [name], disks);
  invariant(made, 'one name makes one machine');
  await store.write((db) =>
    db.execute(`update protected_machines set kind = 'qemu-guest' where id = '${made.machineId}'`),
  );
  const machine = await store.read((db) => findMachine(db, made.machineId));
  invariant(machine, 'it was just made');
  return machine;
}

export function planFor(machine: MachineRecord): PlannedFailoverPlan {
  return {
    kind: 'planned-failover',
    machineId: machine.id,
    machineName: machine.name,
    epoch: machine.epoch,
    pointRule: 'after-shutdown',
    hardware: { memoryBytes: 64 * 1024 * 1024, cpuCount: 1, firmware: 'bios' },
    disks: machine.disks.map(({ id, key, sizeBytes }) => ({ diskId: id, key, sizeBytes })),
    target: 'files',
    network: 'isolated',
    accelerator: 'tcg',
    vmName: machine.name,
    shutdownLimitMs: 60_000,
    verifyLimitMs: 60_000,
    policyName: 'default',
    steps: plannedFailoverSteps,
  };
}

type Play = { store: Store; folder: string; machine: MachineRecord; source: Source; signal: AbortSignal };

async function playAgent({ store, folder, machine, source, signal }: Play): Promise<void> {
  const { id: machineId, agentId } = machine;
  invariant(agentId, 'the machine has an agent');
  const instanceId = randomUUID();
  while (!signal.aborted) {
    await store.write(async (db) => {
      await noteHeartbeat(db, { agentId, instanceId, agentVersion: 'test', siteName: 'main' });
      const now = await findMachine(db, machineId);
      if (source.manner === 'silent' || now === undefined) return;
      for (const request of await outstandingRequests(db, [machineId])) {
        const outcome = await answerTo(db, { request, machine: now, source });
        if (outcome !== undefined) await savePowerResults(db, [{ requestId: request.requestId, outcome }], [machineId]);
      }
    });
    const running = `${await placeOf(store, machineId)}.machine`;
    const isAtTarget = (await thingsThere(folder)).includes(running);
    if (source.isRunning && isAtTarget) source.hasTwoCopies = true;
    await delay(20);
  }
}

async function placeOf(store: Store, machineId: MachineId): Promise<string | undefined> {
  const { rows } = await store.read((db) =>
    db.execute<{ id: string }>(`select id from failovers where machine_id = '${machineId}'`),
  );
  return rows[0]?.id;
}

type Asked = {
  request: Awaited<ReturnType<typeof outstandingRequests>>[number];
  machine: MachineRecord;
  source: Source;
};

async function answerTo(db: Database, { request, machine, source }: Asked): Promise<PowerOutcome | undefined> {
  if (request.kind === 'power-on') {
    if (!source.isRunning) source.startCount += 1;
    source.isRunning = true;
    return { kind: 'running' };
  }
  if (request.kind !== 'shutdown') return undefined;
  if (source.manner === 'ignores') return { kind: 'failed', message: 'it did not switch itself off', isRunning: true };
  source.isRunning = false;
  const captureId = randomUUID();
  const sequence = machine.lastPointNumber + 5;
  await addLastPoint(db, machine, { captureId, sequence });
  const digest = (source.manner === 'lies' ? 'b' : 'a').repeat(64);
  const disks = machine.disks.map(({ id }) => ({ diskId: id, position: { epoch: 1, sequence, digest } }));
  return { kind: 'stopped', captureId, how: 'by the power button', changedSinceBytes: 0, disks };
}

async function addLastPoint(
  db: Database,
  machine: MachineRecord,
  last: { captureId: string; sequence: number },
): Promise<void> {
  const position = { epoch: 1, sequence: last.sequence, digest: 'a'.repeat(64) };
  const disks = machine.disks.map(({ id, key, sizeBytes }) => ({ diskId: id, key, sizeBytes, position }));
  const { hardware, id: machineId, name: machineName } = machine;
  const kind = 'crash-consistent' as const;
  const base = { machineId, epoch: 1, kind, takenAtMs: Date.now(), reason: 'last', hardware, disks };
  const { captureId } = last;
  const { id } = await insertPoint(db, { ...base, captureId, pauseMs: 1, changedBytes: 1 });
  const manifest = {
    ...base,
    format: 'lifeboat-point/1' as const,
    vaultId: 'test',
    pointId: id,
    machineName,
    number: machine.lastPointNumber + 1,
    previousDigest: machine.lastManifestDigest,
  };
  await markSealed(db, id, { manifest, digest: manifestDigest(manifest) });
  await movePoint(db, id, { from: 'sealed', to: 'verified' });
  await movePoint(db, id, { from: 'verified', to: 'available' });
}

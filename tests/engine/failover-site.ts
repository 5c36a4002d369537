import { createHash, randomUUID } from 'node:crypto';
import { mkdir, open, readFile } from 'node:fs/promises';
import path from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { createAssignedMachines } from '../../agent/assigned-machines.ts';
import { createChangeSender } from '../../agent/change-sender.ts';
import { runHeartbeats } from '../../agent/heartbeats.ts';
import { createSpoolBudget } from '../../agent/hrl-spool.ts';
import { spoolRoom } from '../../agent/spool-room.ts';
import { openQemuGuestTracker } from '../../agent/tracker/qemu-guest.ts';
import { createSlots, createWakeup } from '../../agent/wakeup.ts';
import { guestCounter, makeGuestDisks } from '../../demo/guest/guest-disk.ts';
import type { RunId } from '../../domain/ids.ts';
import { invariant } from '../../domain/invariant.ts';
import { mebibyte } from '../../domain/units.ts';
import { answerHeartbeat } from '../../engine/api/agent-routes.ts';
import { listGuests } from '../../engine/store/agents.ts';
import { consumeToken, insertToken } from '../../engine/store/enrolment.ts';
import { beatExecutor } from '../../engine/store/executors.ts';
import { enableMachine, findMachineByName, type MachineRecord } from '../../engine/store/machines.ts';
import type { Store } from '../../engine/store/open.ts';
import { listPoints } from '../../engine/store/points.ts';
import { createQemuTarget, type QemuTargetDeps } from '../../engine/target/qemu-target.ts';
import type { Target } from '../../engine/target/target.ts';
import { vaultAnchorFile } from '../../engine/vault-anchor.ts';
import { createApprovedRun } from '../../engine/workflow/approved-run.ts';
import { careForFailovers } from '../../engine/workflow/failover-care.ts';
import type { StepOutcome } from '../../engine/workflow/perform-step.ts';
import { runJob } from '../../engine/workflow/run-job.ts';
import type { AnnouncePointRequest } from '../../protocol/agent-api.ts';
import { startGuest } from '../fixtures/guest-process.ts';
import { keeperOf } from './point-fixture.ts';
import { createSite } from './process-server/replication-site.ts';
import { approvePlan } from './workflow/approve-plan.ts';
import { planFor } from './workflow/failover-bench.ts';

export type FailoverSite = Awaited<ReturnType<typeof startFailoverSite>>;

const hostName = 'host-1';
const noLog = { debug: () => undefined, info: () => undefined, warn: () => undefined, error: () => undefined };

/**
 * One demo guest in QEMU, its agent, a process server, a vault, Postgres, the engine's jobs and a target: all of them the real parts, in
 * this process. Only HTTP between agent and engine is left out.
 */
export async function startFailoverSite(store: Store, options: { readonly ignoresPowerButton?: boolean } = {}) {
  const site = await createSite();
  const folder = path.join(site.folder, 'guest');
  await mkdir(folder);
  const size = { sizeBytes: 8 * mebibyte, filledBytes: mebibyte };
  const disks = await makeGuestDisks({
    ...{ folder, machineName: 'vm-7', disks: [size, size], format: 'raw' },
    ticksPerRound: 1,
  });
  if (options.ignoresPowerButton === true) await ignorePowerButton(disks[0]?.path ?? '');
  const guest = await startGuest(folder, disks);
  const agent = await startAgent(site, store, { socketPath: guest.socketPath, folder });
  const machine = await protectGuest(store);
  const target = realTarget(site.folder, {});
  await agent.points.firstAvailable(machine.id);
  return {
    ...{ site, guest, agent, machine, target, disks },
    targetWith: (changes: Partial<QemuTargetDeps>) => realTarget(site.folder, changes),
    machineNow: async () => (await store.read((db) => findMachineByName(db, 'vm-7'))) ?? machine,
    /** Approves and carries out a planned failover; resolves with the run's id when it has ended. */
    async failOver(at: Target = target, limits: { readonly shutdownLimitMs?: number } = {}): Promise<RunId> {
      const now = await store.read((db) => findMachineByName(db, 'vm-7'));
      const plan = { ...planFor(now ?? machine), ...limits };
      const created = await store.write(async (db) =>
        createApprovedRun(db, { approvalId: await approvePlan(db, plan), plan, requestedBy: 'ana' }),
      );
      invariant(created.kind === 'created', 'nothing else is at work');
      const executorId = `engine ${randomUUID()}`;
      await store.write((db) => beatExecutor(db, executorId));
      const deps = { store, target: at, vault: site.vault, executorId, boundary: () => undefined, log: noLog };
      const memory = new Map<string, StepOutcome>();
      await runJob({ ...deps, onFenced: () => undefined }, created.runId, async (name, work) => {
        const outcome = memory.get(name) ?? (await work());
        memory.set(name, outcome);
        return outcome;
      });
      return created.runId;
    },
    care: () => careForFailovers({ store, target, log: noLog }),
    /** The counter that the source wrote last, from its disk. */
    sourceCounter: async () => {
      const image = await readFile(disks[0]?.path ?? '');
      return guestCounter(image.subarray(2048 * 512, 2048 * 512 + 512));
    },
    async close() {
      await agent.stop();
      await guest.stop('kill');
      await site.close();
    },
  };
}

/** Takes out the instruction that makes the power button visible to the guest: an operating system that does not know ACPI. */
async function ignorePowerButton(diskPath: string): Promise<void> {
  const file = await open(diskPath, 'r+');
  const { buffer } = await file.read(Buffer.alloc(4096), 0, 4096, 0);
  // mov dx, 0x602; mov ax, 0x100; out dx, ax
  const enabling = Buffer.from([0xba, 0x02, 0x06, 0xb8, 0x00, 0x01, 0xef]);
  const at = buffer.indexOf(enabling);
  invariant(at > 0, 'the guest enables the button');
  await file.write(Buffer.from([0x90]), 0, 1, at + enabling.length - 1);
  await file.close();
}

type Site = Awaited<ReturnType<typeof createSite>>;

async function startAgent(site: Site, store: Store, where: { socketPath: string; folder: string }) {
  const identity = await site.newAgent();
  const { agentId } = identity;
  await enrol(store, agentId);
  const { url } = await site.startProcessServer();
  const tracker = openQemuGuestTracker({
    ...{ socketPath: where.socketPath, trackingId: 'vm-7', workFolder: where.folder, connectTimeoutMs: 2000 },
  });
  const keeper = keeperOf({
    store,
    vault: site.vault,
    anchors: vaultAnchorFile(path.join(site.folder, 'anchors.json')),
  });
  const stopping = new AbortController();
  const wakeup = createWakeup(stopping.signal);
  const clock = { nowMs: Date.now, monotonicMs: () => performance.now(), random: Math.random };
  const sender = createChangeSender({
    ...clock,
    processServers: () => [url],
    identity: () => identity,
    delay: (ms, signal) => delay(ms, undefined, { signal }),
    tryForMs: 5000,
  });
  const announcePoint = async (point: AnnouncePointRequest) => {
    const outcome = await keeper.announce(agentId, point);
    return outcome.kind === 'announced' ? outcome : { kind: outcome.kind, message: outcome.message };
  };
  const machines = createAssignedMachines({
    ...{ ...clock, sender, announcePoint, stateFolder: path.join(site.folder, 'agent'), log: noLog },
    discovery: { trackerOf: () => tracker },
    spoolBudget: createSpoolBudget(1 << 28),
    engineClockOffsetMs: () => 0,
    scanSlots: createSlots(1),
    onBoundary: () => undefined,
    onNews: () => wakeup.wake(),
  });
  const deps = { store, heartbeatEveryMs: 100, processServers: [url], grantKey: site.grantKey };
  const beats = runHeartbeats({
    ...{ ...clock, machines, wakeup, log: noLog, signal: stopping.signal, onAnswer: () => undefined },
    about: { instanceId: randomUUID(), agentVersion: 'test', hostName, siteName: 'main' },
    spool: () => spoolRoom(createSpoolBudget(1 << 28), site.folder),
    guests: async () => {
      const [tracking, disks, hardware] = await Promise.all([tracker.describe(), tracker.disks(), tracker.hardware()]);
      return [{ name: 'vm-7', kind: tracker.kind, tracking, disks: [...disks], hardware }];
    },
    client: {
      async heartbeat(beat) {
        const reply = await answerHeartbeat(deps, { agentId }, beat);
        return reply.kind === 'answer'
          ? { kind: 'answered', answer: reply.body }
          : { kind: 'refused', message: 'refused' };
      },
    },
  });
  return {
    ...{ identity, url, sender, announcePoint, machines },
    points: {
      firstAvailable: (machineId: string) => newerPoint(store, machineId, 0),
      newerThan: (machineId: string, atMs: number) => newerPoint(store, machineId, atMs),
    },
    async stop() {
      stopping.abort();
      await beats;
      await machines.stop();
      await Promise.all([sender.close(), tracker.close(), keeper.close()]);
    },
  };
}

async function enrol(store: Store, agentId: MachineRecord['agentId'] & string): Promise<void> {
  const tokenHash = createHash('sha256').update(agentId).digest('hex');
  await store.write(async (db) => {
    await insertToken(db, { tokenHash, hostName, createdBy: 'ana', lifeMs: 60_000 });
    const certificate = { certificateFingerprint: tokenHash, certificateExpiresAtMs: Date.now() + 600_000 };
    const outcome = await consumeToken(db, { tokenHash, hostName, agentId, ...certificate });
    invariant(outcome.kind === 'consumed', 'a fresh token is good');
  });
}

/** Once the agent has reported its guest. */
async function protectGuest(store: Store): Promise<MachineRecord> {
  for (const until = Date.now() + 60_000; Date.now() < until; await delay(20)) {
    const [guest] = await store.read(listGuests);
    if (guest === undefined) continue;
    await store.write((db) => db.execute(`update replication_policies set crash_consistent_every_ms = 1000`));
    await store.write((db) => enableMachine(db, { guest, policyName: 'default', enabledBy: 'ana' }));
    const machine = await store.read((db) => findMachineByName(db, 'vm-7'));
    if (machine !== undefined) return machine;
  }
  throw new Error('the agent did not report its guest');
}

async function newerPoint(store: Store, machineId: string, atMs: number): Promise<void> {
  for (const until = Date.now() + 60_000; Date.now() < until; await delay(20)) {
    const points = await store.read((db) => listPoints(db, machineId as MachineRecord['id']));
    if (points.some((point) => point.state === 'available' && point.takenAtMs > atMs)) return;
  }
  throw new Error('no recovery point came');
}

function realTarget(siteFolder: string, changes: Partial<QemuTargetDeps>): Target {
  const main = path.join(import.meta.dirname, '../../engine/target/recovery-disk-main.ts');
  const location = { kind: 'directory', folder: path.join(siteFolder, 'vault') };
  return createQemuTarget({
    stateFolder: path.join(siteFolder, 'target'),
    hostLimits: { memoryBytes: 256 * mebibyte, cpuCount: 1 },
    diskServer: { command: [process.execPath, main], vault: { location, keysFolder: path.join(siteFolder, 'keys') } },
    openDisk: () => Promise.reject(new Error('nothing is read here without booting')),
    ...changes,
  });
}

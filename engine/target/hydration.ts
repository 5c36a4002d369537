import { z } from 'zod';
import { describeCauses, OutageError } from '../../domain/outage.ts';
import { connectQmp, type QmpConnection, QmpError } from '../../protocol/qmp.ts';
import type { DrillFolder } from './drill-folder.ts';
import { overlayNode, servedNode } from './machine-arguments.ts';
import type { DrillPlan } from './target.ts';

/** What filling a failed-over machine's disks needs of the target. Each does nothing when it is so already. */
export type HydrationDeps = {
  readonly serveDisks: (plan: DrillPlan) => Promise<void>;
  readonly stopServing: (plan: DrillPlan) => Promise<void>;
  readonly isRunning: (plan: DrillPlan) => Promise<boolean>;
  /** Of a machine that does not run: which of its disks still need the vault. */
  readonly backedDisks: (plan: DrillPlan) => Promise<readonly boolean[]>;
  readonly startMachine: (plan: DrillPlan) => Promise<unknown>;
};

const connectLimitMs = 10_000;
/** Taking a backing image out waits for the guest's requests under way. */
const commandLimitMs = 30_000;

const nodes = z.array(z.object({ 'node-name': z.string(), backing_file_depth: z.number() }));
const jobs = z.array(z.object({ device: z.string() }));

/**
 * One pass of filling: QEMU itself copies what is still in the vault (`block-stream`) while the machine runs. QEMU keeps no account of it
 * between processes, and needs none: what a disk has already is not copied again. Source: REPLICATION 3d
 */
export async function fillDisks(
  plan: DrillPlan,
  paths: DrillFolder,
  deps: HydrationDeps,
): Promise<'filling' | 'local'> {
  if (!(await deps.isRunning(plan))) {
    // It died, or its host did. Its disks are durable: it starts as after a power cut.
    if ((await deps.backedDisks(plan)).includes(true)) await deps.serveDisks(plan);
    await deps.startMachine(plan);
  }
  const qmp = await connectQmp(paths.qmpSocket, { timeoutMs: connectLimitMs });
  try {
    const backed = await backedNodes(qmp, plan);
    if (backed.length > 0) {
      await deps.serveDisks(plan);
      await startCopying(qmp, backed);
      return 'filling';
    }
    await letGoOfServed(qmp, plan);
  } finally {
    qmp.close();
  }
  await deps.stopServing(plan);
  return 'local';
}

/** The disks that still have blocks elsewhere, as the running QEMU knows it. */
async function backedNodes(qmp: QmpConnection, plan: DrillPlan): Promise<number[]> {
  // Not flat: QEMU counts the depth only then.
  const found = nodes.parse(await qmp.execute('query-named-block-nodes', { flat: false }));
  return [...plan.disks.keys()].filter((index) => {
    const node = found.find((each) => each['node-name'] === overlayNode(index));
    if (node !== undefined) return node.backing_file_depth > 0;
    throw new OutageError(`fill the disks of ${plan.machineName}: its QEMU has no node ${overlayNode(index)}`, {
      retryable: false,
      nextStep: 'Somebody changed the disks of the running machine. Look at it with QMP before anything else.',
    });
  });
}

async function startCopying(qmp: QmpConnection, backed: readonly number[]): Promise<void> {
  const running = jobs.parse(await qmp.execute('query-block-jobs')).map((job) => job.device);
  for (const index of backed) {
    const jobId = `fill${index}`;
    if (running.includes(jobId)) continue;
    // A read that fails ends the job, not the guest; the next pass starts it again.
    await qmp.execute('block-stream', { 'job-id': jobId, device: overlayNode(index), 'on-error': 'report' });
  }
}

/** Nothing reads the served disks any more: without this QEMU would go on trying to reach their server. */
async function letGoOfServed(qmp: QmpConnection, plan: DrillPlan): Promise<void> {
  const found = nodes.parse(await qmp.execute('query-named-block-nodes', { flat: true }));
  for (const index of plan.disks.keys()) {
    const name = servedNode(index);
    if (!found.some((node) => node['node-name'] === name)) continue;
    try {
      await qmp.execute('blockdev-del', { 'node-name': name }, { timeoutMs: commandLimitMs });
    } catch (cause) {
      if (!(cause instanceof QmpError)) throw cause;
      throw new OutageError(`let go of ${name}: ${describeCauses(cause)}`, { cause, retryable: true });
    }
  }
}

import cron from 'node-cron';
import { dayMs, formatDuration, minuteMs } from '../domain/units.ts';
import { type AlertingDeps, alertingDuties } from './alerting/duties.ts';
import type { Workflow } from './api/deps.ts';
import { type AuditAnchors, anchorAudit } from './audit-anchor.ts';
import { type ExpiryDeps, expirePoints } from './point-expiry.ts';
import type { PointKeeper } from './recovery-points.ts';
import { linkAudit } from './store/audit.ts';
import { deleteOldAnswers } from './store/command-answers.ts';
import { dueDrills } from './store/drills.ts';
import { appendEvent, deleteOldEvents, hasEvent } from './store/events.ts';
import { endOverduePauses, findMachine } from './store/machines.ts';
import type { Store } from './store/open.ts';
import { removeOldPictures } from './target/old-pictures.ts';

export type ScheduleDeps = ExpiryDeps & {
  readonly vault: AuditAnchors;
  readonly points: PointKeeper;
  readonly workflow: Pick<Workflow, 'startCleanup'>;
  /** Ends approvals whose time is over, and begins those whose time has come. */
  readonly settleApprovals: () => Promise<void>;
  /** Ends approvals of which something has changed since they were asked for. */
  readonly recheckApprovals: () => Promise<void>;
  /** What the job engine keeps of jobs that ended long ago. */
  readonly removeOldJobs: () => Promise<unknown>;
  readonly stateFolder: string;
  readonly alerting: Omit<AlertingDeps, 'store'>;
  /** Told when a duty fails; it is done again at its next time. */
  readonly onTrouble: (error: unknown, duty: string) => void;
};

export type Duty = {
  readonly name: string;
  readonly when: string;
  readonly work: () => Promise<unknown>;
  /** Left out: on one engine at a time. */
  readonly isOnEveryEngine?: boolean;
};

const eventRetentionMs = 30 * dayMs;
const answerRetentionMs = 2 * dayMs;
/** A cleanup that failed is started again after this time. */
const cleanupAgainMs = 5 * minuteMs;

/** Does what is due at its time, on one engine at a time, until it is stopped. */
export function startSchedule(deps: ScheduleDeps): { stop(): Promise<void> } {
  const atWork = new Set<Promise<void>>();
  const tasks = dutiesOf(deps).map((duty) =>
    cron.schedule(
      duty.when,
      () => {
        const work = perform(deps, duty).finally(() => atWork.delete(work));
        atWork.add(work);
        return work;
      },
      { name: duty.name, noOverlap: true },
    ),
  );
  return {
    async stop() {
      await Promise.all(tasks.map((task) => task.destroy()));
      await Promise.all(atWork);
    },
  };
}

function dutiesOf(deps: ScheduleDeps): Duty[] {
  const told = new Set<string>();
  return [
    { name: 'points', when: '*/5 * * * * *', work: () => deps.points.continueAll() },
    { name: 'drills', when: '*/5 * * * * *', work: () => endDueDrills(deps) },
    { name: 'approvals', when: '*/5 * * * * *', work: () => deps.settleApprovals() },
    { name: 'open approvals', when: '12,42 * * * * *', work: () => deps.recheckApprovals() },
    { name: 'pauses', when: '*/5 * * * * *', work: () => endPauses(deps.store) },
    ...alertingDuties({ ...deps.alerting, store: deps.store }),
    { name: 'expiry', when: '30 * * * * *', work: () => expirePoints(deps) },
    { name: 'audit chain', when: '*/5 * * * * *', work: () => deps.store.read(linkAudit) },
    {
      name: 'audit anchor',
      when: '20 */10 * * * *',
      work: () => anchorAudit({ store: deps.store, auditAnchors: deps.vault, told }),
    },
    { name: 'old jobs', when: '0 41 * * * *', work: deps.removeOldJobs },
    // Each engine has a folder of its own.
    {
      name: 'old pictures',
      when: '0 47 * * * *',
      work: () => removeOldPictures(deps.stateFolder, Date.now()),
      isOnEveryEngine: true,
    },
    { name: 'old records', when: '0 17 * * * *', work: () => deleteOldRecords(deps.store) },
  ];
}

async function perform(deps: ScheduleDeps, duty: Duty): Promise<void> {
  try {
    if (duty.isOnEveryEngine === true) await duty.work();
    else await deps.store.alone(`schedule: ${duty.name}`, duty.work);
  } catch (error) {
    deps.onTrouble(error, duty.name);
  }
}

/** Starts the cleanup of every drill whose time is over, and says so. Source: RELIABILITY I11 */
export async function endDueDrills(deps: Pick<ScheduleDeps, 'store' | 'workflow'>): Promise<void> {
  for (const drill of await deps.store.read(dueDrills)) {
    const machine = await deps.store.read((db) => findMachine(db, drill.machineId));
    if (machine === undefined) continue;
    const after = formatDuration(drill.expiresAtMs - drill.startedAtMs);
    const attempt = Math.floor(((await deps.store.nowMs()) - drill.expiresAtMs) / cleanupAgainMs);
    const outcome = await deps.workflow.startCleanup({
      machineName: machine.name,
      note: `expired after ${after}`,
      requestedBy: 'schedule',
      idempotencyKey: `expired ${drill.id} ${attempt}`,
    });
    const expired = `The test failover of ${machine.name} expired after ${after}`;
    const text =
      outcome.kind === 'started'
        ? `${expired}; ${drill.vmName} is being removed.`
        : `${expired}, but its cleanup did not start: ${outcome.message}`;
    await deps.store.write(async (db) => {
      if (await hasEvent(db, 'drill-expired', drill.runId)) return;
      await appendEvent(db, { kind: 'drill-expired', machineName: machine.name, runId: drill.runId, text });
    });
  }
}

/** Ends the pauses whose time is over, and says so. */
export async function endPauses(store: Store): Promise<void> {
  await store.write(async (db) => {
    for (const machineName of await endOverduePauses(db)) {
      await appendEvent(db, {
        kind: 'resumed',
        machineName,
        text: `The pause of ${machineName} is over; replication goes on.`,
      });
    }
  });
}

async function deleteOldRecords(store: Store): Promise<void> {
  await store.write((db) => deleteOldEvents(db, eventRetentionMs));
  await store.write((db) => deleteOldAnswers(db, answerRetentionMs));
}

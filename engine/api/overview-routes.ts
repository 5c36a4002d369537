import { hourMs, minuteMs } from '../../domain/units.ts';
import { consoleRoutes, type OverviewView, overviewView } from '../../protocol/console-api.ts';
import { currentApprovalViews } from '../approvals/approval-view.ts';
import { listGuestBriefs, listHostViews } from '../store/agents.ts';
import { openAlertViews } from '../store/alerts.ts';
import { listSurfaces } from '../store/chat-places.ts';
import { type Database, databaseNowMs } from '../store/database.ts';
import { newestEventNumber } from '../store/events.ts';
import { availableCounts } from '../store/points.ts';
import { currentRunViews } from '../store/runs.ts';
import type { ApiDeps } from './deps.ts';
import { listMachineViews } from './machine-views.ts';
import { answer } from './reply.ts';
import type { Router } from './route.ts';

const newestRunsCount = 50;
/** What was decided stays in sight for so long. */
const endedApprovalsForMs = hourMs;

/** Counting takes at most one part in so many of the time. */
const countingShare = 20;
const countsKeptMsMax = minuteMs;

/** The whole site in one look, for the console. Source: A4, A6, A12 */
export function addOverviewRoutes(router: Router, deps: ApiDeps): void {
  const sources = { ...deps, countPoints: pointCounter(() => performance.now()) };
  router.add({
    method: 'GET',
    access: 'looker',
    needs: 'look',
    url: consoleRoutes.overview,
    summary: 'The whole site at a glance',
    answer: overviewView,
    handle: async () => answer(await deps.store.read((db) => lookAtSite(db, sources))),
  });
}

/**
 * Counts the available points, and keeps the counts for some time: the more points there are, the longer. Of a few thousand points they
 * are never older than a moment, and of millions never older than a minute.
 */
export function pointCounter(clockMs: () => number): OverviewDeps['countPoints'] {
  let kept: ReadonlyMap<string, number> = new Map();
  let keptUntilMs = Number.NEGATIVE_INFINITY;
  return async (db) => {
    const startedAtMs = clockMs();
    if (startedAtMs < keptUntilMs) return kept;
    kept = await availableCounts(db);
    const tookMs = clockMs() - startedAtMs;
    keptUntilMs = clockMs() + Math.min(countsKeptMsMax, tookMs * countingShare);
    return kept;
  };
}

export type OverviewDeps = {
  readonly store: Pick<ApiDeps['store'], 'version'>;
  readonly heartbeatEveryMs: number;
  readonly versions: ApiDeps['versions'];
  /** By machine. */
  readonly countPoints: (db: Database) => Promise<ReadonlyMap<string, number>>;
};

/** Everything that the console's first page shows; the number of statements does not grow with the site. */
export async function lookAtSite(db: Database, deps: OverviewDeps): Promise<OverviewView> {
  // First: what is read after it holds everything up to that event, and perhaps more.
  const eventNumber = await newestEventNumber(db);
  const atMs = await databaseNowMs(db);
  const guests = await listGuestBriefs(db);
  return {
    atMs,
    hosts: await listHostViews(db, guests),
    machines: await listMachineViews(db, deps.heartbeatEveryMs, { guests, counts: await deps.countPoints(db) }),
    runs: await currentRunViews(db, newestRunsCount),
    approvals: await currentApprovalViews(db, endedApprovalsForMs),
    alerts: await openAlertViews(db),
    surfaces: await listSurfaces(db),
    versions: { ...deps.versions, node: process.version, postgres: deps.store.version },
    eventNumber,
  };
}

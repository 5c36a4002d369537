import type { z } from 'zod';
import { type DrillSummary, summariseRuns } from '../../domain/drill-report.ts';
import { dayMs } from '../../domain/units.ts';
import type { ApprovalView } from '../../protocol/chat-api.ts';
import { consoleRoutes, type ReportView, reportQuery, reportView } from '../../protocol/console-api.ts';
import { approvalViewsOfIds, approvalViewsOfRuns } from '../approvals/approval-view.ts';
import { checkAuditTrail } from '../audit-anchor.ts';
import { type Database, databaseNowMs } from '../store/database.ts';
import {
  failoversNotRun,
  lagLimits,
  type ReportPeriod,
  type RunEntry,
  reportedMachines,
  reportedRuns,
  reportedRunViews,
} from '../store/report-runs.ts';
import { anchorToCompare } from './audit-routes.ts';
import type { ApiDeps } from './deps.ts';
import { findByName } from './find-machine.ts';
import { findPicture } from './query-routes.ts';
import { answer, type Refusal, type Reply, refuse } from './reply.ts';
import type { Router } from './route.ts';

const periodDaysMax = 400;
const shownRunsMax = 500;
const shownRequestsMax = 200;
/** A thousand machines, each drilled every other day for half a year. */
const summedRunsMax = 100_000;
/** What a database can keep, and a person can mean. */
const latestMs = Date.UTC(9999, 0);

type Query = z.output<typeof reportQuery>;

/** What drills and failovers have proved in a period, for those who ask for proof. Source: A12, issue 4 */
export function addReportRoutes(router: Router, deps: ApiDeps): void {
  router.add({
    method: 'GET',
    access: 'person',
    needs: 'audit',
    url: consoleRoutes.report,
    summary: 'Drills and failovers of a period, of one machine or of all, with what was measured',
    query: reportQuery,
    answer: reportView,
    handle: ({ query, caller }) => reportReply(deps, query, caller.name),
  });
}

async function reportReply(deps: ApiDeps, query: Query, madeBy: string): Promise<Reply<ReportView>> {
  const wrong = refusePeriod(query);
  if (wrong !== undefined) return wrong;
  const { fromMs, toMs } = query;
  const anchor = await anchorToCompare(deps);
  const written = await deps.store.read(async (db) => {
    const machineName = await machineOf(db, query.machine);
    if (typeof machineName === 'object') return machineName;
    const found = await readRuns(db, { machineName, fromMs, toMs });
    if (found.kind === 'refusal') return found;
    const { head, problem } = await checkAuditTrail(db, anchor);
    const audit = { headDigest: head.digest, headNumber: head.number, isChainWhole: problem === undefined };
    const madeAtMs = await databaseNowMs(db);
    return { ...found, head: { machineName: machineName ?? null, fromMs, toMs, madeAtMs, madeBy }, audit };
  });
  if (written.kind === 'refusal') return written;
  const { head, summary, audit, approvals } = written;
  const shown = written.runs.slice(0, shownRunsMax);
  const pictures = await Promise.all(shown.map(({ run }) => findPicture(deps.stateFolder, run.result?.consolePicture)));
  const runs = shown.map((entry, index) => ({
    ...entry,
    approval: approvals.get(entry.run.id) ?? null,
    hasPicture: pictures[index] !== undefined,
  }));
  const machinesWithoutDrill = [...summary.machinesWithoutDrill];
  return answer({
    ...head,
    summary: { ...summary, machinesWithoutDrill },
    runs,
    isCut: written.runs.length > shownRunsMax,
    lagLimits: [...written.limits],
    requests: written.requests.slice(0, shownRequestsMax),
    areRequestsCut: written.requests.length > shownRequestsMax,
    audit,
  });
}

function refusePeriod({ fromMs, toMs }: Query): Refusal | undefined {
  if (fromMs >= toMs) return refuse('bad-request', 'A report needs a period: its end must be after its beginning.');
  if (toMs > latestMs) return refuse('bad-request', 'The end of the period is too far away.');
  if (toMs - fromMs <= periodDaysMax * dayMs) return undefined;
  return refuse('bad-request', `A report spans at most ${periodDaysMax} days.`, { nextStep: 'Make two of them.' });
}

/** The machine's name, undefined for all of them. */
async function machineOf(db: Database, typed: string | undefined): Promise<string | undefined | Refusal> {
  if (typed === undefined || typed === '') return undefined;
  const found = await findByName(db, typed);
  if (found.kind === 'refusal') return found;
  if (found.kind === 'machine') return found.machine.name;
  return refuse('refused', `${found.guest.name} is not protected: there is nothing to report.`);
}

type Found = {
  readonly kind: 'found';
  readonly summary: DrillSummary;
  /** One more than is shown, when there are more. */
  readonly runs: readonly RunEntry[];
  readonly approvals: Awaited<ReturnType<typeof approvalViewsOfRuns>>;
  readonly limits: ReportView['lagLimits'];
  /** One more than is shown, when there are more. */
  readonly requests: readonly ApprovalView[];
};

async function readRuns(db: Database, period: ReportPeriod): Promise<Found | Refusal> {
  const summed = await reportedRuns(db, period, summedRunsMax + 1);
  if (summed.length > summedRunsMax) {
    return refuse('refused', `There are more than ${summedRunsMax} runs in this period.`, {
      nextStep: 'Choose a shorter one, or one machine.',
    });
  }
  const runs = await reportedRunViews(db, period, shownRunsMax + 1);
  return {
    kind: 'found',
    summary: summariseRuns(summed, await reportedMachines(db, period.machineName)),
    runs,
    limits: await lagLimits(db, [...new Set(runs.map(({ run }) => run.machineName))]),
    approvals: await approvalViewsOfRuns(
      db,
      runs.map(({ run }) => run.id),
    ),
    requests: await approvalViewsOfIds(db, await failoversNotRun(db, period, shownRequestsMax + 1)),
  };
}

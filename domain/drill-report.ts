import { medianOf } from './measured-times.ts';

/** A test failover or planned failover that began in the period of a report. */
export type ReportedRun = {
  readonly machineName: string;
  readonly kind: 'test-failover' | 'planned-failover';
  readonly state: 'active' | 'succeeded' | 'failed';
  /** Its guest was seen up. */
  readonly isVerified: boolean;
  /** A drill from an older point than the newest that could be started then: its age tells nothing of what would have been lost. */
  readonly isFromChosenPoint: boolean;
  /** `unreviewed`, `reviewed`: it ran without an approver. */
  readonly breakGlass: 'none' | 'unreviewed' | 'reviewed';
  /** Of the data: the point's age when a drill began; what a failover has lost. Null when it has not succeeded. */
  readonly rpoMs: number | null;
  /** From the order to the verdict about the guest. Null when it has not succeeded. */
  readonly rtoMs: number | null;
};

export type ReportedMachine = { readonly name: string; readonly isProtected: boolean };

export type Spread = { readonly medianMs: number; readonly worstMs: number };

/** What the runs of one kind have measured; null when none of them has. */
export type RunTimes = { readonly rpoMs: Spread | null; readonly rtoMs: Spread | null };

export type DrillSummary = {
  readonly machineCount: number;
  readonly drillCount: number;
  readonly verifiedDrillCount: number;
  readonly failoverCount: number;
  readonly failedRunCount: number;
  /** Drills that succeeded and are in no `rpoMs`. */
  readonly chosenPointDrillCount: number;
  readonly breakGlassCount: number;
  readonly unreviewedBreakGlassCount: number;
  readonly machinesWithoutDrill: readonly string[];
  /** Of drills the RPO is what would have been lost: the age of the point. */
  readonly drillTimes: RunTimes;
  /** Of failovers it is what was lost. */
  readonly failoverTimes: RunTimes;
  /** Both together, for consoles that know no other; two different things. */
  readonly rpoMs: Spread | null;
  readonly rtoMs: Spread | null;
};

/**
 * What the runs of a period prove. Runs that are still at work are counted, and measure nothing yet. A guest that was never seen up has no
 * recovery time: it says only when the wait was given up. A drill from a chosen point has no data loss: a real failover takes the newest.
 *
 * @param machines those that the report is about; machines of the runs are counted too, also when they are not protected any more
 * Source: A12, issue 4
 */
export function summariseRuns(runs: readonly ReportedRun[], machines: readonly ReportedMachine[]): DrillSummary {
  const isDrill = (run: ReportedRun) => run.kind === 'test-failover';
  const succeeded = runs.filter((run) => run.state === 'succeeded');
  const drills = runs.filter(isDrill);
  const verifiedDrills = drills.filter((run) => run.state === 'succeeded' && run.isVerified);
  const proven = new Set(verifiedDrills.map((run) => run.machineName));
  return {
    machineCount: new Set([...machines, ...runs].map(nameOf)).size,
    drillCount: drills.length,
    verifiedDrillCount: verifiedDrills.length,
    failoverCount: runs.length - drills.length,
    failedRunCount: runs.filter((run) => run.state === 'failed').length,
    chosenPointDrillCount: succeeded.filter((run) => run.isFromChosenPoint).length,
    breakGlassCount: runs.filter((run) => run.breakGlass !== 'none').length,
    unreviewedBreakGlassCount: runs.filter((run) => run.breakGlass === 'unreviewed').length,
    machinesWithoutDrill: machines
      .filter(({ name, isProtected }) => isProtected && !proven.has(name))
      .map(({ name }) => name)
      .sort(),
    drillTimes: timesOf(succeeded.filter(isDrill)),
    failoverTimes: timesOf(succeeded.filter((run) => !isDrill(run))),
    ...timesOf(succeeded),
  };
}

function timesOf(succeeded: readonly ReportedRun[]): RunTimes {
  return {
    rpoMs: spreadOf(succeeded.filter((run) => !run.isFromChosenPoint).map((run) => run.rpoMs)),
    rtoMs: spreadOf(succeeded.filter((run) => run.isVerified).map((run) => run.rtoMs)),
  };
}

function nameOf(one: ReportedMachine | ReportedRun): string {
  return 'name' in one ? one.name : one.machineName;
}

function spreadOf(values: readonly (number | null)[]): Spread | null {
  const known = values.filter((value) => value !== null);
  const medianMs = medianOf(known);
  return medianMs === undefined ? null : { medianMs, worstMs: Math.round(known.reduce((a, b) => Math.max(a, b))) };
}

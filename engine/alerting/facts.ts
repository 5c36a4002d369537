import type { AlertFacts, CredentialFacts, HostFacts, MachineFacts, ProbeFacts } from '../../domain/alert-facts.ts';
import { thresholdsOfPolicy } from '../../domain/alert-threshold.ts';
import { silentHeartbeatsMax } from '../../domain/replication-health.ts';
import { type MachineWithHealth, machinesWithHealth } from '../health.ts';
import { auditProblem } from '../store/alert-audit.ts';
import { listBotCredentials } from '../store/alert-credentials.ts';
import {
  type HostSilence,
  hostSilences,
  machinesBeingCompared,
  machinesInFailover,
  openDrillAges,
} from '../store/alert-facts.ts';
import type { Look } from '../store/alert-watches.ts';
import { overdueReviews } from '../store/approvals.ts';
import type { Database } from '../store/database.ts';
import { deadPlaces, waitingMessages } from '../store/deliveries.ts';
import { ownThresholds } from '../store/thresholds.ts';

const deadPlacesWithinMs = 24 * 3_600_000;

export type FactSources = {
  readonly heartbeatEveryMs: number;
  readonly processServers: readonly string[];
  /** Certificates of our own that no table knows; undefined while they have not been looked at. */
  readonly ownCredentials: () => readonly CredentialFacts[] | undefined;
  readonly probes: () => ProbeFacts;
};

type MachineTables = Awaited<ReturnType<typeof readMachines>>;

async function readMachines(db: Database, heartbeatEveryMs: number) {
  return {
    machines: await machinesWithHealth(db, heartbeatEveryMs),
    hosts: await hostSilences(db),
    thresholds: await ownThresholds(db),
    compared: await machinesBeingCompared(db),
    failovers: await machinesInFailover(db),
  };
}

/** What is known before a look begins. */
export type GatheredFacts = Omit<AlertFacts, 'nowMs' | 'resumedAtMs' | 'queuedBytes'> & {
  readonly queuedBytes: number;
};

/** Reads everything that alerts are decided from. Source: CHAT 5.3 */
export async function gatherFacts(db: Database, sources: FactSources): Promise<GatheredFacts> {
  const { heartbeatEveryMs } = sources;
  const tables = await readMachines(db, heartbeatEveryMs);
  const processServer = sources.processServers.length === 1 ? sources.processServers[0] : undefined;
  const machines = tables.machines.map((one) => machineFacts(one, tables, processServer));
  const reviews = await overdueReviews(db);
  const own = sources.ownCredentials();
  return {
    heartbeatEveryMs,
    machines,
    hosts: tables.hosts.map((host) => hostFacts(host, tables)),
    drills: await openDrillAges(db),
    messages: {
      dead: (await deadPlaces(db, deadPlacesWithinMs)).map(({ place, count, lastError }) => ({
        place: `${place.surface} ${place.place}`,
        count,
        lastError,
      })),
      waiting: (await waitingMessages(db)).map(({ surface, tenant, ...rest }) => ({
        surface: `${surface} (${tenant})`,
        ...rest,
      })),
    },
    reviews: reviews.map(({ id, machineName, requestedBy, dueAtMs }) => ({
      approvalId: id,
      machineName,
      requestedBy,
      dueAtMs,
    })),
    credentials: own && [...tables.hosts.map(agentCredential), ...(await listBotCredentials(db)), ...own],
    auditProblem: await auditProblem(db),
    probes: sources.probes(),
    queuedBytes: queuedBytes(tables, heartbeatEveryMs),
  };
}

export function factsOfLook(gathered: GatheredFacts, look: Look): AlertFacts {
  const { nowMs, resumedAtMs } = look;
  return {
    ...gathered,
    nowMs,
    resumedAtMs,
    queuedBytes: { now: gathered.queuedBytes, before: look.queuedBytesBefore },
  };
}

function machineFacts(
  { machine, agent, lagMs }: MachineWithHealth,
  tables: MachineTables,
  processServer: string | undefined,
): MachineFacts {
  const failing = machine.report?.activity.kind === 'failing' ? machine.report.activity.message : undefined;
  const { runningAlthoughHeldAtMs: seenAtMs } = machine;
  return {
    name: machine.name,
    host: agent?.hostName,
    processServer,
    protection: machine.protection.kind,
    lagMs,
    thresholds: tables.thresholds.get(machine.id) ?? thresholdsOfPolicy(machine.policy),
    resyncRequired: machine.resyncRequired ?? undefined,
    isResyncAsked: tables.compared.has(machine.id),
    failing,
    mutedWhy: mutedWhy({ machine }, tables),
    runningAlthoughHeldAtMs: machine.isHeld && seenAtMs !== null ? seenAtMs : undefined,
  };
}

function mutedWhy({ machine }: Pick<MachineWithHealth, 'machine'>, tables: MachineTables): string | undefined {
  const runId = tables.failovers.get(machine.id);
  if (runId !== undefined) return `its planned failover ${runId} is under way.`;
  if (machine.replication.kind === 'running') return undefined;
  const until = `${new Date(machine.replication.untilMs).toISOString().slice(0, 16).replace('T', ' ')}Z`;
  return `its replication is paused until ${until} (${machine.replication.reason}).`;
}

function hostFacts(host: HostSilence, tables: MachineTables): HostFacts {
  const machineNames = tables.machines
    .filter(({ machine }) => machine.agentId === host.agentId && machine.protection.kind !== 'failed-over')
    .map(({ machine }) => machine.name);
  const { name, silentMs, spool } = host;
  return { name, silentMs, machineNames, spool: spool ?? undefined };
}

function agentCredential(host: HostSilence): CredentialFacts {
  const name = `The certificate of the agent of ${host.name}`;
  return { name, expiresAtMs: host.certificateExpiresAtMs, isRenewedByItself: true };
}

/** What waits at hosts that are heard: of the others nothing is known. */
function queuedBytes(tables: MachineTables, heartbeatEveryMs: number): number {
  const heard = new Set(
    tables.hosts.filter((host) => host.silentMs <= silentHeartbeatsMax * heartbeatEveryMs).map((host) => host.agentId),
  );
  return tables.machines
    .filter(({ machine }) => machine.agentId !== null && heard.has(machine.agentId))
    .reduce((sum, { machine }) => sum + (machine.report?.spoolBytes ?? 0), 0);
}

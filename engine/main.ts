import { join } from 'node:path';
import pino, { type Logger } from 'pino';
import { describeCauses } from '../domain/outage.ts';
import { secondMs } from '../domain/units.ts';
import packageFile from '../package.json' with { type: 'json' };
import { alertingOf } from './alerting-settings.ts';
import type { ApiDeps } from './api/deps.ts';
import { createApi } from './api/server.ts';
import { settleDueApprovals } from './approvals/due.ts';
import { approvalRecheck } from './approvals/recheck.ts';
import { type EngineConfig, readEngineConfig } from './config.ts';
import {
  credentialRenewalMs,
  foldersOf,
  type Installation,
  prepareInstallation,
  writeLocalCredentials,
} from './installation.ts';
import { servedMetrics } from './metrics/served-metrics.ts';
import { verifyStepUp } from './people/authenticator.ts';
import { prepareFirstAdmin } from './people/first-admin.ts';
import { authenticatorKeyOf } from './people/sealed-secret.ts';
import { createPointKeeper } from './recovery-points.ts';
import { startSchedule } from './schedule.ts';
import { consumeToken, insertToken, recordRenewal } from './store/enrolment.ts';
import { openStore, type Store } from './store/open.ts';
import { createDiskCheckTarget } from './target/disk-check-target.ts';
import { createQemuTarget, defaultHostLimits } from './target/qemu-target.ts';
import type { Target } from './target/target.ts';
import { keepServerCertificate } from './tls.ts';
import { vaultAnchorFile } from './vault-anchor.ts';
import { createApprovedRun, startApprovedRun } from './workflow/approved-run.ts';
import { healOpenDrills } from './workflow/drill-healing.ts';
import { type Executor, startExecutor } from './workflow/executor.ts';
import { newExecutorId } from './workflow/executor-id.ts';
import { careForFailovers } from './workflow/failover-care.ts';
import { createJobs } from './workflow/jobs.ts';

const heartbeatEveryMs = 2 * secondMs;
const healEveryMs = 3 * secondMs;
/** A disk's log is folded when so many segments are not needed any more. */
const foldSegmentsMin = 512;

/** Runs the control plane until SIGTERM or SIGINT. */
export async function runEngine(configFile: string): Promise<void> {
  const config = await readEngineConfig(configFile);
  const log = pino({ base: { program: 'engine', pid: process.pid } }, pino.destination({ dest: 2, sync: false }));
  const nowMs = () => Date.now();
  const installation = await prepareInstallation(config, nowMs());
  const store = await openStore({
    connectionString: config.databaseUrl,
    onTrouble: (error) => log.warn(`database: ${describeCauses(error)}`),
  });
  await sayFirstAdmin(store, log);
  const metrics = metricsOf(config, store, log);
  const target = createTarget(config, installation);
  const identity = identityDeps(config, installation, store);
  const executorId = await newExecutorId();
  const steps = { store, target, vault: installation.vault, executorId, boundary: killPoint, log, onFenced };
  const executor = await startExecutor({ ...steps, connectionString: config.databaseUrl });
  const workflow = createJobs({ store, target, boundary: killPoint, executor });
  const approvals = approvalDeps({ target, executor, onStepUp: metrics.stepUp, ...identity });
  const points = createPointKeeper({
    store,
    vault: installation.vault,
    anchors: vaultAnchorFile(foldersOf(config).anchors),
    onTrouble: (error, machineId) => log.warn(`recovery points of ${machineId}: ${describeCauses(error)}`),
  });
  await points.recover();
  const schedule = startSchedule({
    store,
    vault: installation.vault,
    points,
    workflow,
    settleApprovals: () => settleDueApprovals({ store, heartbeatEveryMs, ...approvals }),
    recheckApprovals: approvalRecheck({ store, heartbeatEveryMs, ...approvals }),
    alerting: alertingOf({ config, installation, heartbeatEveryMs, nowMs, log }),
    foldSegmentsMin,
    removeOldJobs: executor.removeOldJobs,
    stateFolder: config.stateFolder,
    onTrouble: (error, duty) => log.warn(`${duty}: ${describeCauses(error)}`),
  });
  const versions = await versionsOf(installation, target);
  const onError = (error: unknown) => log.error(`api: ${describeCauses(error)}`);
  const parts = { store, points, workflow, approvals, versions, nowMs, onError, onAnswered: metrics.answered };
  const { processServers, stateFolder } = config;
  const api = await createApi({ ...parts, ...identity, processServers, stateFolder, heartbeatEveryMs });
  const stopRenewal = renewCredentials({ config, installation, server: api.server, log, nowMs });
  const stopHealing = repeat(
    healEveryMs,
    () => careForFailovers({ store, target, log }).then(() => healOpenDrills({ store, target })),
    (error) => log.warn(`machines at the target: ${describeCauses(error)}`),
  );
  const asked = terminationSignal();
  await metrics.open();
  await api.listen(config.listen);
  log.info(`ready at ${config.url}, vault ${installation.vault.description}`);
  await asked;
  log.info('stopping');
  stopRenewal();
  await stopHealing();
  await api.close();
  await metrics.close();
  await schedule.stop();
  await points.close();
  await executor.stop();
  await store.close();
  await installation.vault.close();
}

function metricsOf({ metrics }: EngineConfig, store: Store, log: Logger) {
  return servedMetrics(metrics, {
    store,
    heartbeatEveryMs,
    version: packageFile.version,
    warn: (message) => log.warn(message),
  });
}

/** Until a first admin is in, each start says how to become it; `npm start` looks for this line. */
async function sayFirstAdmin(store: Store, log: Logger): Promise<void> {
  const { setUpCode } = await prepareFirstAdmin(store);
  if (setUpCode === undefined) return;
  log.info(
    `first admin in chat: type \`/dr link ${setUpCode}\` there (works once, for a day; whoever types it is admin)`,
  );
}

/** Another engine has taken our runs over: not one more effect may come from here. */
function onFenced(): void {
  process.kill(process.pid, 'SIGKILL');
}

/** Fault tests end the process exactly here; see tests/faults. */
function killPoint(name: string): void {
  if (process.env.LIFEBOAT_KILL_AT === name) process.kill(process.pid, 'SIGKILL');
}

function createTarget(config: EngineConfig, installation: Installation): Target {
  const folders = foldersOf(config);
  const { openDisk } = installation.vault;
  if (config.hypervisor === 'none') return createDiskCheckTarget({ stateFolder: folders.target, openDisk });
  return createQemuTarget({
    stateFolder: folders.target,
    diskServer: {
      command: [process.execPath, join(import.meta.dirname, 'target', 'recovery-disk-main.ts')],
      vault: { location: config.vault, keysFolder: folders.keys },
    },
    hostLimits: defaultHostLimits(),
    openDisk,
  });
}

async function versionsOf({ vault }: Installation, target: Target) {
  return { engine: packageFile.version, vault: vault.description, accelerator: await accelerator(target) };
}

async function accelerator(target: Target): Promise<string> {
  try {
    return (await target.describe()).accelerator;
  } catch (error) {
    // Without a hypervisor the engine still replicates; a drill will say what is missing.
    return `none (${describeCauses(error)})`;
  }
}

/** What asking for, deciding about and beginning an approved operation need. */
function approvalDeps(given: {
  readonly target: Target;
  readonly executor: Pick<Executor, 'start'>;
  readonly authenticatorKey: Buffer;
  readonly onStepUp: (outcome: string) => void;
}): ApiDeps['approvals'] {
  return {
    target: given.target,
    createApprovedRun,
    startRun: (runId) => startApprovedRun({ boundary: killPoint, executor: given.executor }, runId),
    verifyStepUp: async (db, proof) => {
      const outcome = await verifyStepUp(given, db, proof);
      given.onStepUp(outcome);
      return outcome;
    },
  };
}

/** Who may do what, and how newcomers become somebody. */
function identityDeps(config: EngineConfig, installation: Installation, store: Store) {
  const { certificateAuthority, serverKey } = installation;
  return {
    enrolment: enrolmentDeps(config, installation, store),
    certificateAuthority,
    serverKey,
    grantKey: signingKeyOf(installation),
    authenticatorKey: authenticatorKeyOf(installation.keys.keyEncryptionKey),
    auditAnchors: installation.vault,
  };
}

function enrolmentDeps(config: EngineConfig, installation: Installation, store: Store) {
  return {
    certificateAuthority: installation.certificateAuthority,
    engineUrl: config.url,
    nowMs: () => Date.now(),
    insertToken: (token: Parameters<typeof insertToken>[1]) => store.write((db) => insertToken(db, token)),
    consumeToken: (use: Parameters<typeof consumeToken>[1]) => store.write((db) => consumeToken(db, use)),
    recordRenewal: (renewal: Parameters<typeof recordRenewal>[1]) => store.write((db) => recordRenewal(db, renewal)),
  };
}

function signingKeyOf(installation: Installation) {
  const { signingKey } = installation.keys;
  if (signingKey === undefined) throw new Error('broken invariant: the engine has the signing key');
  return signingKey;
}

type Renewal = {
  readonly config: EngineConfig;
  readonly installation: Installation;
  readonly server: Parameters<typeof keepServerCertificate>[0]['server'];
  readonly log: Logger;
  readonly nowMs: () => number;
};

/** Certificates live a week; they are renewed long before, without anybody. */
function renewCredentials({ config, installation, server, log, nowMs }: Renewal): () => void {
  const { certificateAuthority, keys, serverKey } = installation;
  const hostNames = [new URL(config.url).hostname];
  const stopServerRenewal = keepServerCertificate({
    server,
    current: serverKey,
    clients: 'if-offered',
    issue: () =>
      certificateAuthority.issueKeyPair({ kind: 'engine', name: config.name }, { nowMs: nowMs(), hostNames }),
    nowMs,
    onFailure: (error) => log.warn(`renewing the engine's certificate: ${describeCauses(error)}`),
  });
  const timer = setInterval(() => {
    writeLocalCredentials(config, { certificateAuthority, keys, nowMs: nowMs() }).catch((error: unknown) =>
      log.warn(`renewing local certificates: ${describeCauses(error)}`),
    );
  }, credentialRenewalMs);
  return () => {
    clearInterval(timer);
    stopServerRenewal();
  };
}

/** Does something again and again, never twice at once. Returns how to stop; it waits for the round that runs. */
function repeat(everyMs: number, work: () => Promise<void>, onTrouble: (error: unknown) => void): () => Promise<void> {
  let running: Promise<void> = Promise.resolve();
  let isBusy = false;
  const timer = setInterval(() => {
    if (isBusy) return;
    isBusy = true;
    running = work()
      .catch(onTrouble)
      .finally(() => {
        isBusy = false;
      });
  }, everyMs);
  return async () => {
    clearInterval(timer);
    await running;
  };
}

function terminationSignal(): Promise<void> {
  return new Promise((resolve) => {
    process.once('SIGTERM', () => resolve());
    process.once('SIGINT', () => resolve());
  });
}

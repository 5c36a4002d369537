import { existsSync, readdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import type { ApiAnswer } from '../bot/api-call.ts';
import { readConnection } from '../bot/connection-file.ts';
import { createEngineClient, type EngineClient } from '../bot/engine-client.ts';
import { OutageError } from '../domain/outage.ts';
import { makeEnrolmentToken } from '../engine/administration-main.ts';
import { type LocalPostgres, startLocalPostgres } from '../engine/store/local-postgres.ts';
import { demoHost, writeConfigurations, writeJson } from './configurations.ts';
import { endFailedOverMachines } from './end-failed-over.ts';
import { makeMissingDisks, makeMissingImages, startGuests } from './guests.ts';
import type { Layout } from './layout.ts';
import { choosePorts, type Ports } from './ports.ts';
import { isRunning, markOf } from './running-process.ts';
import { createService, endLeftover, type Service } from './service.ts';

export type Site = {
  readonly engine: EngineClient;
  readonly ports: Ports;
  /** The processes by name, for tests that kill them. */
  pidOf(name: string): number | undefined;
  /** Starts the bot with the configuration that is there for it. */
  startBot(): void;
  /** Stops everything that was started, in order, within half a minute. */
  stop(): Promise<void>;
};

export type SiteDeps = {
  readonly layout: Layout;
  readonly hasQemu: boolean;
  /** One line for a person. */
  readonly say: (line: string) => void;
  readonly onTrouble: (message: string) => void;
  /** For tests that kill the programs: nothing is learned while nothing runs. */
  readonly restartDelayMsMax?: number | undefined;
};

export const programFile = join(import.meta.dirname, '..', 'bin', 'lifeboat.ts');
const readyLimitMs = 60_000;
const databaseWatchMs = 500;

/** Starts the database, the three programs and the guests, each a process of its own on loopback. */
export async function startSite(deps: SiteDeps): Promise<Site> {
  const { layout, say } = deps;
  for (const name of ['bot', 'agent', 'process-server', 'engine']) await endLeftover(layout.processes, name);
  const database = await startDatabase(deps);
  const services = new Map<string, Service>();
  const stop = async () => {
    // The agent first: it takes its filters out of the guests; the engine before its database.
    for (const name of ['bot', 'agent', ...guestServices(services), 'process-server', 'engine'])
      await services.get(name)?.stop(8000);
    await endFailedOverMachines(layout);
    await database.stop();
    for (const folder of [layout.sockets, socketFolderOfDatabase(layout)])
      rmSync(folder, { recursive: true, force: true });
  };
  try {
    const ports = await choosePorts(join(layout.state, 'ports.json'));
    writeConfigurations(layout, { ports, databaseUrl: database.connectionString, hasQemu: deps.hasQemu });
    startProgram(deps, services, 'engine');
    const engine = await connectedEngine(deps);
    say(`engine          https://127.0.0.1:${ports.engine}`);
    startProgram(deps, services, 'process-server');
    say(`process server  https://127.0.0.1:${ports.processServer}`);
    say(`vault           ${layout.vault} (${existsSync(layout.vault) ? 'encrypted, write-once' : 'new'})`);
    if (deps.hasQemu) await startDemoGuests(deps, services, await failedOver(engine));
    await startAgent(deps, services, ports.engine);
    return {
      engine,
      ports,
      pidOf: (name) => (name === 'postgres' ? database.pid() : services.get(name)?.pid()),
      startBot: () => startProgram(deps, services, 'bot'),
      stop,
    };
  } catch (error) {
    await stop();
    throw error;
  }
}

function guestServices(services: ReadonlyMap<string, Service>): string[] {
  return [...services.keys()].filter((name) => name.startsWith('guest-'));
}

function socketFolderOfDatabase(layout: Layout): string {
  return `${layout.sockets}-pg`;
}

type Database = { readonly connectionString: string; pid(): number; stop(): Promise<void> };

/** PostgreSQL, started again when it dies: like a database server that a production site runs elsewhere. */
async function startDatabase(deps: SiteDeps): Promise<Database> {
  const { layout, say } = deps;
  const settings = {
    folder: layout.database,
    socketFolder: socketFolderOfDatabase(layout),
    log: () => undefined,
  };
  let server: LocalPostgres = await startLocalPostgres(settings);
  let mark = markOf(server.pid);
  say(`PostgreSQL      unix socket, data in ${layout.database}`);
  let isRestarting = false;
  const watch = setInterval(() => {
    if (isRestarting || mark === undefined || isRunning(mark)) return;
    isRestarting = true;
    deps.onTrouble('PostgreSQL ended; starting it again.');
    startLocalPostgres(settings)
      .then((next) => {
        server = next;
        mark = markOf(next.pid);
      })
      .catch((error: unknown) => deps.onTrouble(`PostgreSQL could not be started: ${String(error)}`))
      .finally(() => {
        isRestarting = false;
      });
  }, databaseWatchMs);
  return {
    connectionString: server.connectionString,
    pid: () => server.pid,
    async stop() {
      clearInterval(watch);
      await server.stop();
    },
  };
}

function startProgram(
  deps: SiteDeps,
  services: Map<string, Service>,
  role: 'engine' | 'process-server' | 'agent' | 'bot',
): void {
  const { layout } = deps;
  const configs = {
    engine: layout.engineConfig,
    'process-server': layout.processServerConfig,
    agent: layout.agentConfig,
    bot: layout.botConfig,
  };
  const service = createService({
    name: role,
    command: process.execPath,
    arguments: [programFile, role, '--config', configs[role], '--exit-with-parent'],
    logFolder: layout.logs,
    processFolder: layout.processes,
    restartDelayMsMax: deps.restartDelayMsMax,
    onUnexpectedEnd: deps.onTrouble,
  });
  service.start();
  services.set(role, service);
}

/** The engine writes the local administrator's file when it is ready to be asked. */
async function connectedEngine(deps: SiteDeps): Promise<EngineClient> {
  const file = join(deps.layout.state, 'people', 'admin.json');
  let lastError: unknown;
  const deadline = performance.now() + readyLimitMs;
  while (performance.now() < deadline) {
    await new Promise((resolve) => setTimeout(resolve, 100));
    if (!existsSync(file)) continue;
    try {
      const engine = createEngineClient(readConnection(file), { readAgain: () => readConnection(file) });
      const answer: ApiAnswer = await engine.ask({ kind: 'version' }, {});
      if (answer.kind === 'version') return engine;
    } catch (error) {
      if (!(error instanceof OutageError)) throw error;
      lastError = error;
    }
  }
  throw new OutageError('the engine did not become ready within a minute', {
    cause: lastError,
    retryable: false,
    nextStep: `Its log says why: ${join(deps.layout.logs, 'engine.log')}`,
  });
}

/** Their originals must stay off: they run at the target. */
async function failedOver(engine: EngineClient): Promise<readonly string[]> {
  const answer = await engine.ask({ kind: 'machines' }, {});
  const machines = answer.kind === 'machines' ? answer.machines : [];
  return machines.filter(({ protection }) => protection.kind === 'failed-over').map(({ name }) => name);
}

async function startDemoGuests(
  deps: SiteDeps,
  services: Map<string, Service>,
  failedOverNames: readonly string[],
): Promise<void> {
  await makeMissingDisks(deps.layout);
  const { layout, restartDelayMsMax, onTrouble } = deps;
  const order = { layout, leaveOff: failedOverNames, restartDelayMsMax, onUnexpectedEnd: onTrouble };
  for (const { name, service } of await startGuests(order)) services.set(name, service);
  if (failedOverNames.length === 0) {
    deps.say('guests          vm-7 (two disks) and vm-8, each a QEMU guest that keeps writing');
  }
  for (const name of failedOverNames)
    deps.say(`guests          ${name} stays off here: it was failed over and runs at the target`);
}

/** Enrols once, with a token like any other host; later starts find the agent's own certificate. */
async function startAgent(deps: SiteDeps, services: Map<string, Service>, enginePort: number): Promise<void> {
  const { layout } = deps;
  const isEnrolled = readdirSync(layout.agentState).some((name) => name.includes('identity'));
  const images = deps.hasQemu ? [] : await makeMissingImages(layout);
  const token = isEnrolled ? undefined : await makeEnrolmentToken(layout.engineConfig, demoHost);
  writeJson(layout.agentConfig, {
    stateFolder: layout.agentState,
    hostName: demoHost,
    engineUrl: `https://127.0.0.1:${enginePort}`,
    guestFolder: layout.sockets,
    images,
    ...(token === undefined ? {} : { enrolmentToken: token }),
  });
  startProgram(deps, services, 'agent');
  deps.say(`agent           ${isEnrolled ? 'enrolled earlier' : 'enrolled with a one-time token'}, mutual TLS 1.3`);
}

import { randomBytes } from 'node:crypto';
import { mkdir, readdir, rm, writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import { dirname, join } from 'node:path';
import { createKeyAndRequest, identityFrom, saveIdentity } from '../agent/identity.ts';
import { type AgentId, idFromBytes } from '../domain/ids.ts';
import { invariant } from '../domain/invariant.ts';
import { emptyDigest } from '../domain/position.ts';
import type { EngineConfig } from '../engine/config.ts';
import { foldersOf, type Installation, prepareInstallation } from '../engine/installation.ts';
import type { AnnouncePointRequest } from '../protocol/agent-api.ts';
import { manifestDigest, type PointManifest } from '../protocol/point-manifest.ts';
import { type BackgroundProcess, startProcess } from './background-process.ts';
import { type Cost, measureCommand, waitUntil } from './measure.ts';
import { type StandaloneEngine, startStandaloneEngine } from './standalone-engine.ts';

/**
 * A whole Lifeboat site on this machine without a database: the real agent and the real process server, each a process of its own,
 * mutual TLS between them, a directory vault. The engine, which moves no data, is the bench itself.
 */
export type LifeboatSite = {
  /** Starts the agent; the cost is from its start to its first point. */
  readonly initialCopy: () => Promise<SiteCost>;
  /** A point of what the tracker says has changed. */
  readonly trackedIncrement: () => Promise<SiteCost>;
  /** A point after comparing everything with the vault, as after a lost tracker. */
  readonly untrackedIncrement: () => Promise<SiteCost>;
  /** Writes the newest point's disk to a file that does not exist yet, with the command that an administrator uses. */
  readonly restore: (path: string) => Promise<Cost>;
  readonly vaultFolder: string;
  readonly keysFolder: string;
  readonly newestPoint: () => PointManifest;
  /** How the agent says that it finds changes. */
  readonly tracking: () => string;
  readonly agentPeakMemoryBytes: () => number;
  readonly processServerPeakMemoryBytes: () => number;
  readonly close: () => Promise<void>;
};

/**
 * Memory is the agent's. `changedBytes`: disk contents that the point's logs held; `sentBytes`: what went to the process server,
 * the logs' own headers included.
 */
export type SiteCost = Cost & { readonly changedBytes: number; readonly sentBytes: number };

const program = join(import.meta.dirname, '../bin/lifeboat.ts');
const machineName = 'bench';
const startLimitMs = 20_000;
const copyLimitMs = 300_000;

type Parts = {
  readonly sourcePath: string;
  readonly config: EngineConfig;
  readonly installation: Installation;
  readonly engine: StandaloneEngine;
  readonly processServer: BackgroundProcess;
  readonly startAgent: () => BackgroundProcess;
};

export async function openLifeboatSite(folder: string, sourcePath: string): Promise<LifeboatSite> {
  const config = siteConfig(folder, await freePort());
  const installation = await prepareInstallation(config, Date.now());
  const { keys, serverKey } = installation;
  invariant(keys.signingKey, 'a new installation has a signing key');
  const agentId = idFromBytes('agent', randomBytes(10));
  const engine = await startStandaloneEngine({ serverKey, grantSigningKey: keys.signingKey, agentId, machineName });
  const processServer = await startProcessServer(config, folder);
  engine.useProcessServer(config.processServers[0] ?? '');
  const agentConfig = await enrolAgent({ folder, sourcePath, agentId, installation, engineUrl: engine.url });
  const agentWords = [process.execPath, program, 'agent', '--config', agentConfig];
  const startAgent = () => startProcess(agentWords, join(folder, 'agent.log'));
  return siteOf({ sourcePath, config, installation, engine, processServer, startAgent });
}

function siteOf(parts: Parts): LifeboatSite {
  const { config, engine, processServer } = parts;
  let agent: BackgroundProcess | undefined;
  let newest: PointManifest | undefined;
  const cpuSeconds = () => processServer.cpuSeconds() + (agent?.cpuSeconds() ?? 0);
  const checkAlive = () => [processServer, agent].forEach((one) => void one?.check());
  const measurePoint = async (trigger: () => void): Promise<SiteCost> => {
    const [cpuBefore, sentBefore] = [cpuSeconds(), engine.report()?.sentBytesTotal ?? 0];
    const pointsBefore = engine.points().length;
    const startedAt = performance.now();
    trigger();
    await waitUntil('a recovery point', copyLimitMs, () => {
      checkAlive();
      return engine.points().length > pointsBefore;
    });
    const wallSeconds = (performance.now() - startedAt) / 1000;
    const cost = { wallSeconds, cpuSeconds: cpuSeconds() - cpuBefore, peakMemoryBytes: agent?.peakMemoryBytes() ?? 0 };
    const changedBytes = engine.points().at(-1)?.point.changedBytes ?? 0;
    newest = await keepPoint(parts, newest);
    // The heartbeat after the point says how much was sent for it.
    const heartbeat = engine.heartbeatCount();
    await waitUntil('the agent to report', startLimitMs, () => engine.heartbeatCount() > heartbeat + 1);
    return { ...cost, changedBytes, sentBytes: (engine.report()?.sentBytesTotal ?? 0) - sentBefore };
  };
  return {
    initialCopy: () =>
      measurePoint(() => {
        agent = parts.startAgent();
      }),
    trackedIncrement: () => measurePoint(() => engine.ask('bookmark')),
    untrackedIncrement: () => measurePoint(() => engine.ask('resync')),
    restore: (path) =>
      measureCommand([process.execPath, program, 'restore', machineName, '--to', path, '--state', config.stateFolder]),
    vaultFolder: vaultFolderOf(config),
    keysFolder: foldersOf(config).keys,
    newestPoint() {
      invariant(newest, 'a point was taken');
      return newest;
    },
    tracking: engine.tracking,
    agentPeakMemoryBytes: () => agent?.peakMemoryBytes() ?? 0,
    processServerPeakMemoryBytes: processServer.peakMemoryBytes,
    async close() {
      await agent?.stop();
      await processServer.stop();
      await engine.close();
      await removeClones(parts.sourcePath);
    },
  };
}

/** The tracker keeps a clone beside the image for its next comparison; this image is not protected any more. */
async function removeClones(sourcePath: string): Promise<void> {
  const folder = dirname(sourcePath);
  for (const name of await readdir(folder)) {
    if (name.startsWith('.lifeboat-')) await rm(join(folder, name), { recursive: true });
  }
}

/** What the real engine does with an announced point: it signs the manifest, which is what restores and drills begin with. */
async function keepPoint({ engine, installation }: Parts, previous: PointManifest | undefined): Promise<PointManifest> {
  const announced = engine.points().at(-1);
  invariant(announced, 'a point was announced');
  const { point, pointId } = announced;
  const manifest: PointManifest = {
    format: 'lifeboat-point/1',
    vaultId: installation.vault.id,
    pointId,
    machineId: point.machineId,
    machineName,
    number: (previous?.number ?? 0) + 1,
    epoch: point.epoch,
    kind: point.kind,
    takenAtMs: point.takenAtMs,
    reason: point.reason,
    hardware: engine.hardware(),
    disks: disksOf(engine, point),
    previousDigest: previous === undefined ? emptyDigest : manifestDigest(previous),
  };
  await installation.vault.putPoint(manifest);
  return manifest;
}

function disksOf(engine: StandaloneEngine, point: AnnouncePointRequest): PointManifest['disks'] {
  return engine.disks().map((disk) => {
    const position = point.disks.find(({ diskId }) => diskId === disk.diskId)?.position;
    invariant(position, 'a point has a position for every disk');
    return { ...disk, position };
  });
}

function siteConfig(folder: string, processServerPort: number): EngineConfig {
  return {
    stateFolder: join(folder, 'state'),
    name: 'bench',
    listen: { host: '127.0.0.1', port: 1 },
    url: 'https://127.0.0.1:1',
    databaseUrl: 'postgres://there-is-none',
    vault: { kind: 'directory', folder: join(folder, 'vault') },
    processServers: [`https://127.0.0.1:${processServerPort}`],
    hypervisor: 'none',
  };
}

function vaultFolderOf(config: EngineConfig): string {
  invariant(config.vault.kind === 'directory', 'the bench makes directory vaults');
  return config.vault.folder;
}

async function startProcessServer(config: EngineConfig, folder: string): Promise<BackgroundProcess> {
  const folders = foldersOf(config);
  const port = Number(new URL(config.processServers[0] ?? '').port);
  const credential = (name: string) => join(folders.processServer, name);
  await writeJson(join(config.stateFolder, 'engine', 'config.json'), config);
  const configFile = join(folder, 'process-server.json');
  await writeJson(configFile, {
    listen: { host: '127.0.0.1', port },
    vault: config.vault,
    keysFolder: folders.keys,
    tls: {
      certificateFile: credential('server.crt'),
      privateKeyFile: credential('server.key'),
      certificateAuthorityFile: credential('certificate-authority.crt'),
    },
    grantPublicKeyFile: credential('grant-public-key.pem'),
  });
  const words = [process.execPath, program, 'process-server', '--config', configFile];
  const server = startProcess(words, join(folder, 'process-server.log'));
  await waitUntil('the process server to listen', startLimitMs, async () => {
    server.check();
    return isTaken(port);
  });
  return server;
}

type Enrolment = {
  readonly folder: string;
  readonly sourcePath: string;
  readonly agentId: AgentId;
  readonly installation: Installation;
  readonly engineUrl: string;
};

/** Gives the agent its certificate, and the file with which it is started. */
async function enrolAgent({ folder, sourcePath, agentId, installation, engineUrl }: Enrolment): Promise<string> {
  const stateFolder = join(folder, 'agent');
  const { privateKey, certificateRequest } = await createKeyAndRequest();
  const { certificateAuthority } = installation;
  const identity = { kind: 'agent' as const, agentId };
  const outcome = await certificateAuthority.issueForRequest(certificateRequest, identity, { nowMs: Date.now() });
  invariant(outcome.kind === 'issued', 'our own certificate request is good');
  await saveIdentity(stateFolder, identityFrom(engineUrl, privateKey, { agentId, ...outcome.issued }));
  const configFile = join(folder, 'agent.json');
  const images = [{ name: machineName, paths: [sourcePath] }];
  await writeJson(configFile, { stateFolder, hostName: 'bench-host', engineUrl, images });
  return configFile;
}

async function writeJson(file: string, content: unknown): Promise<void> {
  await mkdir(join(file, '..'), { recursive: true });
  await writeFile(file, JSON.stringify(content, null, 2));
}

async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const address = server.address();
  await new Promise((resolve) => server.close(resolve));
  invariant(typeof address === 'object' && address !== null, 'a TCP server has a port');
  return address.port;
}

function isTaken(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const server = createServer();
    server.once('error', () => resolve(true));
    server.listen(port, '127.0.0.1', () => server.close(() => resolve(false)));
  });
}

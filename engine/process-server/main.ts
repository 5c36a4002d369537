import { createPublicKey } from 'node:crypto';
import type { Server } from 'node:https';
import pino from 'pino';
import { OutageError } from '../../domain/outage.ts';
import { hourMs } from '../../domain/units.ts';
import packageFile from '../../package.json' with { type: 'json' };
import { listenForMetrics } from '../../protocol/metrics-listener.ts';
import { secureServerOptions } from '../tls.ts';
import { type OpenVault, openVault } from '../vault/open-vault.ts';
import { loadVaultKeys } from '../vault/vault-keys.ts';
import { openBlobStore } from '../vault/vault-location.ts';
import { type ProcessServerConfig, readFileOf, readProcessServerConfig } from './config.ts';
import { createProcessServerMetrics, type ProcessServerMetrics } from './metrics.ts';
import { createProcessServer } from './process-server.ts';

/** Runs a process server until SIGTERM or SIGINT. @throws OutageError with a next step when it cannot start */
export async function runProcessServer(configFile: string): Promise<void> {
  const config = await readProcessServerConfig(configFile);
  const log = pino({ name: 'process-server' }, pino.destination({ fd: 2, sync: false }));
  const metrics = config.metrics === undefined ? undefined : createProcessServerMetrics(packageFile.version);
  const vault = await vaultOf(config, metrics);
  const server = createProcessServer({
    vault,
    grantPublicKey: createPublicKey(await readFileOf(config.grantPublicKeyFile, 'Copy it from the engine.')),
    tls: secureServerOptions(await tlsFiles(config), 'required'),
    limits: config.limits,
    nowMs: Date.now,
    log,
    ...(metrics && { observe: metrics.observe }),
  });
  // Before it listens: whoever sees it ready may ask it to stop at once.
  const asked = new Promise<void>((resolve) => {
    for (const signal of ['SIGTERM', 'SIGINT'] as const) process.once(signal, () => resolve());
  });
  const listener = metrics && (await serve(metrics, config, log));
  await listen(server, config);
  log.info({ listen: server.address(), vault: vault.description }, 'the process server listens');
  const renewal = setInterval(() => void renewCertificate(server, config, log), hourMs);
  await asked;
  clearInterval(renewal);
  await close(server);
  await listener?.close();
  metrics?.stop();
  await vault.close();
  log.info('the process server has stopped');
}

async function vaultOf(config: ProcessServerConfig, metrics?: ProcessServerMetrics): Promise<OpenVault> {
  const opened = await openBlobStore(config.vault, 'must-exist');
  const store = metrics?.watched(opened) ?? opened;
  return openVault({ store, keys: await loadVaultKeys(config.keysFolder) });
}

async function tlsFiles(config: ProcessServerConfig) {
  const nextStep = 'Copy the certificate that the engine made for this process server.';
  const [certificate, privateKey, certificateAuthority] = await Promise.all([
    readFileOf(config.tls.certificateFile, nextStep),
    readFileOf(config.tls.privateKeyFile, nextStep),
    readFileOf(config.tls.certificateAuthorityFile, nextStep),
  ]);
  return { certificate, privateKey, certificateAuthority };
}

/** Files that cannot be read or do not fit leave the certificate as it was; the log says so every hour until it expires. */
async function renewCertificate(server: Server, config: ProcessServerConfig, log: pino.Logger): Promise<void> {
  try {
    server.setSecureContext(secureServerOptions(await tlsFiles(config), 'required'));
  } catch (error) {
    log.warn({ err: error }, 'the certificate files could not be taken up');
  }
}

async function listen(server: Server, config: ProcessServerConfig): Promise<void> {
  const { host, port } = config.listen;
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  server.once('error', reject);
  server.listen(port, host, resolve);
  await promise.catch((cause: unknown) => {
    const isTaken = cause instanceof Error && 'code' in cause && cause.code === 'EADDRINUSE';
    throw new OutageError(`listen on ${host}:${port}${isTaken ? ': another program has this port' : ''}`, {
      cause,
      retryable: false,
      nextStep: isTaken
        ? `Stop the other program (ss -ltnp 'sport = :${port}' names it) or change listen.port.`
        : 'Change listen.host or listen.port.',
    });
  });
}

/** @throws OutageError with a next step when the port cannot be had */
async function serve(metrics: ProcessServerMetrics, { metrics: at }: ProcessServerConfig, log: pino.Logger) {
  return at && listenForMetrics(at, metrics.render, (message) => log.warn(message));
}

/** Requests in progress are answered; connections that stay after ten seconds are cut. */
async function close(server: Server): Promise<void> {
  const { promise, resolve } = Promise.withResolvers<void>();
  server.close(() => resolve());
  server.closeIdleConnections();
  const limit = setTimeout(() => server.closeAllConnections(), 10_000);
  await promise;
  clearTimeout(limit);
}

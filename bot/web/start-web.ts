import { hostname } from 'node:os';
import { join } from 'node:path';
import { performance } from 'node:perf_hooks';
import { setTimeout as wait } from 'node:timers/promises';
import { describeCauses, OutageError } from '../../domain/outage.ts';
import { hourMs, minuteMs } from '../../domain/units.ts';
import { replaceDurably } from '../../protocol/durable-file.ts';
import type { DeliveryLog } from '../delivery/start-delivery.ts';
import type { ObserveLine } from '../observed-line.ts';
import type { WebConfig } from '../service-config.ts';
import type { ApiDeps, WebEngine } from './api-deps.ts';
import { ownServerKey } from './certificate.ts';
import { type WebLimits, webLimits } from './limits.ts';
import { addLiveRoute } from './live-route.ts';
import { createLiveSessions } from './live-sessions.ts';
import { addLookRoutes } from './look-routes.ts';
import { bundlePage, type PageBundle } from './page-bundle.ts';
import { addPageRoutes, type ServedRoute } from './page-routes.ts';
import { WebProblem } from './problem.ts';
import { addressOf, closeServer, createWebServer, listen, type WebApp } from './server.ts';
import { broughtServerKey, fingerprintOf, type ServerKey } from './server-key.ts';
import { sessionIn } from './session-cookie.ts';
import { createSessionGate, type SessionGate } from './session-gate.ts';
import { addDeedRoutes, addSignInRoutes } from './session-routes.ts';
import { createSiteWatch, type SiteWatch, type WatchDeps } from './site-watch.ts';

export type WebDeps = {
  readonly engine: WebEngine;
  readonly log: DeliveryLog;
  readonly nowMs: () => number;
  /** Raised when the bot stops. */
  readonly signal: AbortSignal;
  readonly stateFolder: string;
  /** Tests give a small page, small limits and short pauses. */
  readonly page?: PageBundle;
  readonly limits?: Partial<WebLimits>;
  readonly pauses?: WatchDeps['pauses'] & { readonly checkEveryMs?: number };
  /** For metrics. */
  readonly observeLine?: ObserveLine;
  readonly setOpenPages?: (count: () => number) => void;
};
export type WebConsole = {
  /** Where browsers reach it. */
  readonly url: string;
  readonly port: number;
  /** SHA-256 of the certificate, as browsers show it. */
  readonly fingerprint: string;
  readonly routes: readonly ServedRoute[];
  /** Looks whether the certificate is still the right one; every hour by itself. */
  readonly renewCertificate: () => Promise<void>;
  /** Ends after it was closed. Rejects only for a bug. */
  readonly ended: Promise<void>;
  readonly close: () => Promise<void>;
};

const addressEveryMs = minuteMs;
const aliveEveryMs = 5000;

/**
 * Starts the web console. The engine may be away: pages say so, and go on when it is back.
 *
 * @throws OutageError with a next step when the page, the certificate or the port cannot be had
 */
export async function startWeb(config: WebConfig, deps: WebDeps): Promise<WebConsole> {
  const page = deps.page ?? (await bundlePage());
  const keys = createKeyKeeper(config, deps);
  const key = await keys.current();
  const limits = { ...webLimits, ...deps.limits };
  let hosts: ReadonlySet<string> = new Set();
  const isHostPinned = config.tls !== undefined;
  const app = createWebServer({ key, limits, isHostPinned, hosts: () => hosts, log: deps.log });
  const served = servedRoutes(app);
  const clockMs = () => performance.now();
  const { watch, close } = addRoutes(app, { ...deps, limits, clockMs }, { page, served });
  const port = await listen(app, config.listen);
  const url = new URL(config.url ?? `https://${bracketed(config.listen.host)}:${port}`).origin;
  hosts = hostsOf(url, port, config);
  const stopping = new AbortController();
  const signal = AbortSignal.any([deps.signal, stopping.signal]);
  const renewCertificate = () => keys.renew(app);
  const fingerprint = fingerprintOf(key);
  sayWhere({ url, fingerprint }, config, { log: deps.log, page });
  const ended = runBeside({ url, renewCertificate }, { ...deps, signal });
  return {
    url,
    port,
    fingerprint,
    routes: served,
    renewCertificate,
    ended,
    async close() {
      stopping.abort();
      close();
      await Promise.all([watch.close(), closeServer(app), ended]);
    },
  };
}

type Routed = { readonly page: PageBundle; readonly served: readonly ServedRoute[] };
type Looking = { readonly watch: SiteWatch; readonly close: () => void };

function addRoutes(
  app: WebApp,
  given: Omit<ApiDeps, 'gate'> & Pick<WebDeps, 'pauses' | 'setOpenPages'>,
  { page, served }: Routed,
): Looking {
  const { engine, limits, clockMs, log, pauses } = given;
  const gate = createSessionGate(limits, clockMs);
  const deps = { ...given, gate };
  forgetRefused(app, gate);
  const watch = createSiteWatch({ engine, clockMs, log, ...(pauses !== undefined && { pauses }) });
  const checkEveryMs = pauses?.checkEveryMs;
  const live = createLiveSessions({ engine, watch, limits, gate, ...(checkEveryMs !== undefined && { checkEveryMs }) });
  deps.setOpenPages?.(live.count);
  addSignInRoutes(app, deps, live);
  addDeedRoutes(app, deps);
  addLookRoutes(app, deps);
  addLiveRoute(app, deps, live);
  addPageRoutes(app, page, {
    served,
    // A look takes about as long as loading the page: both at once. What is seen waits for the engine's word on the session.
    onVisit(cookies) {
      const session = sessionIn(cookies);
      if (session !== undefined && gate.isKnown(session)) watch.expect();
    },
  });
  return { watch, close: live.close };
}

/** A session that the engine refuses, whatever was asked for, is nobody's any more. */
function forgetRefused(app: WebApp, gate: SessionGate): void {
  app.addHook('onError', async (request, _reply, error) => {
    const session = sessionIn(request.headers.cookie);
    const isSignedOut = error instanceof WebProblem && error.problem.why === 'signed-out';
    if (isSignedOut && session !== undefined) gate.refused(session, addressOf(request));
  });
}

/** All routes that the server really has, as it says itself. */
function servedRoutes(app: WebApp): readonly ServedRoute[] {
  const served: ServedRoute[] = [];
  app.addHook('onRoute', ({ method, url }) => {
    for (const one of [method].flat()) served.push({ method: one, url });
  });
  return served;
}

function bracketed(host: string): string {
  return host.includes(':') ? `[${host}]` : host;
}

/** The names by which browsers may come; the first one is shown to who came by another. */
function hostsOf(url: string, port: number, { listen: { host } }: WebConfig): ReadonlySet<string> {
  const names = ['localhost', '127.0.0.1', '[::1]', bracketed(host), hostname()];
  const own = names.filter((name) => URL.canParse(`https://${name}:${port}`));
  return new Set([new URL(url).host, ...own.map((name) => new URL(`https://${name}:${port}`).host)]);
}

type KeyKeeper = { readonly current: () => Promise<ServerKey>; readonly renew: (app: WebApp) => Promise<void> };

/** The installation's own certificate, or one that the bot makes; a new one is taken into use without a restart. */
function createKeyKeeper({ tls, url, listen: { host } }: WebConfig, { stateFolder, nowMs, log }: WebDeps): KeyKeeper {
  const named = url === undefined ? [] : [new URL(url).hostname.replaceAll(/[[\]]/g, '')];
  const hostNames = [hostname(), host, ...named].filter((name) => /^[A-Za-z0-9.:-]+$/.test(name));
  const read = () =>
    tls === undefined ? ownServerKey({ stateFolder, hostNames, nowMs: nowMs(), log }) : broughtServerKey(tls);
  let inUse: ServerKey | undefined;
  return {
    async current() {
      inUse = await read();
      return inUse;
    },
    async renew(app) {
      const key = await read();
      if (key.certificate === inUse?.certificate) return;
      app.server.setSecureContext({ cert: key.certificate, key: key.privateKey, minVersion: 'TLSv1.2' });
      inUse = key;
      log.info(`the web console has a new certificate, SHA-256 ${fingerprintOf(key)}`);
    },
  };
}

type Saying = Pick<WebDeps, 'log'> & { readonly page: PageBundle };

function sayWhere(
  { url, fingerprint }: Pick<WebConsole, 'url' | 'fingerprint'>,
  config: WebConfig,
  { log, page }: Saying,
): void {
  log.info(
    `web console: ${url} (certificate SHA-256 ${fingerprint}; page ${Math.ceil(page.gzipBytes / 1024)} KiB gzip)`,
  );
  const isLoopback = /^(127\.|localhost$|::1$)/.test(config.listen.host);
  if (!isLoopback && config.tls === undefined) {
    const advice = 'set web.tls to a certificate that your browsers trust';
    log.warn(`the web console is open to the network with a certificate of its own, which browsers warn of: ${advice}`);
  }
}
type Beside = Pick<WebDeps, 'engine' | 'log' | 'nowMs' | 'signal' | 'stateFolder'>;

/** What goes on as long as it is served: the engine and the watchdog hear of it, and the certificate is looked after. */
async function runBeside(
  { url, renewCertificate }: Pick<WebConsole, 'url' | 'renewCertificate'>,
  deps: Beside,
): Promise<void> {
  const { engine, log, nowMs, signal, stateFolder } = deps;
  const alive = () => JSON.stringify({ program: 'bot', pid: process.pid, surface: 'web', url, atMs: nowMs() });
  await Promise.all([
    repeat(aliveEveryMs, deps, () => replaceDurably(join(stateFolder, 'alive-web.json'), `${alive()}\n`, 0o644)),
    repeat(addressEveryMs, deps, () => engine.reportConsole({ url }, { signal })),
    repeat(hourMs, deps, renewCertificate),
  ]);
  log.info('the web console stops');
}

/** What fails is said, and done again at its next time. */
async function repeat(pauseMs: number, { log, signal }: Beside, work: () => Promise<void>): Promise<void> {
  while (!signal.aborted) {
    await work().catch((error: unknown) => {
      if (signal.aborted) return;
      const words = error instanceof OutageError ? error.message : describeCauses(error);
      log.warn(`the web console could not do what it does every ${pauseMs / 1000} s: ${words}`, error);
    });
    await wait(pauseMs, undefined, { signal }).catch((error: unknown) => {
      if (!signal.aborted) throw error;
    });
  }
}

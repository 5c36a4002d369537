import Fastify, { type FastifyError } from 'fastify';
import { z } from 'zod';
import { OutageError } from '../../domain/outage.ts';
import { createTurns, type TurnLimits, type Turns } from '../store/turns.ts';
import { secureServerOptions } from '../tls.ts';
import { addAgentRoutes } from './agent-routes.ts';
import { addAlertLooks, addAlertRoutes } from './alert-routes.ts';
import { addApprovalLooks, addApprovalRoutes } from './approval-routes.ts';
import { addAuditRoutes } from './audit-routes.ts';
import { authenticate } from './authentication.ts';
import { addBotRoutes, addChannelRoutes } from './bot-routes.ts';
import { addCommandRoutes } from './command-routes.ts';
import { addConsoleRoutes } from './console-routes.ts';
import type { ApiDeps } from './deps.ts';
import { openApiOf } from './openapi.ts';
import { addOverviewRoutes } from './overview-routes.ts';
import { addPeopleRoutes } from './people-routes.ts';
import { addQueryRoutes } from './query-routes.ts';
import { answer, refuse } from './reply.ts';
import { addReportRoutes } from './report-routes.ts';
import { createRouter, type Router, refusalOf } from './route.ts';

/** The largest body: a heartbeat with a thousand guests of many disks. */
const bodyBytesMax = 8 * 1024 * 1024;

/**
 * People's commands that are carried out at once and that wait, so that a storm of them leaves the database to agents and to questions.
 * The wait is shorter than clients', so that they hear why.
 */
const commandLimitsDefault: TurnLimits = { atOnceMax: 16, waitingMax: 1000, waitMsMax: 10_000 };

export type Api = ReturnType<typeof createApi>;

/**
 * The control API over TLS 1.3 with client certificates. Only enrolment is open to callers without one.
 *
 * `routes` are all routes that the server really has, as the server says itself; tests call each of them with the
 * wrong certificates.
 */
export function createApi(
  deps: ApiDeps,
  limits: { readonly commands: TurnLimits } = { commands: commandLimitsDefault },
) {
  const app = Fastify({
    https: secureServerOptions(deps.serverKey, 'if-offered'),
    bodyLimit: bodyBytesMax,
    connectionTimeout: 120_000,
    requestTimeout: 30_000,
    keepAliveTimeout: 65_000,
    forceCloseConnections: true,
    exposeHeadRoutes: false,
    logger: false,
  });
  const served: { readonly method: string; readonly url: string }[] = [];
  app.addHook('onRoute', ({ method, url }) => {
    for (const one of [method].flat()) served.push({ method: one, url });
  });
  app.addHook('onResponse', async ({ method, routeOptions }, { statusCode, elapsedTime }) =>
    deps.onAnswered?.({ method, route: routeOptions.url, status: statusCode, seconds: elapsedTime / 1000 }),
  );
  const router = createRouter(app, deps);
  addRoutes(router, deps, limits);
  router.add({
    method: 'GET',
    url: '/openapi.json',
    summary: 'This description',
    access: 'person',
    answer: z.record(z.string(), z.unknown()),
    handle: async () => answer(openApiOf(router.descriptions, deps.versions.engine)),
  });
  app.setNotFoundHandler(async (request, reply) => {
    const caller = await authenticate(deps, request, 'person').catch((error: unknown) => refusalOf(error, deps));
    const refusal = caller.kind === 'refusal' ? caller : refuse('unknown-target', 'There is no such route.');
    return reply.code(refusal.status).send(refusal.body);
  });
  app.setErrorHandler(async (error: FastifyError, _request, reply) => {
    const isCallers = error.statusCode !== undefined && error.statusCode < 500;
    const refusal = isCallers
      ? { ...refuse('bad-request', error.message), status: error.statusCode }
      : refusalOf(error, deps);
    return reply.code(refusal.status ?? 400).send(refusal.body);
  });
  return {
    routes: served as readonly { readonly method: string; readonly url: string }[],
    server: app.server,
    /** @throws OutageError when the port cannot be had */
    async listen(at: {
      readonly host: string;
      readonly port: number;
    }): Promise<{ readonly url: string; readonly port: number }> {
      await app.listen(at).catch((cause: unknown) => {
        const isTaken = cause instanceof Error && 'code' in cause && cause.code === 'EADDRINUSE';
        const why = isTaken ? ': another program has this port' : '';
        throw new OutageError(`listen on ${at.host}:${at.port} for the control API${why}`, {
          cause,
          retryable: true,
          nextStep: isTaken
            ? `Stop the other program (ss -ltnp 'sport = :${at.port}' names it) or change listen.port and url.`
            : 'Change listen.host or listen.port.',
        });
      });
      const address = app.server.address();
      const port = typeof address === 'object' && address !== null ? address.port : at.port;
      return { url: `https://${at.host}:${port}`, port };
    },
    close: () => app.close(),
  };
}

function addRoutes(router: Router, deps: ApiDeps, limits: { readonly commands: TurnLimits }): void {
  addAgentRoutes(router, deps);
  addQueryRoutes(router, deps);
  addPeopleRoutes(router, deps);
  addConsoleRoutes(router, deps);
  addOverviewRoutes(router, deps);
  addReportRoutes(router, deps);
  addAuditRoutes(router, deps);
  const inOrder = inTurn(router, createTurns('the commands before it', limits.commands));
  addCommandRoutes(inOrder, deps);
  addApprovalRoutes(inOrder, deps);
  addApprovalLooks(router, deps);
  addAlertRoutes(inOrder, deps);
  addAlertLooks(router, deps);
  addChannelRoutes(inOrder, deps);
  addBotRoutes(router, deps);
}

/** The same router, whose routes are carried out in turn. A caller is known before it waits: strangers take no place in the queue. */
function inTurn(router: Router, turns: Turns): Router {
  return {
    descriptions: router.descriptions,
    add: (route) => router.add({ ...route, handle: (call) => turns.take(() => route.handle(call)) }),
  };
}

import { z } from 'zod';
import { OutageError } from '../domain/outage.ts';
import { alertView, approvalView, chatRoutes, lagSeries, personView, surfaceView } from '../protocol/chat-api.ts';
import { consoleRoutes, signInLinkAnswer } from '../protocol/console-api.ts';
import {
  commandAnswer,
  hostView,
  machineView,
  pointView,
  refusalBody,
  routes,
  runView,
  versionView,
  whoamiView,
} from '../protocol/control-api.ts';
import { auditAnswer, authenticatorAnswer, linkAnswer } from '../protocol/people-api.ts';
import type { ApiAnswer, ApiCall, ApiOrder, ApiQuery } from './api-call.ts';

/** A call as it goes over the wire. */
export type Wire = { readonly method: 'GET' | 'POST'; readonly path: string; readonly body?: string };
export type Received = { readonly status: number; readonly body: unknown };

const orderRoutes = { ...routes, ...chatRoutes, ...consoleRoutes } as const satisfies Record<ApiOrder['kind'], string>;

/** The route, the query and the body of a call. */
export function wireOf(call: ApiCall): Wire {
  if ('body' in call) return { method: 'POST', path: orderRoutes[call.kind], body: JSON.stringify(call.body) };
  return { method: 'GET', path: queryPath(call) };
}

function queryPath(call: ApiQuery): string {
  switch (call.kind) {
    case 'machine':
      return routes.machine.replace(':name', encodeURIComponent(call.name));
    case 'points':
      return routes.points.replace(':name', encodeURIComponent(call.machine));
    case 'run':
      return routes.run.replace(':id', encodeURIComponent(call.id));
    case 'runs':
      return call.machine === undefined ? routes.runs : `${routes.runs}?machine=${encodeURIComponent(call.machine)}`;
    case 'approval':
    case 'alert':
      return chatRoutes[call.kind].replace(':id', encodeURIComponent(call.id));
    case 'lagSeries':
      return `${chatRoutes.lagSeries.replace(':name', encodeURIComponent(call.machine))}?sinceMs=${call.sinceMs}`;
    case 'audit':
      return `${chatRoutes.audit}?about=${encodeURIComponent(call.about)}${call.isUnchecked === true ? '&check=none' : ''}`;
    case 'people':
    case 'approvals':
    case 'alerts':
    case 'surfaces':
      return chatRoutes[call.kind];
    default:
      return routes[call.kind];
  }
}

/** What the engine said. @throws OutageError when it is not in our words */
export function parseAnswer(call: ApiCall, received: Received): ApiAnswer {
  if (received.status >= 400) {
    const refusal = refusalBody.safeParse(received.body);
    if (refusal.success) return { kind: 'refusal', refusal: refusal.data };
  }
  if ('body' in call) return parseOrder(call, received);
  const read = <Schema extends z.ZodType>(schema: Schema) => parseSuccess(schema, received, call.kind);
  switch (call.kind) {
    case 'whoami':
      return { kind: 'whoami', whoami: read(whoamiView) };
    case 'version':
      return { kind: 'version', version: read(versionView) };
    case 'machines':
      return { kind: 'machines', machines: read(z.array(machineView)) };
    case 'machine':
      return { kind: 'machine', machine: read(machineView) };
    case 'points':
      return { kind: 'points', points: read(z.array(pointView)) };
    case 'hosts':
      return { kind: 'hosts', hosts: read(z.array(hostView)) };
    case 'runs':
      return { kind: 'runs', runs: read(z.array(runView)) };
    case 'run':
      return { kind: 'run', run: read(runView) };
    default:
      return parseChatQuery(call, received);
  }
}

type ChatQuery = Exclude<
  ApiQuery,
  { kind: 'whoami' | 'version' | 'machines' | 'machine' | 'points' | 'hosts' | 'runs' | 'run' }
>;

function parseChatQuery(call: ChatQuery, received: Received): ApiAnswer {
  const read = <Schema extends z.ZodType>(schema: Schema) => parseSuccess(schema, received, call.kind);
  switch (call.kind) {
    case 'people':
      return { kind: 'people', people: read(z.array(personView)) };
    case 'approvals':
      return { kind: 'approvals', approvals: read(z.array(approvalView)) };
    case 'approval':
      return { kind: 'approval', approval: read(approvalView) };
    case 'alerts':
      return { kind: 'alerts', alerts: read(z.array(alertView)) };
    case 'alert':
      return { kind: 'alert', alert: read(alertView) };
    case 'lagSeries':
      return { kind: 'lagSeries', series: read(lagSeries) };
    case 'audit':
      return { kind: 'audit', audit: read(auditAnswer) };
    case 'surfaces':
      return { kind: 'surfaces', surfaces: read(z.array(surfaceView)) };
    default:
      return call satisfies never;
  }
}

function parseOrder(call: ApiOrder, received: Received): ApiAnswer {
  if (call.kind === 'link') return { kind: 'link', link: parseSuccess(linkAnswer, received, 'link') };
  if (call.kind === 'authenticator') {
    return { kind: 'authenticator', authenticator: parseSuccess(authenticatorAnswer, received, 'authenticator') };
  }
  if (call.kind === 'signInLink') {
    return { kind: 'signInLink', link: parseSuccess(signInLinkAnswer, received, 'console') };
  }
  return { kind: 'order', answer: parseSuccess(commandAnswer, received, call.kind) };
}

/** The body of an answer that must be a success. @throws OutageError when it is not, or does not fit the schema */
export function parseSuccess<Schema extends z.ZodType>(
  schema: Schema,
  received: Received,
  what: string,
): z.output<Schema> {
  const parsed = schema.safeParse(received.body);
  if (received.status >= 200 && received.status < 300 && parsed.success) return parsed.data;
  throw new OutageError(`reading the engine's answer to ${what} (HTTP ${received.status})`, {
    cause: parsed.success ? JSON.stringify(received.body).slice(0, 300) : z.prettifyError(parsed.error),
    retryable: received.status >= 500,
    nextStep: 'compare the versions of the engine and of this program: `version`',
  });
}

import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import { z } from 'zod';
import { type AccessRequest, decideAccess } from '../../domain/access.ts';
import { assertNever, invariant } from '../../domain/invariant.ts';
import { describeCauses, OutageError } from '../../domain/outage.ts';
import { type Access, authenticate, type CallerOf } from './authentication.ts';
import { auditCommand, detailOf, type Origin, originOf } from './command-audit.ts';
import type { ApiDeps } from './deps.ts';
import { type Refusal, type Reply, refuse } from './reply.ts';

type Schema = z.ZodType;

/**
 * One route: who may call it, what it takes and what it answers. The OpenAPI description is made from the same
 * schemas.
 */
export type Route<Kind extends Access, Body extends Schema, Query extends Schema, Answer extends Schema> = {
  readonly method: 'GET' | 'POST';
  readonly url: string;
  readonly summary: string;
  readonly access: Kind;
  /** What the caller's roles must allow; people's routes only. */
  readonly needs?: AccessRequest;
  readonly body?: Body;
  readonly query?: Query;
  readonly answer: Answer;
  handle(call: Call<Kind, z.output<Body>, z.output<Query>>): Promise<Reply<z.input<Answer>>>;
};

export type Call<Kind extends Access, Body = unknown, Query = unknown> = {
  readonly caller: CallerOf[Kind];
  readonly body: Body;
  readonly query: Query;
  readonly params: Readonly<Record<string, string>>;
  readonly idempotencyKey: string | undefined;
  /** Aborted when the caller is gone. */
  readonly signal: AbortSignal;
};

export type RouteDescription = Pick<Route<Access, Schema, Schema, Schema>, 'method' | 'url' | 'summary' | 'access'> & {
  readonly body: Schema | undefined;
  readonly query: Schema | undefined;
  readonly answer: Schema;
};

/** Adds routes to the server, and keeps their descriptions. */
export type Router = {
  readonly descriptions: RouteDescription[];
  add<Kind extends Access, Body extends Schema, Query extends Schema, Answer extends Schema>(
    route: Route<Kind, Body, Query, Answer>,
  ): void;
};

const nothing = z.unknown();
const pathParameters = z.record(z.string(), z.string().max(200));
const idempotencyKey = z.string().min(8).max(200).optional();

export function createRouter(app: FastifyInstance, deps: ApiDeps): Router {
  const descriptions: RouteDescription[] = [];
  return {
    descriptions,
    add(route) {
      const { method, url, summary, access, body, query, answer } = route;
      descriptions.push({ method, url, summary, access, body, query, answer });
      const callers = new WeakMap<FastifyRequest, CallerOf[typeof access] | TurnedAway>();
      app.route({
        method,
        url,
        // Before anything of the body is read: strangers cannot even make us parse.
        onRequest: async (request, reply) => {
          const outcome = await authenticate(deps, request, access).catch((error: unknown) => refusalOf(error, deps));
          if (outcome.kind === 'admitted') callers.set(request, outcome.caller);
          else if ('who' in outcome && outcome.who !== undefined && method === 'POST') {
            // A certificate of ours says who it was: the audit trail tells of the attempt, and of what it was about.
            callers.set(request, { kind: 'turned-away', refusal: outcome, origin: originOf(outcome.who) });
          } else return reply.code(outcome.status).send(outcome.body);
        },
        handler: (request, reply) => {
          const caller = callers.get(request);
          invariant(caller !== undefined, 'a request was admitted before it is handled');
          return 'origin' in caller
            ? send(deps, { route, reply }, () => deny(deps, request, caller))
            : serve(deps, route, { caller, request, reply });
        },
      });
    },
  };
}

type TurnedAway = { readonly kind: 'turned-away'; readonly refusal: Refusal; readonly origin: Origin };

/** A role that is missing is refused before the body is understood, so that a refusal says nothing about it. */
function refuseByRole(route: { readonly needs?: AccessRequest }, caller: CallerOf[Access]): TurnedAway | undefined {
  if (route.needs === undefined || !('grants' in caller)) return undefined;
  const decision = decideAccess(caller.grants, route.needs);
  if (decision.kind === 'allowed') return undefined;
  return { kind: 'turned-away', refusal: refuse('forbidden', decision.message), origin: originOf(caller) };
}

/** Somebody is turned away from a command: the audit trail says so too. */
async function deny(deps: ApiDeps, request: FastifyRequest, { refusal, origin }: TurnedAway): Promise<Refusal> {
  if (request.method !== 'POST') return refusal;
  const { body } = request;
  const outcome = `denied: ${refusal.body.message} ${detailOf(body, origin.envelope)}`;
  await deps.store.write((db) => auditCommand(db, origin, { url: request.routeOptions.url ?? '', body, outcome }));
  return refusal;
}

type Exchange<Caller> = { readonly caller: Caller; readonly request: FastifyRequest; readonly reply: FastifyReply };

async function serve<Kind extends Access, Body extends Schema, Query extends Schema, Answer extends Schema>(
  deps: ApiDeps,
  route: Route<Kind, Body, Query, Answer>,
  exchange: Exchange<CallerOf[Kind]>,
): Promise<FastifyReply> {
  const { caller, request, reply } = exchange;
  const turnedAway = refuseByRole(route, caller);
  const work = () => (turnedAway === undefined ? handle(route, exchange) : deny(deps, request, turnedAway));
  return send(deps, { route, reply }, work);
}

async function send<Answer extends Schema>(
  deps: ApiDeps,
  { route, reply }: { readonly route: { readonly answer: Answer }; readonly reply: FastifyReply },
  work: () => Promise<Reply<z.input<Answer>>>,
): Promise<FastifyReply> {
  const outcome = await work().catch((error: unknown) => refusalOf(error, deps));
  switch (outcome.kind) {
    case 'refusal':
      return reply.code(outcome.status).send(outcome.body);
    case 'answer': {
      // Our own answer is parsed too: a field that the schema does not know never leaves, a missing one is found at
      // once.
      const body = route.answer.parse(outcome.body);
      return body instanceof Buffer ? reply.type('image/png').send(body) : reply.send(body);
    }
    default:
      return assertNever(outcome);
  }
}

async function handle<Kind extends Access, Body extends Schema, Query extends Schema, Answer extends Schema>(
  route: Route<Kind, Body, Query, Answer>,
  exchange: Exchange<CallerOf[Kind]>,
): Promise<Reply<z.input<Answer>>> {
  const { request, reply, caller } = exchange;
  const parsed = inputSchema(route).safeParse({
    body: request.body,
    query: request.query,
    params: request.params,
    idempotencyKey: request.headers['idempotency-key'],
  });
  if (!parsed.success) return badRequest(parsed.error);
  const gone = new AbortController();
  reply.raw.once('close', () => gone.abort());
  const { body, query, params, idempotencyKey: key } = parsed.data;
  return route.handle({
    caller,
    body: body as z.output<Body>,
    query: query as z.output<Query>,
    params,
    idempotencyKey: key,
    signal: gone.signal,
  });
}

function inputSchema(route: { readonly body?: Schema; readonly query?: Schema }) {
  const body: Schema = route.body ?? nothing;
  const query: Schema = route.query ?? nothing;
  return z.object({ body, query, params: pathParameters, idempotencyKey });
}

function badRequest(error: z.ZodError): Refusal {
  const problems = error.issues.slice(0, 5).map((issue) => `${issue.path.join('.') || 'request'}: ${issue.message}`);
  return refuse('bad-request', `The request is not understood: ${problems.join('; ')}`);
}

/** What a caller is told of an error: outages in full, our own bugs in general words only. */
export function refusalOf(error: unknown, deps: Pick<ApiDeps, 'onError'>): Refusal {
  deps.onError(error);
  if (error instanceof OutageError) return refuse('outage', describeCauses(error), { nextStep: error.nextStep });
  return { ...refuse('outage', 'The engine made a mistake of its own; its log says more.'), status: 500 };
}

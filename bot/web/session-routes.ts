import type { z } from 'zod';
import { inputProblems } from '../../protocol/input-problems.ts';
import { lineOfForm } from '../conversation/forms.ts';
import type { ApiDeps } from './api-deps.ts';
import { type Asker, meOf } from './ask-engine.ts';
import { replyToLine } from './line-reply.ts';
import type { LiveSessions } from './live-sessions.ts';
import { badRequest, problemOfRefusal, signedOut, tooMany, WebProblem } from './problem.ts';
import { createRateWindow } from './rate-window.ts';
import { addressOf, type WebApp, type WebRequest } from './server.ts';
import { clearedCookie, sessionCookie, sessionDigest, sessionIn } from './session-cookie.ts';
import { formRequest, lineRequest, signInRequest, signOutRequest } from './web-requests.ts';
import { begunByPersonHeader, type SignInReply, webPaths } from './wire.ts';

/** The session of a request. @throws WebProblem when it has none: nothing is read, and nobody is asked */
export function sessionOf(request: WebRequest): string {
  const session = sessionIn(request.headers.cookie);
  if (session === undefined) throw signedOut();
  return session;
}

/** Who asks: a session that may go on to the engine. @throws WebProblem, or OutageError, when it may not */
export async function admittedAsker(request: WebRequest, { engine, gate }: ApiDeps): Promise<Asker> {
  const isBegunByPerson = request.method === 'POST' || request.headers[begunByPersonHeader] === '1';
  const asker = { engine, session: sessionOf(request), signal: request.signal, isBegunByPerson };
  await gate.admit({ ...asker, address: addressOf(request) });
  return asker;
}

/** What came, as the schema has it. @throws WebProblem when it does not fit */
export function parsed<Schema extends z.ZodType>(schema: Schema, input: unknown): z.output<Schema> {
  const result = schema.safeParse(input);
  if (result.success) return result.data;
  throw badRequest(`The request is not understood: ${inputProblems(result.error).slice(0, 500)}`);
}

/** Signing in and out. */
export function addSignInRoutes(app: WebApp, deps: ApiDeps, live: Pick<LiveSessions, 'checkNow'>): void {
  const { engine, gate, nowMs } = deps;
  const tries = countTries(deps);
  app.post(webPaths.signIn, async (request, reply): Promise<SignInReply> => {
    const address = addressOf(request);
    const { code } = parsed(signInRequest, request.body);
    const answer = await tries(address, () => engine.signIn({ code, address }, {}));
    if (answer.kind === 'refusal') throw refusedSignIn(problemOfRefusal(answer.refusal));
    const { token, person, expiresAtMs } = answer.session;
    gate.welcome(token);
    void reply.header('set-cookie', sessionCookie(token, expiresAtMs - nowMs()));
    return { kind: 'signed-in', name: person };
  });
  app.post(webPaths.signOut, async (request, reply) => {
    const session = sessionOf(request);
    const { isEverywhere } = parsed(signOutRequest, request.body);
    // Whatever the engine says: this browser forgets it.
    void reply.header('set-cookie', clearedCookie);
    if (!(await isSession(request, deps))) return { kind: 'signed-out' };
    const idempotencyKey = `web:${sessionDigest(session)}:sign-out:${isEverywhere}`;
    const answer = await engine.ask({ kind: 'signOut', body: { isEverywhere } }, { session, idempotencyKey });
    live.checkNow({ session, isEverywhere });
    gate.forget(session);
    if (answer.kind === 'refusal' && answer.refusal.kind !== 'unauthenticated') throw problemOfRefusal(answer.refusal);
    return { kind: 'signed-out' };
  });
}

type Tries = <Answer extends { readonly kind: string }>(
  address: string,
  attempt: () => Promise<Answer>,
) => Promise<Answer>;

/** Counts the tries that come to nothing; who has a good code is not kept waiting by those before. @throws WebProblem when there are too many */
function countTries({ limits, clockMs }: ApiDeps): Tries {
  const perAddress = createRateWindow(limits.signInsPerAddress, clockMs);
  const inAll = createRateWindow(limits.signIns, clockMs);
  let underWay = 0;
  return async (address, attempt) => {
    const waitMs = perAddress.look(address) ?? inAll.look('all');
    if (waitMs !== undefined) throw tooMany('Too many tries to sign in.', waitMs);
    if (underWay >= limits.signInsAtOnce) throw tooMany('Too many sign in at this moment.', 1000);
    underWay += 1;
    perAddress.take(address);
    inAll.take('all');
    try {
      const answer = await attempt();
      if (answer.kind === 'signed-in') {
        perAddress.giveBack(address);
        inAll.giveBack('all');
      }
      return answer;
    } finally {
      underWay -= 1;
    }
  };
}

/** A session that is nobody's is signed out already. @throws WebProblem, or OutageError, when it cannot be known */
async function isSession(request: WebRequest, deps: ApiDeps): Promise<boolean> {
  try {
    await admittedAsker(request, deps);
    return true;
  } catch (error) {
    if (!(error instanceof WebProblem) || error.problem.why !== 'signed-out') throw error;
    deps.gate.refused(sessionOf(request), addressOf(request));
    return false;
  }
}

/** A wrong code signs nobody out. */
function refusedSignIn({ status, problem }: WebProblem): WebProblem {
  const isOutage = problem.why === 'outage';
  const nextStep = problem.nextStep ?? '`dr console`, or `/dr console` in chat, gives a new link.';
  return isOutage ? new WebProblem(status, problem) : new WebProblem(403, { ...problem, why: 'refused', nextStep });
}

/** Lines of the grammar, and forms that make one. */
export function addDeedRoutes(app: WebApp, deps: ApiDeps): void {
  const { engine, limits, clockMs, nowMs } = deps;
  const lines = createRateWindow(limits.linesPerSession, clockMs);
  const carryOut = async (request: WebRequest, deed: { readonly line: string; readonly key: string }) => {
    const asker = await admittedAsker(request, deps);
    const { session } = asker;
    // Also a line that asks the engine nothing, such as `help`, is for those who have signed in.
    await meOf(asker);
    const waitMs = lines.take(sessionDigest(session));
    if (waitMs !== undefined) throw tooMany('Too many commands in a short time.', waitMs);
    return replyToLine(deed.line, { engine, session, key: deed.key, nowMs, observe: deps.observeLine });
  };
  app.post(webPaths.line, async (request) => {
    sessionOf(request);
    return carryOut(request, parsed(lineRequest, request.body));
  });
  app.post(webPaths.form, async (request) => {
    sessionOf(request);
    const { form, answers, key } = parsed(formRequest, request.body);
    return carryOut(request, { line: lineOfForm(form.kind, form.context, answers), key });
  });
}

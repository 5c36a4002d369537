import type { ReportView } from '../../../protocol/console-api.ts';
import type { Form, FormAnswers } from '../../form.ts';
import {
  begunByPersonHeader,
  type CardAnswer,
  type LineReply,
  type MachineDetail,
  type Me,
  type Problem,
  type SignInReply,
  webPaths,
} from '../wire.ts';

/** What a view may ask the web server for. A failure is an answer in words, never an exception. */
export type Api = {
  readonly sendLine: (line: string) => Promise<LineReply | Problem>;
  readonly sendForm: (form: Pick<Form, 'kind' | 'context'>, answers: FormAnswers) => Promise<LineReply | Problem>;
  /** `sinceMs`: how far the lag looks back; the server decides when it is left out. */
  readonly machine: (
    name: string,
    sinceMs?: number,
    /** Else the page asks by itself, which keeps no session alive. */
    isBegunByPerson?: boolean,
  ) => Promise<MachineDetail | Problem>;
  readonly card: (topic: string) => Promise<CardAnswer | Problem>;
  readonly report: (
    query: ReportQuery,
    isBegunByPerson?: boolean,
  ) => Promise<(ReportView & { readonly kind: 'report' }) | Problem>;
  /** Who is signed in in this browser; to ask signs nobody out. */
  readonly me: () => Promise<Me | Problem>;
  readonly signIn: (code: string) => Promise<SignInReply>;
  readonly signOut: (isEverywhere: boolean) => Promise<{ readonly kind: 'signed-out' } | Problem>;
  /** For `<img src>`; the picture needs the session's cookie, which the browser sends. */
  readonly pictureUrl: (runId: string) => string;
};
export type ReportQuery = { readonly machine?: string; readonly fromMs: number; readonly toMs: number };

const answerLimitMs = 30_000;
const deedLimitMs = 60_000;

/** The calls over `fetch`. `onSignedOut` hears of each answer that says so. */
export function makeApi(onSignedOut: (why: string) => void): Api {
  const call = <Answer>(request: Call): Promise<Answer | Problem> => callServer(request, onSignedOut);
  return {
    // The key is made once for a deed: a second try after a broken connection does nothing twice.
    sendLine: (line) => call({ path: webPaths.line, body: { line, key: crypto.randomUUID() } }),
    sendForm: ({ kind, context }, answers) =>
      call({ path: webPaths.form, body: { form: { kind, context }, answers, key: crypto.randomUUID() } }),
    machine: (name, sinceMs, isBegunByPerson = false) =>
      call({
        isBegunByPerson,
        path: `${webPaths.machine}${encodeURIComponent(name)}${sinceMs === undefined ? '' : `?sinceMs=${sinceMs}`}`,
      }),
    card: (topic) => call({ path: `${webPaths.card}${encodeURIComponent(topic)}` }),
    report: async (query, isBegunByPerson = true) => {
      const answer = await call<ReportView>({
        path: `${webPaths.report}?${reportWords(query)}`,
        isBegunByPerson,
      });
      return isProblem(answer) ? answer : { ...answer, kind: 'report' };
    },
    me: () => fetchOnce<Me>({ path: webPaths.me }).catch(unreachable),
    // Not through `call`: a wrong code answers 401, and that signs nobody out.
    // And once only: a code that was used up by a broken try has to be asked for anew.
    signIn: (code) => fetchOnce<SignInReply>({ path: webPaths.signIn, body: { code } }).catch(unreachable),
    signOut: async (isEverywhere) => {
      const answer = await call<{ kind: string }>({ path: webPaths.signOut, body: { isEverywhere } });
      return isProblem(answer) ? answer : { kind: 'signed-out' };
    },
    pictureUrl: (runId) => `${webPaths.picture}${encodeURIComponent(runId)}`,
  };
}

type Call = {
  readonly path: string;
  readonly body?: Readonly<Record<string, unknown>>;
  /** Of a question; what carries a body always is. */
  readonly isBegunByPerson?: boolean;
};

async function callServer<Answer>(request: Call, onSignedOut: (why: string) => void): Promise<Answer | Problem> {
  const answer = await twice(() => fetchOnce<Answer>(request));
  if (isProblem(answer) && answer.why === 'signed-out') onSignedOut(answer.message);
  return answer;
}

/** Once more when the connection broke; what comes here is safe to repeat: it reads, or carries a key, or signs out. */
async function twice<Answer>(attempt: () => Promise<Answer | Problem>): Promise<Answer | Problem> {
  try {
    return await attempt();
  } catch {
    // The second try's failure is the one that is told.
  }
  try {
    return await attempt();
  } catch (error) {
    return unreachable(error);
  }
}

async function fetchOnce<Answer>({ path, body, isBegunByPerson = false }: Call): Promise<Answer | Problem> {
  const response = await fetch(path, {
    credentials: 'same-origin',
    cache: 'no-store',
    signal: AbortSignal.timeout(body === undefined ? answerLimitMs : deedLimitMs),
    ...(isBegunByPerson && { headers: { [begunByPersonHeader]: '1' } }),
    ...(body !== undefined && {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify(body),
    }),
  });
  const text = await response.text();
  const answer = parsed(text);
  if (isProblem(answer)) return answer;
  if (!response.ok) return oddAnswer(response.status);
  // The server is the page's own and was built with it: what it says is as `wire.ts` says.
  return answer as Answer;
}

function parsed(text: string): unknown {
  try {
    return text === '' ? {} : JSON.parse(text);
  } catch {
    // Not from our server, e.g. a proxy's page: the status then decides.
    return undefined;
  }
}

/** True for an answer that says what went wrong instead of what was asked for. */
export function isProblem(answer: unknown): answer is Problem {
  return typeof answer === 'object' && answer !== null && 'kind' in answer && answer.kind === 'problem';
}

function oddAnswer(status: number): Problem {
  if (status === 401) return { kind: 'problem', why: 'signed-out', message: 'You are signed out.', nextStep: null };
  const nextStep = 'Try again. If it stays so, use `dr` in a terminal or chat.';
  return { kind: 'problem', why: 'outage', message: `The console's server answered ${status}.`, nextStep };
}

function unreachable(error: unknown): Problem {
  const isLate = error instanceof DOMException && error.name === 'TimeoutError';
  return {
    kind: 'problem',
    why: 'outage',
    message: isLate ? "The console's server did not answer in time." : "The console's server cannot be reached.",
    nextStep:
      'If you had just ordered something, look at the runs before you order it again. `dr` in a terminal needs no console.',
  };
}

function reportWords({ machine, fromMs, toMs }: ReportQuery): URLSearchParams {
  return new URLSearchParams({ ...(machine !== undefined && { machine }), fromMs: String(fromMs), toMs: String(toMs) });
}

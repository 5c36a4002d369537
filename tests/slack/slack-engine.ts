import type { ApiAnswer, ApiCall } from '../../bot/api-call.ts';
import type { BotClient } from '../../bot/engine-client.ts';
import type { AlertId, ApprovalId } from '../../domain/ids.ts';
import { OutageError } from '../../domain/outage.ts';
import type { AlertView, ApprovalView, ChatActor, ChatPlace } from '../../protocol/chat-api.ts';
import type { RefusalBody } from '../../protocol/control-api.ts';
import { engineOf, worlds } from '../bot/recorded-answers.ts';

export function pendingApproval(nowMs: number): ApprovalView {
  return {
    id: 'apr_7K3M9Q2WXA' as ApprovalId,
    revision: 1,
    digest: 'ab12cd34'.repeat(8),
    operation: 'planned-failover',
    machineNames: ['vm-7'],
    state: 'pending',
    requestedBy: 'ana',
    requestedVia: 'slack',
    reason: 'DC power work <!channel> <http://evil|click>',
    requestedAtMs: nowMs - 60_000,
    expiresAtMs: nowMs + 1_800_000,
    neededCount: 1,
    votes: [],
    eligible: ['ben'],
    impact: ['vm-7 stops for about 40 s and starts again at qemu.'],
    checks: [{ name: 'replication', state: 'ok', detail: 'protected, lag 9 s' }],
    facts: [{ label: 'Target', value: 'qemu at hv-2' }],
    isBreakGlass: false,
    review: null,
    decidedBy: null,
    decidedAtMs: null,
    decisionReason: null,
    runId: null,
    measured: null,
  };
}

export const lagAlert: AlertView = {
  id: 'alr_9QX2M4P6ST' as AlertId,
  revision: 3,
  rule: 'lag',
  scope: 'vm-7',
  severity: 'critical',
  state: 'open',
  title: 'vm-7 lags 4 min behind',
  text: 'The newest point of vm-7 is 4 min old; the policy allows 60 s.',
  nextStep: 'look at the agent of hv-1: `show host:hv-1`',
  machineNames: ['vm-7'],
  members: [],
  occurrences: 2,
  openedAtMs: 0,
  changedAtMs: 0,
  recoveredAtMs: null,
  owner: null,
  snoozedUntilMs: null,
  escalationLevel: 1,
};

export type Asked = { readonly call: ApiCall; readonly actor: ChatActor | undefined; readonly key: string | undefined };

/**
 * An engine's answers for what Slack has to show. The true rules are the engine's and are tested there; here only as much of them as
 * the conversation needs: keys, links, kinds of people, revisions, codes.
 */
export type SlackEngine = Pick<BotClient, 'ask' | 'follow'> & {
  readonly asked: Asked[];
  readonly followed: { readonly topic: string; readonly place: ChatPlace }[];
  /** Orders that were carried out, once for each key. */
  readonly done: string[];
  approval: ApprovalView;
  /** Slack user → person. */
  readonly people: Map<string, string>;
  /** Awaited before each answer; a test makes the engine slow or away with it. */
  before: () => Promise<void>;
};

export function slackEngine(nowMs: number): SlackEngine {
  const recorded = engineOf(worlds.drill ?? { machines: [] });
  const answered = new Map<string, ApiAnswer>();
  const engine: SlackEngine = {
    asked: [],
    followed: [],
    done: [],
    approval: pendingApproval(nowMs),
    people: new Map(),
    before: async () => undefined,
    ask: async (call, { actor, idempotencyKey: key }) => {
      engine.asked.push({ call, actor, key });
      await engine.before();
      const known = key === undefined ? undefined : answered.get(key);
      if (known !== undefined) return known;
      const answer = await answerTo(call, actor, { engine, recorded });
      if (key !== undefined) answered.set(key, answer);
      if (key !== undefined && answer.kind !== 'refusal') engine.done.push(call.kind);
      return answer;
    },
    follow: async ({ topic, place }) => {
      await engine.before();
      engine.followed.push({ topic, place });
    },
  };
  return engine;
}

/** What an engine that is not there does. */
export async function away(): Promise<never> {
  throw new OutageError('asking the engine at https://dr.example', {
    retryable: true,
    nextStep: 'check that the engine runs',
  });
}

type Parts = { readonly engine: SlackEngine; readonly recorded: ReturnType<typeof engineOf> };

async function answerTo(call: ApiCall, actor: ChatActor | undefined, { engine, recorded }: Parts): Promise<ApiAnswer> {
  if (actor === undefined) return refusal('unauthenticated', 'nobody speaks');
  if (actor.kind !== 'member')
    return refusal('forbidden', `${actor.kind === 'external' ? 'An' : 'A'} ${actor.kind} may do nothing here.`);
  const person = engine.people.get(actor.user);
  if (call.kind === 'whoami') return whoami(person, actor);
  if (person === undefined) return refusal('not-linked', 'I do not know who you are. Type `link` first.');
  switch (call.kind) {
    case 'approval':
      return { kind: 'approval', approval: engine.approval };
    case 'approvals':
      return { kind: 'approvals', approvals: [engine.approval] };
    case 'alert':
      return { kind: 'alert', alert: lagAlert };
    case 'alerts':
      return { kind: 'alerts', alerts: [lagAlert] };
    case 'surfaces':
      return { kind: 'surfaces', surfaces: [] };
    case 'lagSeries': {
      const series = { machineName: call.machine, thresholdMs: 60_000, fromMs: 0, toMs: 3_600_000 };
      return { kind: 'lagSeries', series: { ...series, samples: [{ atMs: 1_800_000, lagMs: 9000 }] } };
    }
    case 'approve':
      return vote(engine, person, call.body);
    case 'reject':
      return decided(engine, { state: 'rejected', decidedBy: person, decisionReason: call.body.reason });
    default:
      return recorded.ask(call);
  }
}

function whoami(person: string | undefined, actor: ChatActor): ApiAnswer {
  const isLinked = person !== undefined;
  return {
    kind: 'whoami',
    whoami: {
      name: person ?? actor.displayName,
      roles: isLinked ? ['approver'] : [],
      grants: [],
      via: 'slack',
      isLinked,
      hasAuthenticator: isLinked,
      isOnCall: false,
    },
  };
}

function vote(
  engine: SlackEngine,
  person: string,
  body: { readonly revision?: number | undefined; readonly code?: string | undefined },
): ApiAnswer {
  const { approval } = engine;
  if (body.revision !== undefined && body.revision !== approval.revision) {
    return refusal(
      'refused',
      `This request was changed since: revision ${approval.revision} is newer than what you saw.`,
    );
  }
  if (!approval.eligible.includes(person)) return refusal('forbidden', 'Who asks may not decide.');
  if (approval.state !== 'pending') return refusal('refused', `This request is ${approval.state} already.`);
  if (body.code === undefined) return refusal('step-up', 'The six-digit code is missing.');
  if (body.code !== '123456') return refusal('step-up', 'This code is wrong; 4 tries are left.');
  return decided(engine, { state: 'executing', decidedBy: person });
}

function decided(engine: SlackEngine, change: Partial<ApprovalView>): ApiAnswer {
  engine.approval = { ...engine.approval, ...change, revision: engine.approval.revision + 1 };
  return {
    kind: 'order',
    answer: { kind: 'approval', approval: engine.approval, message: `${engine.approval.state}.` },
  };
}

function refusal(kind: RefusalBody['kind'], message: string): ApiAnswer {
  return { kind: 'refusal', refusal: { kind, message, candidates: [], nextStep: null } };
}

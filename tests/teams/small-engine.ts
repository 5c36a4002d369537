import type { ApiAnswer, ApiCall } from '../../bot/api-call.ts';
import type { BotClient, PlaceView } from '../../bot/engine-client.ts';
import type { AlertId, ApprovalId } from '../../domain/ids.ts';
import { OutageError } from '../../domain/outage.ts';
import type { AlertView, ApprovalView, ChatActor } from '../../protocol/chat-api.ts';
import type { RefusalBody } from '../../protocol/control-api.ts';
import { engineOf, worlds } from '../bot/recorded-answers.ts';

export const pendingApproval: ApprovalView = {
  id: 'apr_7K3M9Q2WXA' as ApprovalId,
  revision: 1,
  digest: 'ab12cd34'.repeat(8),
  operation: 'planned-failover',
  machineNames: ['vm-7'],
  state: 'pending',
  requestedBy: 'ana',
  requestedVia: 'teams',
  reason: 'DC power work',
  requestedAtMs: 0,
  expiresAtMs: 0,
  neededCount: 1,
  votes: [],
  eligible: ['ben'],
  impact: [
    'vm-7 stops for about 40 s and starts again at qemu.',
    'No data is lost: the last changes are sent after it has stopped.',
  ],
  checks: [
    { name: 'replication', state: 'ok', detail: 'protected, lag 9 s' },
    { name: 'space at the target', state: 'warning', detail: '31 GiB free, 20 GiB needed' },
  ],
  facts: [{ label: 'Target', value: 'qemu at hv-2' }],
  isBreakGlass: false,
  review: null,
  decidedBy: null,
  decidedAtMs: null,
  decisionReason: null,
  runId: null,
  measured: null,
};

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

type Asked = { readonly call: ApiCall; readonly actor: ChatActor | undefined; readonly key: string | undefined };

export type SmallEngine = Pick<BotClient, 'ask' | 'follow' | 'places' | 'savePlace'> & {
  readonly asked: Asked[];
  readonly followed: string[];
  readonly savedPlaces: PlaceView[];
  approval: ApprovalView;
  /** Entra object ids of people who are linked, and what they are called here. */
  readonly people: Map<string, string>;
  isAwayForPlaces: boolean;
  /** Runs before each answer; a test makes the engine slow or away with it. */
  before: (call: ApiCall) => Promise<void>;
};

/** An engine's answers for what Teams has to show; the true rules are tested where they are kept. */
export function smallEngine(): SmallEngine {
  const recorded = engineOf(worlds.well ?? { machines: [] });
  const engine: SmallEngine = {
    asked: [],
    followed: [],
    savedPlaces: [],
    approval: { ...pendingApproval, requestedAtMs: Date.now() - 60_000, expiresAtMs: Date.now() + 1_800_000 },
    people: new Map(),
    isAwayForPlaces: false,
    before: async () => undefined,
    ask: async (call, { actor, idempotencyKey }) => {
      engine.asked.push({ call, actor, key: idempotencyKey });
      await engine.before(call);
      if (actor !== undefined && actor.kind !== 'member')
        return refusal('forbidden', `A ${actor.kind} may do nothing here.`);
      const person = engine.people.get(actor?.user ?? '');
      if (person === undefined && call.kind !== 'whoami')
        return refusal('not-linked', 'I do not know who you are: `link` first.');
      return answer(call, { engine, person, actor, recorded });
    },
    follow: async ({ topic, place }) => void engine.followed.push(`${topic} ${place.place}`),
    places: async () => {
      if (engine.isAwayForPlaces) throw new OutageError('asking for places', { retryable: true });
      return engine.savedPlaces;
    },
    savePlace: async (place) => {
      if (engine.isAwayForPlaces) throw new OutageError('saving a place', { retryable: true });
      engine.savedPlaces.push({ ...place, isSubscribed: false });
    },
  };
  return engine;
}

type Asking = {
  readonly engine: SmallEngine;
  readonly person: string | undefined;
  readonly actor: ChatActor | undefined;
  readonly recorded: ReturnType<typeof engineOf>;
};

async function answer(call: ApiCall, { engine, person, actor, recorded }: Asking): Promise<ApiAnswer> {
  switch (call.kind) {
    case 'whoami':
      return {
        kind: 'whoami',
        whoami: {
          name: person ?? actor?.displayName ?? '',
          roles: person === undefined ? [] : ['operator'],
          grants: [],
          via: 'teams',
          isLinked: person !== undefined,
          hasAuthenticator: true,
          isOnCall: false,
        },
      };
    case 'approval':
      return { kind: 'approval', approval: engine.approval };
    case 'approvals':
      return { kind: 'approvals', approvals: [engine.approval] };
    case 'alert':
      return { kind: 'alert', alert: lagAlert };
    case 'alerts':
      return { kind: 'alerts', alerts: [lagAlert] };
    case 'approve':
      return vote(engine, person ?? '', call.body.code);
    case 'reject':
      return decide(engine, { state: 'rejected', decidedBy: person ?? '', decisionReason: call.body.reason });
    case 'link':
      return {
        kind: 'link',
        link: { kind: 'code', code: 'QX7-33K', expiresAtMs: Date.now() + 600_000, typeWhere: 'terminal' },
      };
    case 'cleanup':
      return { kind: 'order', answer: { kind: 'run-started', runId: 'run_4F6H8J0KMN' } };
    default:
      return recorded.ask(call);
  }
}

function vote(engine: SmallEngine, person: string, code: string | undefined): ApiAnswer {
  if (person === engine.approval.requestedBy)
    return refusal('forbidden', 'You asked for this yourself: somebody else decides.');
  if (code?.replace(/\s/g, '') !== '123456') {
    return refusal('step-up', code === undefined ? 'This needs your six-digit code.' : 'That code is wrong.');
  }
  const voted = { person, decision: 'approve', atMs: Date.now(), via: 'teams', reason: '', stepUp: 'totp' } as const;
  return decide(engine, { state: 'approved', votes: [voted] });
}

function decide(engine: SmallEngine, more: Partial<ApprovalView>): ApiAnswer {
  engine.approval = { ...engine.approval, ...more, revision: engine.approval.revision + 1, decidedAtMs: Date.now() };
  return {
    kind: 'order',
    answer: { kind: 'approval', approval: engine.approval, message: `It is ${engine.approval.state}.` },
  };
}

function refusal(kind: RefusalBody['kind'], message: string): ApiAnswer {
  return { kind: 'refusal', refusal: { kind, message, candidates: [], nextStep: null } };
}

import type { ApiAnswer, ApiCall, WhoamiView } from '../../bot/api-call.ts';
import type { CallOptions } from '../../bot/engine-client.ts';
import type { AlertId, ApprovalId, RunId } from '../../domain/ids.ts';
import type { AlertView, ApprovalView, DeliveryView } from '../../protocol/chat-api.ts';
import type { RefusalBody, RunView } from '../../protocol/control-api.ts';
import { machine, newest, nowMs, seriesOf } from '../bot/recorded-answers.ts';

const approvalId = 'apr_7K3M9Q2WXA' as ApprovalId;
const alertId = 'alr_9QX2M4P6RT' as AlertId;
const runId = 'run_3D5F7H9J1K' as RunId;
const digest = '4be91c07d2a3f5e6'.repeat(4);

/** Ana operates, Ben and Cleo approve, Dan and Fay administer; Eve is in the chat and linked to nobody. */
const people: Readonly<Record<string, WhoamiView['roles']>> = {
  ana: ['operator'],
  ben: ['approver'],
  cleo: ['approver'],
  dan: ['admin'],
  fay: ['admin'],
};

type Subject = Exclude<DeliveryView['subject'], { kind: 'picture' | 'run' }> | { kind: 'run-view'; run: RunView };

/** What one scenario's engine remembers; every answer is made of it. */
export type ChatWorld = {
  readonly ask: (call: ApiCall, options: CallOptions) => Promise<ApiAnswer>;
  readonly follow: (topic: string) => void;
  /** What has to be drawn anew since the last time, in the channel. */
  readonly changed: () => readonly { readonly topic: string; readonly isNew: boolean; readonly subject: Subject }[];
  /** Something happens without anybody's word. */
  readonly happen: (what: string) => void;
  readonly passTime: (ms: number) => void;
  readonly nowMs: () => number;
};

type State = {
  nowMs: number;
  approval: ApprovalView | undefined;
  alert: AlertView | undefined;
  run: RunView | undefined;
  readonly followed: Map<string, { drawn: string | undefined }>;
};

export function createChatWorld(): ChatWorld {
  const state: State = { nowMs, approval: undefined, alert: undefined, run: undefined, followed: new Map() };
  return {
    ask: async (call, options) => {
      const person = personOf(options);
      const open = call.kind === 'whoami' || call.kind === 'link';
      if (people[person] === undefined && !open) return stranger(options);
      return answer(state, call, person);
    },
    follow: (topic) => {
      if (!state.followed.has(topic)) state.followed.set(topic, { drawn: undefined });
    },
    changed: () => {
      const found = [...state.followed].flatMap(([topic, copy]) => {
        const subject = subjectOf(state, topic);
        const drawn = JSON.stringify(subject);
        if (subject === undefined || drawn === copy.drawn) return [];
        const isNew = copy.drawn === undefined;
        copy.drawn = drawn;
        return [{ topic, isNew, subject }];
      });
      return found;
    },
    happen: (what) => happen(state, what),
    passTime: (ms) => {
      state.nowMs += ms;
    },
    nowMs: () => state.nowMs,
  };
}

function personOf(options: CallOptions): string {
  return options.actor?.user.toLowerCase() ?? 'ana';
}

function subjectOf(state: State, topic: string): Subject | undefined {
  if (topic.startsWith('approval:')) return state.approval && { kind: 'approval', approval: state.approval };
  if (topic.startsWith('alert:')) return state.alert && { kind: 'alert', alert: state.alert };
  return state.run && { kind: 'run-view', run: state.run };
}

function refusal(body: Partial<RefusalBody> & { readonly message: string }): ApiAnswer {
  return { kind: 'refusal', refusal: { kind: 'refused', candidates: [], nextStep: null, ...body } };
}

function stranger({ actor }: CallOptions): ApiAnswer {
  return refusal({
    kind: 'not-linked',
    message: `${actor?.displayName ?? 'You'} is known in chat, but is linked to no person of this installation.`,
    nextStep: 'Type `link`: it gives a code to confirm in a terminal.',
  });
}

function answer(state: State, call: ApiCall, person: string): ApiAnswer {
  switch (call.kind) {
    case 'whoami':
      return { kind: 'whoami', whoami: whoami(person) };
    case 'machines':
      return { kind: 'machines', machines: [machine('vm-7'), machine('vm-8', { lagMs: 14_000 })] };
    case 'machine':
      return call.name === 'vm-7'
        ? { kind: 'machine', machine: machine('vm-7') }
        : refusal({
            kind: 'unknown-target',
            message: `There is no machine ${call.name}. Did you mean vm-7?`,
            candidates: ['vm-7'],
          });
    case 'approvals':
      return { kind: 'approvals', approvals: state.approval === undefined ? [] : [state.approval] };
    case 'alerts':
      return { kind: 'alerts', alerts: state.alert === undefined ? [] : [state.alert] };
    case 'approval':
      return state.approval?.id === call.id
        ? { kind: 'approval', approval: state.approval }
        : refusal({ kind: 'unknown-target', message: `There is no request ${call.id}.` });
    case 'alert':
      return state.alert?.id === call.id
        ? { kind: 'alert', alert: state.alert }
        : refusal({ kind: 'unknown-target', message: `There is no alert ${call.id}.` });
    case 'run':
      return state.run === undefined ? refusal({ message: 'There is no run.' }) : { kind: 'run', run: state.run };
    case 'surfaces':
      return { kind: 'surfaces', surfaces: [] };
    case 'lagSeries':
      return { kind: 'lagSeries', series: seriesOf(call.machine) };
    default:
      return order(state, call, person);
  }
}

function whoami(person: string): WhoamiView {
  const roles = people[person];
  const isLinked = roles !== undefined;
  return {
    name: isLinked ? person : 'Eve Adams',
    roles: roles ?? [],
    grants: (roles ?? []).map((role) => ({ role: role as 'operator', scope: { kind: 'everything' } })),
    via: 'slack',
    isLinked,
    hasAuthenticator: person !== 'cleo' && isLinked,
    isOnCall: false,
  };
}

function order(state: State, call: ApiCall, person: string): ApiAnswer {
  switch (call.kind) {
    case 'plannedFailover':
      return call.body.dryRun ? dryRun(call.body.machine) : askFor(state, call.body, person);
    case 'role':
      return changeRole(state, call.body, person);
    case 'approve':
    case 'reject':
    case 'withdraw':
      return decide(state, call, person);
    case 'ack':
      return changeAlert(state, { state: 'acknowledged', owner: person }, `${person} looks after it.`);
    case 'snooze':
      return changeAlert(
        state,
        { state: 'snoozed', owner: person, snoozedUntilMs: state.nowMs + call.body.forMs },
        `${person} snoozed it.`,
      );
    case 'signInLink': {
      const code = '7K3M-9Q2W-XA4T';
      const url = `https://lifeboat.example:7443/sign-in#${code}`;
      return { kind: 'signInLink', link: { url, code, expiresAtMs: state.nowMs + 300_000 } };
    }
    case 'signOut': {
      const message = `${person} signed out of the web console everywhere: 1 session ended.`;
      return { kind: 'order', answer: { kind: 'done', message } };
    }
    case 'link': {
      const expiresAtMs = state.nowMs + 600_000;
      return { kind: 'link', link: { kind: 'code', code: '7K3M-9Q2W', expiresAtMs, typeWhere: 'terminal' } };
    }
    default:
      return refusal({ message: `This world does not know ${call.kind}.` });
  }
}

const checks: ApprovalView['checks'] = [
  { name: 'the guest can be shut down in order', state: 'ok', detail: 'its guest agent answers' },
  { name: 'lag', state: 'ok', detail: '9 s of 1 min' },
  { name: 'drill', state: 'warning', detail: 'the last one was 40 d ago' },
];
const impact = ['vm-7 is shut down and starts again at the target; people notice about a minute.', 'No data is lost.'];

function dryRun(machineName: string): ApiAnswer {
  const plan = {
    digest,
    machineName,
    newestPoint: newest,
    lagMs: 9000,
    target: 'qemu on this host',
    vmName: `${machineName}-failover`,
    network: 'production',
    accelerator: 'kvm',
    shutdownLimitMs: 120_000,
    neededCount: 1,
    eligible: ['ben', 'cleo'],
    impact,
    checks,
    steps: ['shut down the original', 'send the last changes', 'start at the target', 'verify', 'hydrate'],
    measured: null,
    measuredDrills: { medianMs: 4200, slowestMs: 9100, runCount: 10 },
  };
  return { kind: 'order', answer: { kind: 'failover-plan', plan } };
}

function askFor(state: State, body: { machine: string; reason: string }, person: string): ApiAnswer {
  const approval: ApprovalView = {
    id: approvalId,
    revision: 1,
    digest,
    operation: 'planned-failover',
    machineNames: [body.machine],
    state: 'pending',
    requestedBy: person,
    requestedVia: 'slack',
    reason: body.reason,
    requestedAtMs: state.nowMs,
    expiresAtMs: state.nowMs + 1_800_000,
    neededCount: 1,
    votes: [],
    eligible: ['ben', 'cleo'],
    impact,
    checks,
    facts: [{ label: 'Data loss', value: 'none: the last changes are sent after the shutdown, and compared' }],
    isBreakGlass: false,
    review: null,
    decidedBy: null,
    decidedAtMs: null,
    decisionReason: null,
    runId: null,
    measured: null,
  };
  state.approval = approval;
  const message = `Asked for ${approvalId}; ben or cleo can approve it until 14:32:20Z.`;
  return { kind: 'order', answer: { kind: 'approval', approval, message } };
}

/** Ana, an operator, is given another role: at once, or when the other admin has agreed. */
function changeRole(state: State, body: Extract<ApiCall, { kind: 'role' }>['body'], person: string): ApiAnswer {
  if (!people[person]?.includes('admin')) {
    return refusal({
      kind: 'forbidden',
      message: `This needs the role admin for everything; you are ${people[person]}.`,
    });
  }
  if (people[body.person] === undefined) {
    const message = `There is no person ${body.person} here, or they are disabled.`;
    return refusal({ kind: 'unknown-target', message, candidates: ['ana'] });
  }
  const where = body.scope.kind === 'machine' ? ` for ${body.scope.name}` : '';
  const after = where === '' ? body.role : `operator, ${body.role}${where}`;
  const change = `operator → ${after}`;
  if (body.role === 'viewer') {
    return { kind: 'order', answer: { kind: 'done', message: `${person} changed ${body.person}: ${change}.` } };
  }
  askFor(state, { machine: 'vm-7', reason: body.reason || 'no reason given' }, person);
  const approval: ApprovalView = {
    ...(state.approval as ApprovalView),
    operation: 'change-approvers',
    machineNames: [],
    subject: { person: body.person, change },
    expiresAtMs: state.nowMs + 86_400_000,
    eligible: ['fay'],
    impact: [
      `${body.person} will decide about what others ask for, as ${body.role}${where}.`,
      `Admin of everything after it: ${after === 'admin' ? 'ana, ' : ''}dan, fay.`,
    ],
    checks: [],
    facts: [
      { label: 'Roles now', value: 'operator' },
      { label: 'Roles after it', value: after },
    ],
  };
  state.approval = approval;
  const message = `${approvalId} waits for approval. One other person must agree within 24 h. Who may: fay.`;
  return { kind: 'order', answer: { kind: 'approval', approval, message } };
}

type Decision = Extract<ApiCall, { kind: 'approve' | 'reject' | 'withdraw' }>;

function decide(state: State, call: Decision, person: string): ApiAnswer {
  const { approval } = state;
  if (approval === undefined || approval.id !== call.body.approval) {
    return refusal({ kind: 'unknown-target', message: `There is no request ${call.body.approval}.` });
  }
  if (approval.state !== 'pending') {
    return refusal({ message: `It is decided already: ${approval.state} by ${approval.votes[0]?.person ?? person}.` });
  }
  if (call.kind === 'withdraw') return endWith(state, { state: 'withdrawn', decidedBy: person }, 'Withdrawn.');
  if (approval.requestedBy === person) return refusal({ message: 'You cannot decide on a request of your own.' });
  if (approval.subject?.person === person) {
    return refusal({
      kind: 'forbidden',
      message: 'This is about your own rights: somebody else must decide. Who may: fay.',
    });
  }
  if (!approval.eligible.includes(person)) {
    if (approval.subject !== undefined)
      return refusal({ kind: 'forbidden', message: 'You are not an admin of everything.' });
    return refusal({ kind: 'forbidden', message: `This needs the role approver; you are ${people[person]?.join()}.` });
  }
  if (call.kind === 'reject') {
    const { reason } = call.body;
    return endWith(
      state,
      { state: 'rejected', decidedBy: person, decisionReason: reason },
      `Rejected; ${approval.requestedBy} is told.`,
    );
  }
  return approve(state, call.body, person);
}

function approve(state: State, body: Extract<ApiCall, { kind: 'approve' }>['body'], person: string): ApiAnswer {
  if (body.code !== '123456') {
    const isMissing = body.code === undefined;
    return refusal({
      kind: 'step-up',
      message: isMissing
        ? 'Your six-digit code is missing.'
        : 'That code is wrong, or was used before. 4 tries are left.',
      nextStep: person === 'cleo' ? 'Set up your codes first: `authenticator`.' : null,
    });
  }
  const vote = { person, decision: 'approve', atMs: state.nowMs, via: 'slack', reason: body.reason ?? '' } as const;
  if (state.approval?.operation === 'change-approvers') {
    const votes: ApprovalView['votes'] = [{ ...vote, stepUp: 'totp' }];
    const { subject } = state.approval;
    const message = `${person} approved the role change of ${subject?.person}: ${subject?.change}. It holds from now on.`;
    return endWith(state, { state: 'succeeded', votes, decidedBy: person, decisionReason: '' }, message);
  }
  state.run = runAt(state, 1);
  state.followed.set(`run:${runId}`, { drawn: undefined });
  return endWith(
    state,
    { state: 'executing', votes: [{ ...vote, stepUp: 'totp' }], runId },
    `Approved; the run is ${runId}.`,
  );
}

function endWith(state: State, change: Partial<ApprovalView>, message: string): ApiAnswer {
  const before = state.approval as ApprovalView;
  const isEnd = change.decidedBy !== undefined;
  const approval = {
    ...before,
    ...change,
    revision: before.revision + 1,
    ...(isEnd && { decidedAtMs: state.nowMs }),
  };
  state.approval = approval;
  return { kind: 'order', answer: { kind: 'approval', approval, message } };
}

function changeAlert(state: State, change: Partial<AlertView>, message: string): ApiAnswer {
  if (state.alert === undefined) return refusal({ kind: 'unknown-target', message: 'There is no such alert.' });
  state.alert = { ...state.alert, ...change, revision: state.alert.revision + 1 };
  return { kind: 'order', answer: { kind: 'done', message } };
}

const stepNames = ['shut down the original', 'send the last changes', 'start at the target', 'verify', 'hydrate'];

function runAt(state: State, doneCount: number): RunView {
  const startedAtMs = state.run?.startedAtMs ?? state.nowMs;
  return {
    id: runId,
    kind: 'planned-failover',
    machineName: 'vm-7',
    state: 'active',
    requestedBy: 'ana',
    startedAtMs,
    finishedAtMs: null,
    steps: stepNames.map((name, index) => ({
      name,
      state: index < doneCount ? 'done' : index === doneCount ? 'running' : 'pending',
      startedAtMs: index <= doneCount ? startedAtMs + index * 9000 : null,
      finishedAtMs: index < doneCount ? startedAtMs + index * 9000 + 8000 : null,
    })),
    failure: null,
    result: null,
    approvalId,
  };
}

function happen(state: State, what: string): void {
  const { alert } = state;
  switch (what) {
    case 'the run ends well':
      state.nowMs += 46_000;
      state.run = finishedRun(state);
      if (state.approval !== undefined) {
        const measured = { rpoMs: 0, rtoMs: 43_000 };
        const decided = { decidedBy: 'ben', decidedAtMs: state.nowMs, decisionReason: 'fine, window is agreed' };
        state.approval = { ...state.approval, state: 'succeeded', revision: 3, measured, ...decided };
      }
      return;
    case 'nobody decides in time':
      state.nowMs += 1_800_000;
      endWith(state, { state: 'expired', decidedAtMs: state.nowMs }, '');
      return;
    case 'vm-7 lags':
      state.alert = lagAlert(state);
      state.followed.set(`alert:${alertId}`, { drawn: undefined });
      return;
    case 'it gets worse':
      if (alert !== undefined) {
        const text = 'The newest recovery point is 3 min 20 s old; critical is 3 min.';
        state.alert = { ...alert, severity: 'critical', state: 'open', text, revision: alert.revision + 1 };
      }
      return;
    case 'it recovers':
      if (alert !== undefined) {
        state.nowMs += 240_000;
        const recovered = { state: 'recovered', recoveredAtMs: state.nowMs, text: 'The lag is 9 s again.' } as const;
        state.alert = { ...alert, ...recovered, revision: alert.revision + 1 };
      }
      return;
    default:
      throw new Error(`nothing is known of "${what}"`);
  }
}

function finishedRun(state: State): RunView {
  return {
    ...runAt(state, stepNames.length),
    state: 'succeeded',
    finishedAtMs: state.nowMs,
    result: {
      point: newest,
      pointAgeMs: 0,
      secondsToGuestUp: 21,
      marker: 'LIFEBOAT vm-7 disk0=4711 disk1=4711',
      verified: true,
      verification: 'It printed its marker after 21 s: LIFEBOAT vm-7 disk0=4711 disk1=4711',
      consolePicture: null,
      vmName: 'vm-7-failover',
      accelerator: 'kvm',
      failover: {
        rpoMs: 0,
        rtoMs: 43_000,
        proof: 'The last position of each disk at the source equals the one that was started.',
        disksComparedCount: 2,
      },
    },
  };
}

function lagAlert(state: State): AlertView {
  return {
    id: alertId,
    revision: 1,
    rule: 'lag',
    scope: 'vm-7',
    severity: 'warning',
    state: 'open',
    title: 'vm-7 lags',
    text: 'The newest recovery point is 1 min 15 s old; the limit is 1 min.',
    nextStep: '`lag vm-7` shows the curve; look at the link of hv-1.',
    machineNames: ['vm-7'],
    members: [],
    occurrences: 1,
    openedAtMs: state.nowMs - 15_000,
    changedAtMs: state.nowMs,
    recoveredAtMs: null,
    owner: null,
    snoozedUntilMs: null,
    escalationLevel: 0,
  };
}

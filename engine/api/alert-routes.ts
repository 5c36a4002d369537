import { z } from 'zod';
import { type AccessRequest, decideAccess } from '../../domain/access.ts';
import type { AlertOrder } from '../../domain/alert-attention.ts';
import { assertNever } from '../../domain/invariant.ts';
import { lagSamples } from '../../domain/lag-series.ts';
import { nearestNames } from '../../domain/nearest-names.ts';
import { dayMs, hourMs } from '../../domain/units.ts';
import { alertBody, alertView, chatRoutes, type LagSeries, lagSeries, snoozeBody } from '../../protocol/chat-api.ts';
import { type OrderReply, orderAlert } from '../alerting/orders.ts';
import { alertViewOf, listAlertViews } from '../store/alerts.ts';
import type { Database } from '../store/database.ts';
import { pointArrivals } from '../store/lag-series.ts';
import { tagsOfMachines } from '../store/machine-tags.ts';
import type { Store } from '../store/open.ts';
import { thresholdsOf } from '../store/thresholds.ts';
import type { Person } from './authentication.ts';
import { type CommandReply, commandsOf } from './command.ts';
import type { ApiDeps } from './deps.ts';
import { findByName } from './find-machine.ts';
import { answer, type Refusal, type Reply, refuse } from './reply.ts';
import type { Router } from './route.ts';

const lagSinceMsDefault = 24 * hourMs;
const samplesMax = 2000;

/** Alerts as they are, and the curve behind them. Source: CHAT 5.3 */
export function addAlertLooks(router: Router, { store }: ApiDeps): void {
  const looking = { method: 'GET', access: 'person', needs: 'look' } as const;
  router.add({
    ...looking,
    url: chatRoutes.alerts,
    summary: 'Alerts: the open ones, then those that ended within a day',
    answer: z.array(alertView),
    handle: async () => answer(await store.read((db) => listAlertViews(db))),
  });
  router.add({
    ...looking,
    url: chatRoutes.alert,
    summary: 'One alert',
    answer: alertView,
    async handle({ params }) {
      const view = await store.read((db) => alertViewOf(db, params.id ?? ''));
      return view === undefined ? store.read((db) => unknownAlert(db, params.id ?? '')) : answer(view);
    },
  });
  router.add({
    ...looking,
    access: 'looker',
    url: chatRoutes.lagSeries,
    summary: 'The lag of a machine as a curve',
    query: z.object({
      sinceMs: z.coerce
        .number()
        .int()
        .min(60_000)
        .max(7 * dayMs)
        .default(lagSinceMsDefault),
    }),
    answer: lagSeries,
    handle: ({ params, query }) => lagReply(store, params.name ?? '', query.sinceMs),
  });
}

/** What people do with alerts; their role must count for every machine of the alert, or for everything when it is about none. */
export function addAlertRoutes(router: Router, deps: ApiDeps): void {
  const command = commandsOf(router, deps);
  const order = (caller: Person, needs: AccessRequest, wanted: AlertOrder & { readonly alertId: string }) =>
    deps.store.write((db) => carryOut(db, { caller, needs, wanted }));
  const simple = {
    ack: 'Take an alert: it does not escalate any more',
    unack: 'Give an alert back',
    unsnooze: 'End a snooze',
    escalate: 'Tell more people of an alert now',
  } as const;
  for (const kind of ['ack', 'unack', 'unsnooze', 'escalate'] as const) {
    command({ url: chatRoutes[kind], summary: simple[kind], needs: kind, body: alertBody }, ({ body, caller }) =>
      order(caller, kind, { kind, alertId: body.alert }),
    );
  }
  command(
    { url: chatRoutes.mute, summary: 'Mute an alert until it is healthy', needs: 'mute', body: alertBody },
    ({ body, caller }) => order(caller, 'mute', { kind: 'mute', alertId: body.alert, reason: body.reason }),
  );
  command(
    { url: chatRoutes.snooze, summary: 'Be told of an alert later', needs: 'snooze', body: snoozeBody },
    ({ body, caller }) => order(caller, 'snooze', { kind: 'snooze', alertId: body.alert, forMs: body.forMs }),
  );
}

type Ordered = {
  readonly caller: Person;
  readonly needs: AccessRequest;
  readonly wanted: AlertOrder & { readonly alertId: string };
};

async function carryOut(db: Database, { caller, needs, wanted }: Ordered): Promise<CommandReply> {
  const alertId = wanted.alertId.toUpperCase().replace('ALR_', 'alr_');
  const denied = await refuseOutOfScope(db, { caller, needs, alertId });
  if (denied !== undefined) return denied;
  const reply: OrderReply = await orderAlert(db, { ...wanted, alertId, person: caller.name });
  switch (reply.kind) {
    case 'done':
      return answer({ kind: 'done', message: reply.message });
    case 'unknown':
      return unknownAlert(db, alertId);
    case 'refused':
      return refuse('refused', reply.message, { nextStep: reply.nextStep });
    default:
      return assertNever(reply);
  }
}

type Scoped = { readonly caller: Person; readonly needs: AccessRequest; readonly alertId: string };

async function refuseOutOfScope(db: Database, { caller, needs, alertId }: Scoped): Promise<Refusal | undefined> {
  const alert = await alertViewOf(db, alertId);
  if (alert === undefined) return undefined;
  const { machineNames } = alert;
  // Of the whole site: a role for some machines is none for this.
  if (machineNames.length === 0) {
    const decision = decideAccess(caller.grants, needs, 'everything');
    if (decision.kind === 'denied') return refuse('forbidden', decision.message);
  }
  const tags = await tagsOfMachines(db, machineNames);
  for (const name of machineNames) {
    const decision = decideAccess(caller.grants, needs, { name, tags: tags.get(name) ?? [] });
    if (decision.kind === 'denied') return refuse('forbidden', decision.message);
  }
  return undefined;
}

async function unknownAlert(db: Database, id: string): Promise<Refusal> {
  const open = (await listAlertViews(db)).map((alert) => alert.id as string);
  return refuse('unknown-target', `There is no alert ${id.slice(0, 40)}.`, {
    candidates: nearestNames(id, open),
    nextStep: '`alerts` lists them.',
  });
}

async function lagReply(store: Store, name: string, sinceMs: number): Promise<Reply<LagSeries>> {
  return store.read(async (db) => {
    const found = await findByName(db, name);
    if (found.kind === 'refusal') return found;
    if (found.kind === 'guest') return refuse('refused', `${found.guest.name} is not protected: it has no lag.`);
    const { machine } = found;
    const { arrivals, fromMs, nowMs } = await pointArrivals(db, machine.id, sinceMs);
    const { warnMs, criticalMs } = await thresholdsOf(db, machine);
    const { protection } = machine;
    // What runs at the target replicates no more: from then on there is no lag that could grow.
    const untilMs = protection.kind === 'failed-over' ? Math.min(nowMs, protection.atMs) : nowMs;
    const samples = lagSamples(arrivals, untilMs, samplesMax);
    return answer({ machineName: machine.name, thresholdMs: warnMs, criticalMs, fromMs, toMs: nowMs, samples });
  });
}

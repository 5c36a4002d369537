import { sql } from 'drizzle-orm';
import { claimDeliveries } from '../../../engine/messages/deliveries.ts';
import { saveSurface, subscribe } from '../../../engine/store/chat-places.ts';
import { settleDelivery } from '../../../engine/store/deliveries.ts';
import type { Store } from '../../../engine/store/open.ts';
import { addPerson, linkUser } from '../../../engine/store/people.ts';
import type { ChatPlace, DeliveryOutcome, DeliveryView, NoteView } from '../../../protocol/chat-api.ts';

export const slack = { surface: 'slack', tenant: 'T1' } as const;
export const teams = { surface: 'teams', tenant: 'contoso' } as const;
export const channel = (place: string): ChatPlace => ({ ...slack, place });

/** A workspace with the channel C1 that sees everything, and ana, who is linked. */
export async function openWorkspace(store: Store): Promise<void> {
  await store.write(async (db) => {
    await saveSurface(db, { ...slack, isHealthy: true, detail: '' });
    await subscribe(db, { place: channel('C1'), severityMin: 'info', person: 'ana' });
    await addPerson(db, 'ana', 'admin');
    await linkUser(db, { ...slack, user: 'U-ana', person: 'ana', displayName: 'Ana' });
  });
}

export const claim = (store: Store, countMax = 20, tenancy: Pick<ChatPlace, 'surface' | 'tenant'> = slack) =>
  claimDeliveries(store, { ...tenancy, countMax, waitMs: 0 }, new AbortController().signal);

export const settle = (store: Store, delivery: Pick<DeliveryView, 'id' | 'revision'>, outcome?: DeliveryOutcome) =>
  store.write((db) =>
    settleDelivery(db, delivery.id, {
      revision: delivery.revision,
      outcome: outcome ?? { kind: 'delivered', ref: { ts: `ts of ${delivery.id}` } },
    }),
  );

/** Delivers until nothing is due, and gives back what was delivered, in order. */
export async function deliverAll(store: Store): Promise<DeliveryView[]> {
  const delivered: DeliveryView[] = [];
  for (let round = 0; round < 200; round += 1) {
    const claimed = await claim(store);
    if (claimed.length === 0) return delivered;
    for (const delivery of claimed) {
      await settle(store, delivery);
      delivered.push(delivery);
    }
  }
  throw new Error('there is no end of messages');
}

export const note = (title: string): NoteView => ({ title, tone: 'neutral', text: ['x'], copyLine: null });

export const execute = (store: Store, statement: string) => store.read((db) => db.execute(sql.raw(statement)));

/** Moves everything that the outbox has noted into the past. */
export const letPass = (store: Store, seconds: number) =>
  execute(
    store,
    `update messages set created_at = created_at - interval '${seconds} s', wanted_at = wanted_at - interval '${seconds} s',
      due_at = due_at - interval '${seconds} s', delivered_at = delivered_at - interval '${seconds} s',
      leased_until = leased_until - interval '${seconds} s', ended_at = ended_at - interval '${seconds} s'`,
  );

/** Empties what these tests fill: cheaper than a database for each of them. */
export const forgetAll = (store: Store) =>
  execute(
    store,
    `truncate messages, chat_surfaces, chat_places, subscriptions, persons, alerts, alert_watches, alert_looks,
      alive_checks, pager_calls, events, command_answers, agents, enrolment_tokens cascade`,
  );

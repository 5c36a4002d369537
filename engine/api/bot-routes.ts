import { z } from 'zod';
import {
  chatRoutes,
  chatSurfaceName,
  claimBody,
  deliveryOutcomeBody,
  deliveryView,
  followBody,
  placeBody,
  placeView,
  subscribeBody,
  surfaceReportBody,
  surfaceView,
} from '../../protocol/chat-api.ts';
import { credentialReportBody } from '../../protocol/credential-api.ts';
import { claimDeliveries } from '../messages/deliveries.ts';
import { saveBotCredentials } from '../store/alert-credentials.ts';
import { listPlaces, listSurfaces, savePlace, saveSurface, subscribe, unsubscribe } from '../store/chat-places.ts';
import type { Database } from '../store/database.ts';
import { settleDelivery } from '../store/deliveries.ts';
import { appendEvent } from '../store/events.ts';
import { followTopic, type Topic } from '../store/messages.ts';
import { commandsOf, type Order } from './command.ts';
import type { ApiDeps } from './deps.ts';
import { answer, type Reply, refuse } from './reply.ts';
import type { Router } from './route.ts';
import { storableBody } from './storable.ts';

/** A bot's body has no answer but that it was taken. */
const nothing = z.object({});
const topicPattern = /^(run:run|approval:apr|alert:alr)_[0-9A-HJKMNP-TV-Z]{10}$/;

/** What a bot asks for itself: what to deliver, and what became of it. Source: CHAT 5.2 (7) */
export function addBotRoutes(router: Router, deps: ApiDeps): void {
  const { store } = deps;
  router.add({
    method: 'POST',
    access: 'bot',
    url: chatRoutes.claim,
    summary: 'The next messages to deliver, leased for 30 s; waits for the first',
    body: claimBody,
    answer: z.array(deliveryView),
    handle: async ({ body, signal }) => answer(await claimDeliveries(store, body, signal)),
  });
  router.add({
    method: 'POST',
    access: 'bot',
    url: chatRoutes.deliveryOutcome,
    summary: 'What became of a delivery',
    body: deliveryOutcomeBody,
    answer: nothing,
    async handle({ params, body }) {
      const outcome = await store.write((db) => settleDelivery(db, params.id ?? '', body));
      return outcome === 'settled' ? answer({}) : refuse('unknown-target', 'There is no such message.');
    },
  });
  router.add({
    method: 'POST',
    access: 'bot',
    url: chatRoutes.surfaceReport,
    summary: 'Whether a chat platform answers',
    body: surfaceReportBody,
    answer: nothing,
    handle: ({ body }) => store.write((db) => reportSurface(db, body)),
  });
  router.add({
    method: 'POST',
    access: 'bot',
    url: chatRoutes.credentials,
    summary: 'Until when what the bot needs to go on working is good',
    body: credentialReportBody,
    answer: nothing,
    async handle({ body, caller }) {
      const { botName } = caller;
      await store.write((db) => saveBotCredentials(db, { ...storableBody(body), botName }));
      return answer({});
    },
  });
  addPlaceRoutes(router, deps);
}

function addPlaceRoutes(router: Router, { store }: ApiDeps): void {
  router.add({
    method: 'POST',
    access: 'bot',
    url: chatRoutes.follow,
    summary: 'Keep a topic true in one more place',
    body: followBody,
    answer: nothing,
    async handle({ body }) {
      if (!topicPattern.test(body.topic)) return refuse('bad-request', 'There is no such topic.');
      // The pattern has just said so.
      await store.write((db) => followTopic(db, { ...body, topic: body.topic as Topic }));
      return answer({});
    },
  });
  router.add({
    method: 'POST',
    access: 'bot',
    url: chatRoutes.places,
    summary: 'How a place can be written to first',
    body: placeBody,
    answer: nothing,
    async handle({ body }) {
      await store.write((db) => savePlace(db, body));
      return answer({});
    },
  });
  router.add({
    method: 'GET',
    access: 'bot',
    url: chatRoutes.places,
    summary: 'The places of a tenant that can be written to',
    query: z.object({ surface: chatSurfaceName, tenant: z.string().min(1).max(100) }),
    answer: z.array(placeView),
    handle: async ({ query }) => answer(await store.read((db) => listPlaces(db, query))),
  });
}

async function reportSurface(
  db: Database,
  report: z.output<typeof surfaceReportBody>,
): Promise<Reply<z.input<typeof nothing>>> {
  const outcome = await saveSurface(db, report);
  if (outcome === 'changed') {
    const { surface, tenant, isHealthy, detail } = report;
    const text = isHealthy
      ? `${surface} (${tenant}) takes messages again.`
      : `${surface} (${tenant}) takes no messages: ${detail}. What people should see is kept, and follows when it does.`;
    await appendEvent(db, { kind: isHealthy ? 'chat-back' : 'chat-down', text });
  }
  return answer({});
}

/** How people look at chat platforms and say which channel sees what. */
export function addChannelRoutes(router: Router, deps: ApiDeps): void {
  router.add({
    method: 'GET',
    access: 'person',
    needs: 'look',
    url: chatRoutes.surfaces,
    summary: 'The chat platforms, as their bots see them',
    answer: z.array(surfaceView),
    handle: async () => answer(await deps.store.read(listSurfaces)),
  });
  const command = commandsOf(router, deps);
  command(
    { url: chatRoutes.subscribe, summary: 'Show a channel what happens', needs: 'subscribe', body: subscribeBody },
    (order) => deps.store.write((db) => changeSubscription(db, order)),
  );
}

async function changeSubscription(db: Database, { body, caller }: Order<z.output<typeof subscribeBody>>) {
  const { place, severityMin, host, site, isOn } = body;
  // A channel of another workspace is not the caller's to fill.
  if (caller.actor !== undefined && (caller.actor.surface !== place.surface || caller.actor.tenant !== place.tenant)) {
    return refuse('forbidden', 'From chat you can subscribe channels of your own workspace only.');
  }
  const what =
    severityMin === 'info' ? 'everything' : severityMin === 'warning' ? 'warnings and worse' : 'what is critical';
  const where = site !== undefined ? ` of site ${site}` : host === undefined ? '' : ` of host ${host}`;
  if (isOn) await subscribe(db, { place, severityMin, host, site, person: caller.name });
  else if ((await unsubscribe(db, { place, host, site })) === 'was-none') {
    return refuse('refused', 'This place is not subscribed; there is nothing to end.');
  }
  const message = isOn
    ? `${place.place} is shown ${what}${where} from now on.`
    : `${place.place} is shown nothing${where} any more.`;
  await appendEvent(db, { kind: isOn ? 'subscribed' : 'unsubscribed', text: `${caller.name}: ${message}` });
  return answer({ kind: 'done' as const, message });
}

import { z } from 'zod';
import { describeCauses, OutageError } from '../../domain/outage.ts';
import type { ChatPlace } from '../../protocol/chat-api.ts';
import type { DeliveryLog } from '../delivery/start-delivery.ts';
import type { BotClient } from '../engine-client.ts';
import { type InboundActivity, tenantOf, withoutThread } from './activity.ts';

/** What is needed to write to a place first: Teams' conversation reference, as far as it matters. */
const placeReference = z.object({
  serviceUrl: z.url(),
  /** Left out for a person who has only been seen in a channel: their private conversation is made when it is needed. */
  conversationId: z.string().optional(),
  /** The person's id in Teams (`29:…`), of private conversations. */
  userId: z.string().optional(),
  name: z.string().max(100).optional(),
});
export type PlaceReference = z.infer<typeof placeReference>;
type PersonalReference = { readonly serviceUrl: string; readonly conversationId: string; readonly userId: string };
type Known = { readonly tenant: string; readonly reference: PlaceReference; readonly isSaved: boolean };

export type Places = {
  /** What the engine has kept from before; once it is known, no more is asked. @throws OutageError when the engine is away */
  readonly load: () => Promise<void>;
  readonly find: (place: ChatPlace) => PlaceReference | undefined;
  /** A person of a tenant, when they have been seen. */
  readonly personOf: (tenant: string, user: string) => PlaceReference | undefined;
  /** Remembers at once where an activity came from, and tells the engine when that is new; resolves when it has been told. */
  readonly learn: (activity: InboundActivity) => Promise<void>;
  /** Some private conversation of a tenant, to try whether Teams answers. */
  readonly anyPersonal: (tenant: string) => PersonalReference | undefined;
};

export type PlacesDeps = {
  readonly engine: Pick<BotClient, 'places' | 'savePlace'>;
  readonly tenants: readonly string[];
  readonly log: DeliveryLog;
  readonly signal: AbortSignal;
};

const placeCountMax = 20_000;

/** Conversation references: kept by the engine, so that a bot that has just started can write first. */
export function createPlaces(deps: PlacesDeps): Places {
  const known = new Map<string, Known>();
  const learnOne = async (place: ChatPlace, seen: PlaceReference) => {
    const before = known.get(keyOf(place));
    const reference = { ...before?.reference, ...seen };
    const isNew = JSON.stringify(before?.reference) !== JSON.stringify(reference);
    if (!isNew && before?.isSaved) return;
    const { tenant } = place;
    remember(known, keyOf(place), { tenant, reference, isSaved: true });
    const isSaved = await save(place, reference, deps);
    if (!isSaved) remember(known, keyOf(place), { tenant, reference, isSaved });
  };
  let loading: Promise<void> | undefined;
  return {
    load: () => {
      loading ??= loadAll(known, deps).catch((error: unknown) => {
        loading = undefined;
        throw error;
      });
      return loading;
    },
    find: (place) => known.get(keyOf(place))?.reference,
    personOf: (tenant, user) => known.get(keyOf({ tenant, place: `user:${user}` }))?.reference,
    learn: async (activity) => {
      for (const [place, reference] of placesOf(activity)) await learnOne(place, reference);
    },
    anyPersonal: (wanted) => {
      for (const { tenant, reference } of known.values()) {
        const { serviceUrl, conversationId, userId } = reference;
        if (tenant === wanted && conversationId !== undefined && userId !== undefined)
          return { serviceUrl, conversationId, userId };
      }
      return undefined;
    },
  };
}

async function loadAll(known: Map<string, Known>, deps: PlacesDeps): Promise<void> {
  for (const tenant of deps.tenants) {
    const kept = await deps.engine.places({ surface: 'teams', tenant }, { signal: deps.signal });
    for (const place of kept) {
      // What was seen since the bot has started is newer.
      if (known.has(keyOf(place))) continue;
      const reference = placeReference.safeParse(place.reference);
      if (reference.success) remember(known, keyOf(place), { tenant, reference: reference.data, isSaved: true });
      else deps.log.warn(`the stored reference of ${place.place} cannot be read; it is left alone`);
    }
  }
}

/** The place that an activity was written in. */
export function placeOf(activity: InboundActivity): ChatPlace {
  const tenant = tenantOf(activity) ?? '';
  const { conversationType, id } = activity.conversation;
  const isPersonal = conversationType === 'personal' && activity.from.aadObjectId;
  return { surface: 'teams', tenant, place: isPersonal ? `user:${activity.from.aadObjectId}` : withoutThread(id) };
}

function placesOf(activity: InboundActivity): [ChatPlace, PlaceReference][] {
  const { serviceUrl, conversation, from } = activity;
  const place = placeOf(activity);
  const user = from.aadObjectId;
  const name = from.name ? { name: from.name.slice(0, 100) } : {};
  const person = from.id.startsWith('29:') ? { serviceUrl, userId: from.id, ...name } : undefined;
  if (conversation.conversationType === 'personal') {
    return user && person ? [[place, { ...person, conversationId: conversation.id }]] : [];
  }
  const here: [ChatPlace, PlaceReference] = [place, { serviceUrl, conversationId: withoutThread(conversation.id) }];
  return user && person ? [here, [{ ...place, place: `user:${user}` }, person]] : [here];
}

/** An engine that is away must not keep anybody from being answered; the next activity from there tells it again. */
async function save(place: ChatPlace, reference: PlaceReference, deps: PlacesDeps): Promise<boolean> {
  try {
    await deps.engine.savePlace({ ...place, reference }, { signal: deps.signal });
    return true;
  } catch (error) {
    if (!(error instanceof OutageError)) throw error;
    deps.log.warn(`the place ${place.place} is not stored yet: ${describeCauses(error)}`);
    return false;
  }
}

function remember(known: Map<string, Known>, key: string, place: Known): void {
  known.delete(key);
  known.set(key, place);
  const [oldest] = known.keys();
  if (known.size > placeCountMax && oldest !== undefined) known.delete(oldest);
}

function keyOf({ tenant, place }: Pick<ChatPlace, 'tenant' | 'place'>): string {
  return `${tenant} ${place}`;
}

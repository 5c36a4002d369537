import { z } from 'zod';
import { describeCauses, OutageError } from '../../domain/outage.ts';
import type { ChatPlace, MessageRef } from '../../protocol/chat-api.ts';
import { type ChatSurface, DeliveryError, type PictureOrder, type PostOrder } from '../chat-surface.ts';
import { type OutboundActivity, threadOf } from './activity.ts';
import type { BotFramework, Posted } from './bot-framework.ts';
import { ConnectorError } from './connector-http.ts';
import { pictureCard } from './picture.ts';
import type { PlaceReference, Places } from './places.ts';
import { type CardView, cardActivity, type Mention, renderCard } from './render-card.ts';
import type { TeamsSettings } from './settings.ts';

export type SurfaceDeps = {
  readonly settings: Pick<TeamsSettings, 'botName'>;
  /** Whose conversations these are. */
  readonly tenant: string;
  readonly framework: BotFramework;
  readonly places: Places;
  /** The bot's token, to try whether Entra knows it. */
  readonly token: () => Promise<string>;
};

/** Where a message of ours stands, and who sees its buttons; kept by the engine, given back for the next edit. */
const teamsRef = z.object({
  serviceUrl: z.url(),
  conversationId: z.string(),
  activityId: z.string(),
  viewers: z.array(z.string()).default([]),
});
type TeamsRef = z.infer<typeof teamsRef>;

const laterMs = 30_000;

/** The Teams of one tenant as the delivery of messages uses it. */
export function createTeamsSurface(deps: SurfaceDeps): ChatSurface {
  return {
    surface: 'teams',
    tenant: deps.tenant,
    post: (order) => delivering(deps, order.place, () => post(order, deps)),
    update: ({ place, ref, card }) => delivering(deps, place, () => update({ place, ref, card }, deps)),
    postPicture: (order) => delivering(deps, order.place, () => postPicture(order, deps)),
    probe: () => delivering(deps, undefined, () => probe(deps)),
  };
}

function refOf(serviceUrl: string, posted: Posted, viewers: readonly string[] = []): MessageRef {
  return { serviceUrl, ...posted, viewers } satisfies Record<keyof TeamsRef, unknown>;
}

/** A channel's commands begin with the bot's mention; in a private chat they need nothing. */
export function commandPrefixOf(place: ChatPlace, botName: string): string {
  return place.place.startsWith('user:') ? '' : `@${botName} `;
}

async function post(order: PostOrder, deps: SurfaceDeps): Promise<MessageRef> {
  const reference = referenceOf(order.place, deps.places);
  const isPersonal = order.place.place.startsWith('user:');
  const viewers = isPersonal
    ? []
    : order.mentions.flatMap((user) => deps.places.personOf(order.place.tenant, user)?.userId ?? []);
  const view: CardView = {
    commandPrefix: commandPrefixOf(order.place, deps.settings.botName),
    ...(!isPersonal && { viewers }),
    ...(!isPersonal &&
      order.isNotifying && {
        mentions: order.mentions.map((user) => mentionOf(order.place.tenant, user, deps.places)),
      }),
  };
  const activity = cardActivity(renderCard(order.card, view), order.card.title, order.isNotifying);
  return refOf(reference.serviceUrl, await place(activity, { ...order, reference }, deps), viewers);
}

async function update(
  order: { readonly place: ChatPlace; readonly ref: MessageRef; readonly card: PostOrder['card'] },
  deps: SurfaceDeps,
): Promise<MessageRef> {
  const ref = parseRef(order.ref);
  const isPersonal = order.place.place.startsWith('user:');
  const commandPrefix = commandPrefixOf(order.place, deps.settings.botName);
  const card = renderCard(order.card, { commandPrefix, ...(!isPersonal && { viewers: ref.viewers }) });
  await deps.framework.update(ref.serviceUrl, ref, cardActivity(card, order.card.title, false));
  return order.ref;
}

async function postPicture(order: PictureOrder, deps: SurfaceDeps): Promise<MessageRef> {
  const reference = referenceOf(order.place, deps.places);
  const activity = cardActivity(pictureCard(order.png, order.altText), order.altText, false);
  return refOf(reference.serviceUrl, await place(activity, { ...order, reference }, deps));
}

/** By Teams' own id when we have it, else by the Entra id, which Teams takes as well. */
function mentionOf(tenant: string, user: string, places: Places): Mention {
  const person = places.personOf(tenant, user);
  return { id: person?.userId ?? user, name: person?.name ?? 'on call' };
}

type Where = {
  readonly place: ChatPlace;
  readonly parentRef: MessageRef | null;
  readonly reference: PlaceReference;
};

/** Into the thread of the parent when there is one; else a new thread in a channel, or the next message of a chat. */
async function place(activity: OutboundActivity, where: Where, deps: SurfaceDeps): Promise<Posted> {
  const { serviceUrl, conversationId, userId } = where.reference;
  if (where.parentRef !== null) {
    const parent = parseRef(where.parentRef);
    const isChannel = isChannelId(parent.conversationId) && !parent.conversationId.includes(';messageid=');
    const thread = isChannel ? threadOf(parent.conversationId, parent.activityId) : parent.conversationId;
    return deps.framework.send(serviceUrl, thread, activity);
  }
  const address = { serviceUrl, tenantId: where.place.tenant };
  if (!where.place.place.startsWith('user:') && isChannelId(where.place.place)) {
    return deps.framework.beginThread(address, where.place.place, activity);
  }
  const conversation = conversationId ?? (await deps.framework.openPersonal(address, userId ?? ''));
  return deps.framework.send(serviceUrl, conversation, activity);
}

/** Channels' conversations can have threads, those of chats cannot. */
function isChannelId(conversationId: string): boolean {
  return /@thread\.(tacv2|skype)/.test(conversationId);
}

function referenceOf(chatPlace: ChatPlace, places: Places): PlaceReference {
  const reference = places.find(chatPlace);
  if (reference !== undefined) return reference;
  const isPerson = chatPlace.place.startsWith('user:');
  throw new DeliveryError(
    isPerson
      ? 'this person has never been seen in Teams by the bot; they open its chat once and say `help`'
      : 'the bot has never been in this channel; add its app to the team and mention it there once',
    { retryAfterMs: undefined },
  );
}

function parseRef(ref: MessageRef): TeamsRef {
  const parsed = teamsRef.safeParse(ref);
  if (parsed.success) return parsed.data;
  throw new DeliveryError('the stored reference of this message cannot be read', {
    cause: z.prettifyError(parsed.error),
    isMessageGone: true,
    retryAfterMs: 0,
  });
}

/** Asks for a token, and then for somebody in a conversation that we have: nobody notices it. */
async function probe(deps: SurfaceDeps): Promise<void> {
  await deps.token();
  const somebody = deps.places.anyPersonal(deps.tenant);
  if (somebody === undefined) return;
  try {
    await deps.framework.member(somebody.serviceUrl, somebody.conversationId, somebody.userId);
  } catch (error) {
    // Teams answered: that this one person has left or took the app away says nothing about all others.
    if (!(error instanceof ConnectorError) || (error.status !== 403 && error.status !== 404)) throw error;
  }
}

async function delivering<Result>(
  { places }: Pick<SurfaceDeps, 'places'>,
  chatPlace: ChatPlace | undefined,
  work: () => Promise<Result>,
): Promise<Result> {
  try {
    // The engine may have been away when the bot started: a place is unknown only when all that was kept is known.
    await places.load();
    return await work();
  } catch (error) {
    if (error instanceof DeliveryError) throw error;
    const where = chatPlace === undefined ? 'Teams' : `${chatPlace.place} in Teams`;
    if (error instanceof OutageError) {
      throw new DeliveryError(`${where}: ${describeCauses(error)}`, { cause: error, retryAfterMs: laterMs });
    }
    if (error instanceof ConnectorError) throw deliveryErrorOf(error, where);
    throw error;
  }
}

function deliveryErrorOf(error: ConnectorError, where: string): DeliveryError {
  const { status } = error;
  const message = `${where}: ${error.message}`;
  if (status === 404) return new DeliveryError(message, { cause: error, isMessageGone: true, retryAfterMs: undefined });
  const isForGood = status === 400 || status === 403 || status === 413;
  const retryAfterMs = isForGood ? undefined : Math.max(1000, error.retryAfterMs ?? laterMs);
  return new DeliveryError(message, { cause: error, retryAfterMs, isRateLimited: status === 429 });
}

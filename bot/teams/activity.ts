import { z } from 'zod';

/**
 * Bot Framework activities as plain JSON: what Teams sends us, and what we send. Nothing of botbuilder is needed to read this.
 * Fields that we do not use are dropped at the edge. Source: CHAT 3.2
 */
const shortText = z.string().max(500);
const account = z.object({
  id: shortText,
  name: shortText.nullish(),
  /** Missing for people whom Entra does not know: anonymous guests of a meeting, bots. */
  aadObjectId: shortText.nullish(),
  role: shortText.nullish(),
});

export const inboundActivity = z.object({
  type: shortText,
  id: shortText.nullish(),
  timestamp: z.iso.datetime({ offset: true }).nullish(),
  /** Required although the protocol leaves it open: without it nobody checks the token's own service URL. */
  serviceUrl: z.url().max(1000),
  channelId: z.literal('msteams'),
  from: account,
  recipient: account,
  conversation: z.object({
    id: shortText,
    conversationType: z.enum(['personal', 'channel', 'groupChat']).catch('groupChat'),
    tenantId: shortText.nullish(),
  }),
  name: shortText.nullish(),
  text: z.string().max(28_000).nullish(),
  value: z.unknown().optional(),
  replyToId: shortText.nullish(),
  action: shortText.nullish(),
  deliveryMode: shortText.nullish(),
  entities: z
    .array(z.looseObject({ type: shortText }))
    .max(200)
    .nullish(),
  membersAdded: z.array(account).max(5000).nullish(),
  membersRemoved: z.array(account).max(5000).nullish(),
  channelData: z
    .object({
      tenant: z.object({ id: shortText }).nullish(),
      team: z.object({ id: shortText }).nullish(),
      channel: z.object({ id: shortText }).nullish(),
    })
    .nullish(),
});

/** A mention as it stands in a message: `text` is the piece of the message that it takes up. */
export const mentionEntity = z.object({
  type: z.literal('mention'),
  text: z.string().max(500),
  mentioned: account,
});

/** Somebody in a conversation, as the roster knows them. */
export const rosterMember = z.object({
  id: shortText,
  name: shortText.nullish(),
  aadObjectId: shortText.nullish(),
  objectId: shortText.nullish(),
  tenantId: shortText.nullish(),
  userRole: shortText.nullish(),
});

/** What stands in a button of ours; it comes back with the click, and nothing in it is believed: it is only a line to carry out. */
export const buttonData = z.object({
  lifeboat: z.discriminatedUnion('kind', [
    z.object({ kind: z.literal('line'), line: z.string().max(2000) }),
    /** The same card again, as who looks at it may see it. */
    z.object({ kind: z.literal('view'), line: z.string().max(2000) }),
    z.object({ kind: z.literal('form'), form: z.string().max(20), line: z.string().max(2000) }),
    z.object({ kind: z.literal('answers'), form: z.string().max(20), context: z.string().max(2000) }),
  ]),
});

export type InboundActivity = z.infer<typeof inboundActivity>;
export type RosterMember = z.infer<typeof rosterMember>;
export type ButtonData = z.infer<typeof buttonData>['lifeboat'];
export type AdaptiveCard = Readonly<Record<string, unknown>>;

/** What we send: one card, and nothing beside it. A text next to a card makes Teams split the message and keep its id to itself. */
export type OutboundActivity = {
  readonly type: 'message';
  readonly attachments: readonly { readonly contentType: typeof adaptiveCardType; readonly content: AdaptiveCard }[];
  /** What a notification says. */
  readonly summary: string;
  readonly channelData?: { readonly notification: { readonly alert: boolean } };
};

export const adaptiveCardType = 'application/vnd.microsoft.card.adaptive';

/** The tenant that an activity says it is from. */
export function tenantOf(activity: InboundActivity): string | undefined {
  return activity.channelData?.tenant?.id ?? activity.conversation.tenantId ?? undefined;
}

/** The conversation of a channel without the thread that is appended to it. */
export function withoutThread(conversationId: string): string {
  return conversationId.replace(/;messageid=.*$/, '');
}

/** The thread of a channel's root message. */
export function threadOf(conversationId: string, rootActivityId: string): string {
  return `${withoutThread(conversationId)};messageid=${rootActivityId}`;
}

import type { ChatPlace, MessageRef } from '../protocol/chat-api.ts';
import type { Card } from './card.ts';

/**
 * A chat platform as the delivery of messages uses it. Slack and Teams each implement it in their own folder.
 *
 * Every method throws DeliveryError when the platform did not take the message.
 */
export type ChatSurface = {
  readonly surface: ChatPlace['surface'];
  readonly tenant: string;
  /** Posts a card as a new message, into a thread when there is a parent. */
  post(order: PostOrder): Promise<MessageRef>;
  /** Edits a message in place. */
  update(order: { readonly place: ChatPlace; readonly ref: MessageRef; readonly card: Card }): Promise<MessageRef>;
  /** Shows a picture in the thread of the parent. */
  postPicture(order: PictureOrder): Promise<MessageRef>;
  /** Asks the platform whether it takes messages at all. */
  probe(): Promise<void>;
};

export type PostOrder = {
  readonly place: ChatPlace;
  readonly card: Card;
  readonly parentRef: MessageRef | null;
  /** Make phones ring: mentions, and a broadcast of a thread's reply to its channel. */
  readonly isNotifying: boolean;
  /** Chat users of this tenant. */
  readonly mentions: readonly string[];
};

export type PictureOrder = {
  readonly place: ChatPlace;
  readonly parentRef: MessageRef | null;
  readonly png: Buffer;
  readonly fileName: string;
  readonly altText: string;
};

/** The platform did not take a message. */
export class DeliveryError extends Error {
  /** Undefined: never try again, the place is gone or closed to us. */
  readonly retryAfterMs: number | undefined;
  /** The message that should be edited is gone: post it anew. */
  readonly isMessageGone: boolean;
  /** The platform has had more of us than it takes (HTTP 429). */
  readonly isRateLimited: boolean;

  constructor(
    message: string,
    options: { cause?: unknown; retryAfterMs?: number | undefined; isMessageGone?: boolean; isRateLimited?: boolean },
  ) {
    super(message, { cause: options.cause });
    this.name = 'DeliveryError';
    this.retryAfterMs = options.retryAfterMs;
    this.isMessageGone = options.isMessageGone ?? false;
    this.isRateLimited = options.isRateLimited ?? false;
  }
}

import { webApi } from '@slack/bolt';
import { DeliveryError } from '../chat-surface.ts';

const goneErrors = ['message_not_found', 'cant_update_message', 'edit_window_closed', 'thread_not_found'];
/** Somebody has to do something in Slack first; trying again changes nothing. */
const closedErrors = [
  'channel_not_found',
  'not_in_channel',
  'is_archived',
  'restricted_action',
  'user_not_found',
  'user_disabled',
  'users_not_found',
  'cannot_dm_bot',
  'messages_tab_disabled',
  'access_denied',
  'no_permission',
  'missing_scope',
  'channel_type_not_supported',
];
const refusedFormErrors = [
  'invalid_blocks',
  'invalid_blocks_format',
  'msg_blocks_too_long',
  'msg_too_long',
  'too_many_attachments',
];
const advice: Readonly<Record<string, string>> = {
  not_in_channel: 'invite the app into the channel: /invite @Lifeboat',
  channel_not_found: 'the channel is gone, or private: /invite @Lifeboat',
  missing_scope: 'install the app again with all scopes of the manifest',
  invalid_auth: 'the bot token is wrong or was revoked',
};

/** Slack's name of an error, such as `not_in_channel`; undefined when Slack did not get as far as an answer. */
export function platformErrorOf(error: unknown): string | undefined {
  return error instanceof webApi.WebAPIPlatformError ? error.data.error : undefined;
}

/** True when Slack dislikes how the message is drawn; its words may still pass. */
export function isRefusedForm(error: unknown): boolean {
  return refusedFormErrors.includes(platformErrorOf(error) ?? '');
}

/** What a failed call means for the delivery: try later, post anew, or tell somebody. */
export function deliveryErrorOf(doing: string, cause: unknown): DeliveryError {
  if (cause instanceof webApi.WebAPIRateLimitedError) {
    const retryAfterMs = cause.retryAfter * 1000;
    return new DeliveryError(`${doing}: Slack's rate limit`, { cause, retryAfterMs, isRateLimited: true });
  }
  const name = platformErrorOf(cause);
  const message = `${doing}: ${name ?? (cause instanceof Error ? cause.message : String(cause))}`;
  const next = advice[name ?? ''];
  const text = next === undefined ? message : `${message}; ${next}`;
  if (name === undefined) return new DeliveryError(text, { cause, retryAfterMs: 5000 });
  if (goneErrors.includes(name)) return new DeliveryError(text, { cause, isMessageGone: true });
  if (closedErrors.includes(name) || refusedFormErrors.includes(name)) return new DeliveryError(text, { cause });
  return new DeliveryError(text, { cause, retryAfterMs: 60_000 });
}

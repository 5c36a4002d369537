import { createHash } from 'node:crypto';
import { z } from 'zod';
import type { FormKind } from '../form.ts';

/** Where something was said or clicked. */
export type Spot = {
  readonly channel: string;
  /** As Slack names it for slash commands: `directmessage`, `privategroup`, or the channel's name. */
  readonly channelName: string;
  readonly threadTs: string | undefined;
};

/** What arrives from Slack, parsed once. Source: CHAT 2.2 */
export type SlackEvent = {
  /** The team and, in an Enterprise Grid, the organisation that it comes from. */
  readonly tenants: readonly string[];
  readonly user: string;
  /**
   * The same for the same thing done by a person, however often and by whichever way Slack delivers it:
   * made from what Slack signs, so a replayed request has it too.
   */
  readonly key: string;
} & (
  | {
      readonly kind: 'command';
      readonly text: string;
      readonly spot: Spot;
      readonly responseUrl: string;
      readonly triggerId: string;
    }
  | {
      readonly kind: 'click';
      readonly line: string;
      readonly opens: FormKind | undefined;
      /** Undefined on the home tab. */
      readonly spot: Spot | undefined;
      readonly responseUrl: string | undefined;
      readonly triggerId: string;
    }
  | { readonly kind: 'shortcut'; readonly spot: Spot; readonly triggerId: string }
  | { readonly kind: 'submission'; readonly viewId: string; readonly metadata: string; readonly values: unknown }
  /** A line that stands in a message: after the app's name in a channel, or alone in its own tab. */
  | {
      readonly kind: 'mention' | 'direct';
      readonly text: string;
      readonly ts: string;
      readonly isFromBot: boolean;
      readonly spot: Spot;
    }
  | { readonly kind: 'home' }
);

const team = z.object({ id: z.string(), enterprise_id: z.string().optional() }).nullish();
const enterprise = z.object({ id: z.string() }).nullish();
const user = z.object({ id: z.string() });
const channel = z.object({ id: z.string(), name: z.string().default('') });

const commandBody = z.object({
  command: z.string(),
  text: z.string().default(''),
  team_id: z.string(),
  enterprise_id: z.string().optional(),
  user_id: z.string(),
  channel_id: z.string(),
  channel_name: z.string().default(''),
  response_url: z.string(),
  trigger_id: z.string(),
});
const clickBody = z.object({
  type: z.literal('block_actions'),
  team,
  enterprise,
  user,
  channel: channel.optional(),
  container: z.object({ type: z.string(), message_ts: z.string().optional(), thread_ts: z.string().optional() }),
  message: z.object({ ts: z.string().optional(), thread_ts: z.string().optional() }).optional(),
  response_url: z.string().optional(),
  trigger_id: z.string(),
  actions: z
    .array(z.object({ type: z.string(), action_id: z.string(), value: z.string().optional(), action_ts: z.string() }))
    .min(1),
});
const shortcutBody = z.object({
  type: z.literal('message_action'),
  team,
  enterprise,
  user,
  channel,
  message: z.object({ ts: z.string(), thread_ts: z.string().optional() }),
  trigger_id: z.string(),
});
const submissionBody = z.object({
  type: z.literal('view_submission'),
  team,
  enterprise,
  user,
  view: z.object({
    id: z.string(),
    hash: z.string().default(''),
    private_metadata: z.string().default(''),
    state: z.object({ values: z.unknown() }),
  }),
});
const writtenFields = {
  user: z.string().default(''),
  bot_id: z.string().nullish(),
  text: z.string(),
  ts: z.string(),
  thread_ts: z.string().optional(),
  channel: z.string(),
};
const eventBody = z.object({
  type: z.literal('event_callback'),
  team_id: z.string(),
  enterprise_id: z.string().nullish(),
  event_id: z.string(),
  event: z.discriminatedUnion('type', [
    z.object({ type: z.literal('app_mention'), ...writtenFields }),
    z.object({
      type: z.literal('message'),
      ...writtenFields,
      // Conversations of two only: nothing else is subscribed, and nothing else would be read.
      channel_type: z.literal('im'),
      // An edit, a deletion, a file, a message of Slack's own: none of them is a line that a person wrote now.
      subtype: z.undefined().optional(),
      hidden: z.undefined().optional(),
    }),
    z.object({ type: z.literal('app_home_opened'), user: z.string(), tab: z.string().default('home') }),
  ]),
});

const formKinds = ['failover', 'approve', 'reject', 'snooze'] as const satisfies readonly FormKind[];

/** Reads a body that Bolt has verified; undefined for what is not for us. */
export function readSlackEvent(body: unknown): SlackEvent | undefined {
  for (const read of [readCommand, readClick, readShortcut, readSubmission, readCallback]) {
    const event = read(body);
    if (event !== undefined) return event;
  }
  return undefined;
}

function readCommand(body: unknown): SlackEvent | undefined {
  const { data } = commandBody.safeParse(body);
  if (data === undefined) return undefined;
  return {
    kind: 'command',
    tenants: [data.team_id, data.enterprise_id].filter((id) => id !== undefined),
    user: data.user_id,
    key: keyOf('command', data.trigger_id),
    text: data.text,
    spot: { channel: data.channel_id, channelName: data.channel_name, threadTs: undefined },
    responseUrl: data.response_url,
    triggerId: data.trigger_id,
  };
}

function readClick(body: unknown): SlackEvent | undefined {
  const { data } = clickBody.safeParse(body);
  const action = data?.actions[0];
  if (data === undefined || action?.type !== 'button' || action.value === undefined) return undefined;
  const opens = formKinds.find((kind) => action.action_id.startsWith(`${kind}:`));
  const threadTs = data.container.thread_ts ?? data.message?.thread_ts;
  return {
    kind: 'click',
    tenants: tenantsOf(data),
    user: data.user.id,
    key: keyOf('click', data.user.id, action.action_ts, action.action_id, data.trigger_id),
    line: action.value,
    opens,
    spot: data.channel && { channel: data.channel.id, channelName: data.channel.name, threadTs },
    responseUrl: data.response_url,
    triggerId: data.trigger_id,
  };
}

function readShortcut(body: unknown): SlackEvent | undefined {
  const { data } = shortcutBody.safeParse(body);
  if (data === undefined) return undefined;
  const threadTs = data.message.thread_ts ?? data.message.ts;
  return {
    kind: 'shortcut',
    tenants: tenantsOf(data),
    user: data.user.id,
    key: keyOf('shortcut', data.trigger_id),
    spot: { channel: data.channel.id, channelName: data.channel.name, threadTs },
    triggerId: data.trigger_id,
  };
}

/** A modal that is filled again after an error has another hash, and is another thing done. */
function readSubmission(body: unknown): SlackEvent | undefined {
  const { data } = submissionBody.safeParse(body);
  if (data === undefined) return undefined;
  const { view } = data;
  return {
    kind: 'submission',
    tenants: tenantsOf(data),
    user: data.user.id,
    key: keyOf('submission', view.id, view.hash),
    viewId: view.id,
    metadata: view.private_metadata,
    values: view.state.values,
  };
}

function readCallback(body: unknown): SlackEvent | undefined {
  const { data } = eventBody.safeParse(body);
  if (data === undefined) return undefined;
  const { event } = data;
  const known = {
    tenants: [data.team_id, data.enterprise_id].filter((id) => id !== undefined && id !== null),
    user: event.user,
    key: keyOf('event', data.event_id),
  };
  if (event.type === 'app_home_opened') return event.tab === 'home' ? { ...known, kind: 'home' } : undefined;
  const isDirect = event.type === 'message';
  return {
    ...known,
    // By the message: should Slack tell of one in two ways, it is one line all the same.
    key: keyOf('message', event.channel, event.ts),
    kind: isDirect ? 'direct' : 'mention',
    text: event.text.replace(/^\s*<@[UW][A-Z0-9]+(\|[^>]*)?>/, '').trim(),
    ts: event.ts,
    isFromBot: event.user === '' || (event.bot_id !== undefined && event.bot_id !== null),
    spot: { channel: event.channel, channelName: isDirect ? 'directmessage' : '', threadTs: event.thread_ts },
  };
}

function tenantsOf(data: { team?: z.infer<typeof team>; enterprise?: z.infer<typeof enterprise> }): string[] {
  const ids = [data.team?.id, data.team?.enterprise_id, data.enterprise?.id];
  return [...new Set(ids.filter((id) => id !== undefined))];
}

function keyOf(...parts: readonly string[]): string {
  return `slack:${createHash('sha256').update(parts.join('\n')).digest('hex')}`;
}

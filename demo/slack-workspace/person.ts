import type { Acknowledged, Deliveries } from './deliveries.ts';
import { fillsIn, topView } from './form-filling.ts';
import { readChannel, readView, textOfMessage } from './transcript.ts';
import { addMessage, type Channel, directChannel, type Message, newTrigger, type User, type World } from './world.ts';

/** A person at their keyboard. What they do resolves when the app has acknowledged it, or has failed to. */
export type Person = {
  readonly id: string;
  /** `/dr …`, `@Lifeboat …`, or just words. `thread`: words of the message under which it is written. */
  readonly types: (channel: string, text: string, options?: { readonly thread?: string }) => Promise<Acknowledged>;
  /** Clicks the newest button of that label in a channel (`#dr`, `@Lifeboat`) or on the `home` tab; says yes when Slack asks. */
  readonly clicks: (place: string, label: string) => Promise<Acknowledged>;
  /**
   * A click on a button that is not there any more, as on a screen that was not drawn again; on the newest message of the app.
   * With a value that no button ever had it is what somebody would send who could forge Slack's signature.
   */
  readonly clicksStale: (
    place: string,
    button: { readonly actionId: string; readonly value: string },
  ) => Promise<Acknowledged>;
  readonly usesShortcut: (channel: string, containing: string) => Promise<Acknowledged>;
  /** The dialog on top, as text; undefined when there is none. */
  readonly modal: () => string | undefined;
  /** Fills the dialog on top in, by the labels of its fields, and sends it. */
  readonly fillsIn: (answers: Readonly<Record<string, string>>) => Promise<Acknowledged>;
  readonly closesModal: () => void;
  readonly opensHome: () => Promise<Acknowledged>;
  readonly home: () => string;
  readonly reads: (channel: string) => string;
};

export type Seat = {
  readonly user: User;
  readonly world: World;
  readonly deliveries: Deliveries;
  readonly baseUrl: () => string;
};

export function personAt(seat: Seat): Person {
  const { user, world } = seat;
  return {
    id: user.id,
    types: (channel, text, options) => types(channelOf(channel, seat), text, options?.thread, seat),
    clicks: (place, label) => clicks(place, label, seat),
    clicksStale: (place, { actionId, value }) => {
      const channel = channelOf(place, seat);
      const message = world.messages.findLast((one) => one.channel === channel.id && one.user === world.botUser.id);
      return click({ message, actionId, blockId: 'b0', label: 'an old button', value }, seat);
    },
    usesShortcut: (channel, containing) => usesShortcut(channelOf(channel, seat), containing, seat),
    modal: () => {
      const top = topView(seat);
      return top === undefined ? undefined : readView(top);
    },
    fillsIn: (answers) => fillsIn(answers, seat),
    closesModal: () => {
      const top = topView(seat);
      if (top !== undefined) top.isOpen = false;
    },
    opensHome: () =>
      seat.deliveries.deliver({
        kind: 'events_api',
        payload: callback(
          { type: 'app_home_opened', user: user.id, channel: directChannel(world, user).id, tab: 'home' },
          world,
        ),
      }),
    home: () => {
      const home = world.homes.get(user.id);
      return home === undefined ? '' : readView(home);
    },
    reads: (channel) => readChannel(channelOf(channel, seat), user.id, world),
  };
}

function channelOf(name: string, { user, world }: Seat): Channel {
  if (name === `@${world.botUser.name}`) return directChannel(world, user);
  const found = [...world.channels.values()].find(
    (channel) => `#${channel.name}` === name && channel.members.has(user.id),
  );
  if (found === undefined) throw new Error(`${user.name} is in no channel ${name}`);
  return found;
}

async function types(channel: Channel, text: string, thread: string | undefined, seat: Seat): Promise<Acknowledged> {
  const { user, world, deliveries } = seat;
  const parent = thread === undefined ? undefined : messageWith(thread, channel, seat);
  const threadTs = parent === undefined ? undefined : (parent.threadTs ?? parent.ts);
  if (text.startsWith('/')) {
    if (parent !== undefined) throw new Error('Slack has no slash commands in threads');
    return slash(channel, text, seat);
  }
  const message = addMessage(world, { channel: channel.id, user: user.id, text: escaped(text, world), threadTs });
  const isDirect = channel.kind === 'im' && world.scopes.has('im:history');
  const isMention = text.startsWith(`@${world.botUser.name}`) && channel.members.has(world.botUser.id);
  // To the app alone Slack tells of a message as such, whoever is mentioned in it.
  if (!isDirect && (!isMention || channel.kind === 'im')) return undefined;
  const event = {
    type: isDirect ? 'message' : 'app_mention',
    ...(isDirect && { channel_type: 'im' }),
    user: user.id,
    text: message.text,
    ts: message.ts,
    channel: channel.id,
    event_ts: message.ts,
    ...(threadTs !== undefined && { thread_ts: threadTs }),
    ...(user.kind === 'bot' && { bot_id: 'B0OTHER' }),
  };
  return deliveries.deliver({ kind: 'events_api', payload: callback(event, world) });
}

function callback(event: Readonly<Record<string, unknown>>, world: World) {
  const { teamId, appId } = world;
  const eventId = `Ev${world.newId('')}`;
  return {
    type: 'event_callback',
    team_id: teamId,
    api_app_id: appId,
    event,
    event_id: eventId,
    event_time: seconds(world),
  };
}

function seconds(world: World): number {
  return Math.floor(world.nowMs() / 1000);
}

async function slash(channel: Channel, typed: string, seat: Seat): Promise<Acknowledged> {
  const { user, world, deliveries } = seat;
  addMessage(world, { channel: channel.id, user: user.id, text: typed, visibleTo: user.id, isDeed: true });
  const [command = '', ...rest] = typed.split(' ');
  const acknowledged = await deliveries.deliver({
    kind: 'slash_commands',
    payload: {
      token: 'verification-token',
      team_id: world.teamId,
      team_domain: 'harbour',
      channel_id: channel.id,
      channel_name: channelNameOf(channel),
      user_id: user.id,
      user_name: user.name.toLowerCase(),
      command,
      text: escaped(rest.join(' '), world),
      api_app_id: world.appId,
      is_enterprise_install: 'false',
      response_url: newResponseUrl(channel.id, undefined, seat),
      trigger_id: newTrigger(world, user.id),
    },
  });
  const said =
    acknowledged === undefined ? `${command} failed because the app did not respond` : acknowledged.answer?.text;
  if (typeof said === 'string' && said !== '') {
    const author = acknowledged === undefined ? 'USLACKBOT' : world.botUser.id;
    addMessage(world, { channel: channel.id, user: author, text: said, visibleTo: user.id });
  }
  return acknowledged;
}

function channelNameOf(channel: Channel): string {
  if (channel.kind === 'im') return 'directmessage';
  return channel.kind === 'private' ? 'privategroup' : channel.name;
}

/** `should_escape`: names become references, and Slack's three marks become entities. Source: CHAT 2.5 */
function escaped(text: string, world: World): string {
  const entities = text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;');
  return entities.replace(/([@#])([\w-]+)/g, (whole, sign: string, name: string) => {
    if (sign === '#') {
      const channel = [...world.channels.values()].find((one) => one.name === name);
      return channel === undefined ? whole : `<#${channel.id}|${name}>`;
    }
    const group = world.userGroups.get(name);
    if (group !== undefined) return `<!subteam^${group.id}|@${name}>`;
    const user = [...world.users.values()].find((one) => one.name === name);
    return user === undefined ? whole : `<@${user.id}>`;
  });
}

function newResponseUrl(channel: string, originalTs: string | undefined, { user, world, baseUrl }: Seat): string {
  const id = world.newId('r');
  world.responseUrls.set(id, { channel, user: user.id, originalTs, bornAtMs: world.nowMs(), useCount: 0 });
  return `${baseUrl()}/response/${id}`;
}

type Found = {
  readonly message: Message | undefined;
  readonly actionId: string;
  readonly blockId: string;
  readonly label: string;
  readonly value: string;
};

/** All buttons that this person sees there, the newest last. */
function buttonsIn(place: string, seat: Seat): Found[] {
  const { user, world } = seat;
  if (place === 'home') return buttonsOf(world.homes.get(user.id)?.view.blocks ?? [], undefined);
  const channel = channelOf(place, seat);
  return world.messages
    .filter((message) => message.channel === channel.id && (message.visibleTo ?? user.id) === user.id)
    .flatMap((message) => buttonsOf(message.blocks, message));
}

function buttonsOf(blocks: readonly Readonly<Record<string, unknown>>[], message: Message | undefined): Found[] {
  return blocks.flatMap((block, index) => {
    const elements = block.type === 'actions' && Array.isArray(block.elements) ? block.elements : [];
    return elements.map((element: { action_id: string; text: { text: string }; value?: string }) => ({
      message,
      actionId: element.action_id,
      blockId: typeof block.block_id === 'string' ? block.block_id : `b${index}`,
      label: element.text.text,
      value: element.value ?? '',
    }));
  });
}

async function clicks(place: string, label: string, seat: Seat): Promise<Acknowledged> {
  const found = buttonsIn(place, seat).findLast((button) => button.label === label);
  if (found === undefined) throw new Error(`${seat.user.name} sees no button [${label}] in ${place}`);
  return click(found, seat);
}

async function click(found: Found, seat: Seat): Promise<Acknowledged> {
  const { user, world, deliveries } = seat;
  const { message } = found;
  if (message !== undefined) {
    const at = { channel: message.channel, threadTs: message.threadTs };
    addMessage(world, { ...at, user: user.id, text: `clicks [${found.label}]`, visibleTo: user.id, isDeed: true });
  }
  return deliveries.deliver({
    kind: 'interactive',
    payload: {
      type: 'block_actions',
      user: {
        id: user.id,
        username: user.name.toLowerCase(),
        team_id: user.kind === 'external' ? 'TELSEWHERE' : world.teamId,
      },
      team: { id: world.teamId, domain: 'harbour' },
      api_app_id: world.appId,
      token: 'verification-token',
      trigger_id: newTrigger(world, user.id),
      ...(message === undefined ? { container: { type: 'view' } } : aboutMessage(message, seat)),
      actions: [
        {
          type: 'button',
          action_id: found.actionId,
          block_id: found.blockId,
          text: { type: 'plain_text', text: found.label },
          value: found.value,
          action_ts: world.newTs(),
        },
      ],
    },
  });
}

function aboutMessage(message: Message, seat: Seat) {
  const thread = message.threadTs === undefined ? {} : { thread_ts: message.threadTs };
  const channel = seat.world.channels.get(message.channel);
  return {
    container: {
      type: 'message',
      message_ts: message.ts,
      channel_id: message.channel,
      is_ephemeral: message.visibleTo !== undefined,
      ...thread,
    },
    channel: { id: message.channel, name: channel === undefined ? '' : channelNameOf(channel) },
    message: { ts: message.ts, text: message.text, ...thread },
    response_url: newResponseUrl(message.channel, message.ts, seat),
  };
}

function messageWith(containing: string, channel: Channel, { user, world }: Seat): Message {
  const found = world.messages.findLast(
    (message) =>
      message.channel === channel.id &&
      !message.isDeed &&
      (message.visibleTo ?? user.id) === user.id &&
      textOfMessage(message, world).join('\n').includes(containing),
  );
  if (found === undefined) throw new Error(`${user.name} sees no message with "${containing}" in #${channel.name}`);
  return found;
}

async function usesShortcut(channel: Channel, containing: string, seat: Seat): Promise<Acknowledged> {
  const { user, world, deliveries } = seat;
  const message = messageWith(containing, channel, seat);
  const thread = message.threadTs === undefined ? {} : { thread_ts: message.threadTs };
  return deliveries.deliver({
    kind: 'interactive',
    payload: {
      type: 'message_action',
      callback_id: 'run_dr_here',
      user: { id: user.id, name: user.name.toLowerCase(), team_id: world.teamId },
      team: { id: world.teamId, domain: 'harbour' },
      channel: { id: channel.id, name: channelNameOf(channel) },
      message: { type: 'message', ts: message.ts, text: message.text, user: message.user, ...thread },
      message_ts: message.ts,
      trigger_id: newTrigger(world, user.id),
      response_url: newResponseUrl(channel.id, message.ts, seat),
      action_ts: world.newTs(),
      token: 'verification-token',
    },
  });
}

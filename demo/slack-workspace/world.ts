import { EventEmitter } from 'node:events';
import type { Block, View } from './block-kit.ts';

export type UserKind = 'member' | 'guest' | 'external' | 'bot';
export type User = { readonly id: string; readonly name: string; kind: UserKind };
export type Channel = {
  readonly id: string;
  readonly name: string;
  readonly kind: 'public' | 'private' | 'im';
  readonly members: Set<string>;
  isArchived: boolean;
};
export type Message = {
  readonly ts: string;
  readonly channel: string;
  /** Who wrote it; the app's own user for the bot. */
  readonly user: string;
  text: string;
  blocks: readonly Block[];
  readonly threadTs: string | undefined;
  readonly isBroadcast: boolean;
  /** Only this user sees it. */
  readonly visibleTo: string | undefined;
  /** What a person did, not a message: typed a slash command, clicked a button. */
  readonly isDeed: boolean;
  editCount: number;
  readonly file: { readonly name: string; readonly altText: string; readonly bytes: Buffer } | undefined;
};
export type OpenView = {
  readonly id: string;
  readonly user: string;
  view: View;
  hash: string;
  isOpen: boolean;
};
export type Trigger = { readonly user: string; readonly bornAtMs: number; isUsed: boolean };
export type ResponseUrl = {
  readonly channel: string;
  readonly user: string;
  readonly originalTs: string | undefined;
  readonly bornAtMs: number;
  useCount: number;
};
export type Upload = {
  readonly name: string;
  readonly sizeBytes: number;
  readonly altText: string;
  bytes: Buffer | undefined;
};
/** One call of the app, for assertions. */
export type Call = {
  readonly method: string;
  readonly args: Readonly<Record<string, unknown>>;
  readonly answer: string;
};

/** Everything that the workspace knows; it lives in memory only. */
export type World = {
  readonly teamId: string;
  readonly teamName: string;
  readonly appId: string;
  readonly botUser: User;
  readonly botId: string;
  readonly botToken: string;
  readonly appToken: string;
  readonly signingSecret: string;
  readonly scopes: Set<string>;
  readonly users: Map<string, User>;
  /** By handle. */
  readonly userGroups: Map<string, { readonly id: string; readonly users: readonly string[] }>;
  readonly channels: Map<string, Channel>;
  readonly messages: Message[];
  readonly views: Map<string, OpenView>;
  readonly homes: Map<string, OpenView>;
  readonly triggers: Map<string, Trigger>;
  readonly responseUrls: Map<string, ResponseUrl>;
  readonly uploads: Map<string, Upload>;
  readonly calls: Call[];
  readonly changes: EventEmitter;
  readonly nowMs: () => number;
  readonly newId: (prefix: string) => string;
  readonly newTs: () => string;
};

export function createWorld(options: { readonly scopes: readonly string[]; readonly nowMs: () => number }): World {
  let count = 0;
  const newId = (prefix: string) => {
    count += 1;
    return `${prefix}0${count.toString(36).toUpperCase().padStart(8, '0')}`;
  };
  const botUser: User = { id: newId('U'), name: 'Lifeboat', kind: 'bot' };
  const changes = new EventEmitter();
  changes.setMaxListeners(0);
  return {
    teamId: newId('T'),
    teamName: 'Harbour',
    appId: newId('A'),
    botUser,
    botId: newId('B'),
    botToken: 'xoxb-loopback-not-a-secret',
    appToken: 'xapp-loopback-not-a-secret',
    signingSecret: 'loopback-signing-not-a-secret',
    scopes: new Set(options.scopes),
    users: new Map([[botUser.id, botUser]]),
    userGroups: new Map(),
    channels: new Map(),
    messages: [],
    views: new Map(),
    homes: new Map(),
    triggers: new Map(),
    responseUrls: new Map(),
    uploads: new Map(),
    calls: [],
    changes,
    nowMs: options.nowMs,
    newId,
    newTs: () => {
      count += 1;
      return `${Math.floor(options.nowMs() / 1000)}.${String(count).padStart(6, '0')}`;
    },
  };
}

export type NewMessage = Pick<Message, 'channel' | 'user' | 'text'> &
  Partial<Omit<Message, 'channel' | 'user' | 'text' | 'ts'>>;

export function addMessage(world: World, message: NewMessage): Message {
  const added: Message = {
    ts: world.newTs(),
    blocks: [],
    threadTs: undefined,
    isBroadcast: false,
    visibleTo: undefined,
    isDeed: false,
    editCount: 0,
    file: undefined,
    ...message,
  };
  world.messages.push(added);
  world.changes.emit('change');
  return added;
}

/** The direct conversation between the app and a user. */
export function directChannel(world: World, user: User): Channel {
  const found = [...world.channels.values()].find((channel) => channel.kind === 'im' && channel.members.has(user.id));
  if (found !== undefined) return found;
  const members = new Set([user.id, world.botUser.id]);
  const channel: Channel = { id: world.newId('D'), name: `@${user.name}`, kind: 'im', members, isArchived: false };
  world.channels.set(channel.id, channel);
  return channel;
}

export function newTrigger(world: World, user: string): string {
  const id = `${world.newId('')}.${world.teamId}.${world.newId('x')}`;
  world.triggers.set(id, { user, bornAtMs: world.nowMs(), isUsed: false });
  return id;
}

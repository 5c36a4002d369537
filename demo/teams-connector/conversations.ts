import { createHash } from 'node:crypto';

export type Person = {
  readonly name: string;
  /** Teams' own id (`29:…`). */
  readonly id: string;
  readonly aadObjectId: string | undefined;
  readonly userRole: 'user' | 'guest' | 'anonymous';
  readonly tenantId: string;
  /** Whether they have the app themselves: without it the bot cannot write to them first. */
  readonly hasApp: boolean;
};

export type Place = {
  readonly name: string;
  readonly kind: 'personal' | 'channel' | 'groupChat';
  readonly conversationId: string;
  /** Whose conversation it is; people of other tenants may be in it. */
  readonly tenantId: string;
  readonly people: readonly Person[];
  /** Whether the bot is a member. */
  hasBot: boolean;
};

export type Message = {
  readonly id: string;
  /** The thread in a channel, the conversation elsewhere. */
  readonly conversationId: string;
  readonly place: Place;
  readonly by: Person | 'bot';
  content: MessageContent;
  editCount: number;
};
export type MessageContent =
  | { readonly text: string }
  | { readonly card: Readonly<Record<string, unknown>>; readonly summary: string };

/** Teams' side of the world: who is there, where they talk, and what has been said. */
export type Conversations = {
  readonly person: (name: string, more?: Partial<Omit<Person, 'name' | 'id'>>) => Person;
  /** @param tenant the connector's own if left out; it counts when the place is named for the first time */
  readonly channel: (name: string, tenant?: string) => Place;
  readonly groupChat: (name: string) => Place;
  readonly personalOf: (person: Person, tenant?: string) => Place;
  readonly placeOf: (conversationId: string) => Place | undefined;
  readonly personOf: (id: string) => Person | undefined;
  readonly add: (message: Omit<Message, 'id' | 'editCount'>) => Message;
  readonly messagesIn: (conversationId: string) => readonly Message[];
  readonly all: readonly Message[];
};

export function createConversations(tenantId: string): Conversations {
  const people = new Map<string, Person>();
  const places = new Map<string, Place>();
  const all: Message[] = [];
  let clock = 1_763_700_000_000;
  const everybody: Person[] = [];
  const placeNamed = (named: Pick<Place, 'name' | 'kind' | 'conversationId'>, tenant = tenantId): Place => {
    const key = `${named.kind} ${named.name}`;
    const place = places.get(key) ?? { ...named, tenantId: tenant, people: everybody, hasBot: true };
    places.set(key, place);
    return place;
  };
  const idOf = (kind: string, name: string, encoding: 'hex' | 'base64url') => digest(kind, name).toString(encoding);
  const withoutThread = (id: string) => id.replace(/;messageid=.*$/, '');
  return {
    person: (name, more = {}) => {
      const known = people.get(name);
      if (known !== undefined && Object.keys(more).length === 0) return known;
      const fresh: Person = {
        name,
        id: known?.id ?? `29:1${digest('person', name).toString('base64url')}`,
        aadObjectId: uuidOf(name),
        userRole: 'user',
        tenantId,
        hasApp: true,
        ...known,
        ...more,
      };
      if (known !== undefined) everybody.splice(everybody.indexOf(known), 1);
      everybody.push(fresh);
      people.set(name, fresh);
      return fresh;
    },
    channel: (name, tenant) => {
      const conversationId = `19:${idOf('channel', name, 'hex')}@thread.tacv2`;
      return placeNamed({ name, kind: 'channel', conversationId }, tenant);
    },
    groupChat: (name) =>
      placeNamed({ name, kind: 'groupChat', conversationId: `19:${idOf('chat', name, 'hex')}@thread.v2` }),
    personalOf: ({ name }, tenant) => {
      const conversationId = `a:1${idOf('personal', name, 'base64url')}`;
      return placeNamed({ name, kind: 'personal', conversationId }, tenant);
    },
    placeOf: (id) => [...places.values()].find((place) => place.conversationId === withoutThread(id)),
    personOf: (id) => everybody.find((person) => person.id === id || person.aadObjectId === id),
    add: (message) => {
      clock += 1;
      const id = String(clock);
      const isRoot = message.place.kind === 'channel' && !message.conversationId.includes(';messageid=');
      const conversationId = isRoot ? `${message.conversationId};messageid=${id}` : message.conversationId;
      const added: Message = { ...message, id, conversationId, editCount: 0 };
      all.push(added);
      return added;
    },
    messagesIn: (conversationId) => all.filter((message) => message.conversationId.startsWith(conversationId)),
    all,
  };
}

/** Everybody and every place keeps its ids over restarts, so that links and stored conversations stay good. */
function digest(kind: string, name: string): Buffer {
  return createHash('sha256').update(`${kind} ${name}`).digest().subarray(0, 24);
}

function uuidOf(name: string): string {
  const hex = digest('entra', name).toString('hex');
  return `${hex.slice(0, 8)}-${hex.slice(8, 12)}-4${hex.slice(13, 16)}-8${hex.slice(17, 20)}-${hex.slice(20, 32)}`;
}

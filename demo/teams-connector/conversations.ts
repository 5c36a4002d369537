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
  readonly channel: (name: string) => Place;
  readonly groupChat: (name: string) => Place;
  readonly personalOf: (person: Person) => Place;
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
  const placeNamed = (name: string, kind: Place['kind'], id: string): Place => {
    const key = `${kind} ${name}`;
    const place = places.get(key) ?? { name, kind, conversationId: id, people: everybody, hasBot: true };
    places.set(key, place);
    return place;
  };
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
    channel: (name) => placeNamed(name, 'channel', `19:${digest('channel', name).toString('hex')}@thread.tacv2`),
    groupChat: (name) => placeNamed(name, 'groupChat', `19:${digest('chat', name).toString('hex')}@thread.v2`),
    personalOf: (person) =>
      placeNamed(person.name, 'personal', `a:1${digest('personal', person.name).toString('base64url')}`),
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

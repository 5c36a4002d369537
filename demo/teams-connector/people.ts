import { randomUUID } from 'node:crypto';
import { request } from 'undici';
import { textOfAdaptiveCard } from '../../bot/teams/render-text.ts';
import { faultsOfCard } from './card-check.ts';
import type { TeamsConnector } from './connector.ts';
import type { Message, Person, Place } from './conversations.ts';

type Node = Readonly<Record<string, unknown>>;
export type Dialog = { readonly title: string; readonly card: Node; readonly on: Message };
/** What somebody sees after a click: nobody else sees it. */
export type Outcome =
  | { readonly kind: 'pop-up'; readonly text: string }
  | { readonly kind: 'own-view'; readonly card: Node; readonly text: string }
  | { readonly kind: 'dialog'; readonly dialog: Dialog; readonly text: string }
  | { readonly kind: 'closed' }
  | { readonly kind: 'error'; readonly status: number; readonly text: string };

/** A person at their client: types, looks, clicks and fills in as Teams' own clients do. */
export type Client = {
  readonly person: Person;
  /** `@DR status` mentions the bot; `@ana` mentions a person. Returns the bot's HTTP status. */
  readonly says: (text: string, where?: Place | Message, more?: Node) => Promise<number>;
  /** Opens the message: a card that refreshes for this person is asked for. */
  readonly looksAt: (message: Message) => Promise<Outcome>;
  readonly clicks: (what: Message | Outcome, title: string, on?: Message) => Promise<Outcome>;
  /** Answers by label; then the first button, or the one named. */
  readonly fillsIn: (dialog: Dialog, answers: Readonly<Record<string, string>>, button?: string) => Promise<Outcome>;
};

export type BotLink = { readonly url: string; readonly botName: string };

export function clientOf(person: Person, connector: TeamsConnector, bot: () => BotLink): Client {
  const act = (activity: Node) => deliver(connector, bot().url, activity);
  const invoke = async (name: string, value: Node, on: Message) => {
    const base = activityOf(person, on.place, { connector, botName: bot().botName, conversationId: on.conversationId });
    return act({ ...base, type: 'invoke', name, value, replyToId: on.id });
  };
  const client: Client = {
    person,
    says: async (text, where, more = {}) => {
      const place =
        where === undefined ? connector.conversations.personalOf(person) : 'place' in where ? where.place : where;
      const message = connector.conversations.add({
        conversationId: where !== undefined && 'place' in where ? where.conversationId : place.conversationId,
        place,
        by: person,
        content: { text },
      });
      const base = activityOf(person, place, {
        connector,
        botName: bot().botName,
        conversationId: message.conversationId,
      });
      const answer = await act({
        ...base,
        type: 'message',
        id: message.id,
        ...mentionsIn(text, connector, bot().botName),
        ...more,
      });
      return answer.status;
    },
    looksAt: async (message) => {
      const card = cardOf(message);
      const refresh = nodeIn(card.refresh);
      const isAsked = Array.isArray(refresh.userIds) && refresh.userIds.includes(person.id);
      if (!isAsked) return { kind: 'own-view', card, text: textOfAdaptiveCard(card) };
      const value = { action: nodeIn(refresh.action), trigger: 'automatic' };
      return outcomeOfAction(await invoke('adaptiveCard/action', value, message));
    },
    clicks: async (what, title, on) => {
      const message = on ?? ('place' in what ? what : undefined);
      if (message === undefined) throw new Error('say which message the view belongs to');
      const card = 'place' in what ? cardOf(what) : what.kind === 'own-view' ? what.card : {};
      const action = actionsOf(card).find((candidate) => candidate.title === title);
      if (action === undefined) throw new Error(`no button "${title}" in:\n${textOfAdaptiveCard(card)}`);
      if (action.type === 'Action.Execute') {
        return outcomeOfAction(await invoke('adaptiveCard/action', { action, trigger: 'manual' }, message));
      }
      const data = nodeIn(action.data);
      const isDialog = nodeIn(data.msteams).type === 'task/fetch';
      if (isDialog)
        return outcomeOfTask(await invoke('task/fetch', { data, context: { theme: 'default' } }, message), message);
      const base = activityOf(person, message.place, {
        connector,
        botName: bot().botName,
        conversationId: message.conversationId,
      });
      const answer = await act({ ...base, type: 'message', value: data, replyToId: message.id });
      return answer.status < 300 ? { kind: 'closed' } : { kind: 'error', status: answer.status, text: '' };
    },
    fillsIn: async (dialog, answers, button) => {
      const action = actionsOf(dialog.card).find((candidate) => button === undefined || candidate.title === button);
      if (action === undefined) throw new Error(`the dialog "${dialog.title}" has no button`);
      const data = { ...nodeIn(action.data), ...inputsOf(dialog.card, answers) };
      return outcomeOfTask(await invoke('task/submit', { data, context: { theme: 'default' } }, dialog.on), dialog.on);
    },
  };
  return client;
}

/** An activity with its headers as Teams sends it; for tests that want to send it wrongly. */
export function activityOf(
  person: Person,
  place: Place,
  more: { readonly connector: TeamsConnector; readonly botName: string; readonly conversationId?: string },
): Node {
  const { connector } = more;
  const isChannel = place.kind === 'channel';
  const team = { team: { id: '19:team@thread.tacv2' }, channel: { id: place.conversationId } };
  return {
    id: `f:${randomUUID()}`,
    timestamp: new Date().toISOString(),
    serviceUrl: connector.serviceUrl,
    channelId: 'msteams',
    from: {
      id: person.id,
      name: person.name,
      ...(person.aadObjectId !== undefined && { aadObjectId: person.aadObjectId }),
    },
    recipient: { id: `28:${connector.appId}`, name: more.botName },
    conversation: {
      id: more.conversationId ?? place.conversationId,
      conversationType: place.kind,
      tenantId: place.tenantId,
      ...(place.kind !== 'personal' && { isGroup: true }),
    },
    channelData: { tenant: { id: place.tenantId }, ...(isChannel && team) },
  };
}

export type BotAnswer = { readonly status: number; readonly body: Node };

export async function deliver(
  connector: TeamsConnector,
  url: string,
  activity: Node,
  authorization?: string,
): Promise<BotAnswer> {
  const answer = await request(url, {
    method: 'POST',
    headers: {
      'content-type': 'application/json',
      authorization: authorization ?? `Bearer ${connector.issuer.sign()}`,
    },
    body: JSON.stringify(activity),
  });
  const text = await answer.body.text();
  return { status: answer.statusCode, body: text === '' ? {} : nodeIn(JSON.parse(text)) };
}

/** `@DR` and `@ana` as Teams writes them: a tag in the text, and an entity that says who is meant. */
function mentionsIn(text: string, connector: TeamsConnector, botName: string): Node {
  const entities: Node[] = [];
  const written = text.replace(/(^|\s)@([A-Za-z0-9-]+)/g, (whole, before: string, name: string) => {
    const isBot = name === botName;
    const known = connector.conversations.all.some((message) => message.by !== 'bot' && message.by.name === name);
    if (!isBot && !known) return whole;
    const id = isBot ? `28:${connector.appId}` : connector.conversations.person(name).id;
    entities.push({ type: 'mention', text: `<at>${name}</at>`, mentioned: { id, name } });
    return `${before}<at>${name}</at>`;
  });
  return { text: written, entities: [...entities, { type: 'clientInfo', locale: 'en-GB' }] };
}

function outcomeOfAction(answer: BotAnswer): Outcome {
  const { statusCode, type, value } = answer.body;
  if (answer.status !== 200) return { kind: 'error', status: answer.status, text: '' };
  if (statusCode === 200 && type === 'application/vnd.microsoft.activity.message')
    return { kind: 'pop-up', text: String(value) };
  if (statusCode === 200 && type === 'application/vnd.microsoft.card.adaptive') {
    const card = checked(nodeIn(value));
    return { kind: 'own-view', card, text: textOfAdaptiveCard(card) };
  }
  return { kind: 'error', status: Number(statusCode ?? 0), text: String(nodeIn(value).message ?? '') };
}

function outcomeOfTask(answer: BotAnswer, on: Message): Outcome {
  if (answer.status !== 200) return { kind: 'error', status: answer.status, text: '' };
  const task = nodeIn(answer.body.task);
  if (task.type === 'message') return { kind: 'pop-up', text: String(task.value) };
  if (task.type !== 'continue') return { kind: 'closed' };
  const value = nodeIn(task.value);
  const card = checked(nodeIn(nodeIn(value.card).content));
  const dialog = { title: String(value.title), card, on };
  return { kind: 'dialog', dialog, text: `${dialog.title}\n${textOfAdaptiveCard(card)}` };
}

/** A client draws nothing of a card that is wrong. */
function checked(card: Node): Node {
  const faults = faultsOfCard(card);
  if (faults.length > 0) throw new Error(`Teams would not draw this card: ${faults.join('; ')}`);
  return card;
}

/** The answers as the client sends them: by input id, each input present. Refuses to send what the inputs forbid. */
function inputsOf(card: Node, answers: Readonly<Record<string, string>>): Record<string, string> {
  const inputs = (Array.isArray(card.body) ? card.body : [])
    .map(nodeIn)
    .filter((node) => String(node.type).startsWith('Input.'));
  const labels = inputs.map((input) => String(input.label));
  for (const label of Object.keys(answers))
    if (!labels.includes(label)) throw new Error(`no field "${label}" among ${labels.join(', ')}`);
  return Object.fromEntries(
    inputs.map((input) => {
      const answer = answers[String(input.label)] ?? String(input.value ?? '');
      const isMissing = input.isRequired === true && answer === '';
      const isWrong = typeof input.regex === 'string' && answer !== '' && !new RegExp(input.regex).test(answer);
      if (isMissing || isWrong) throw new Error(`the client keeps the dialog open: ${String(input.errorMessage)}`);
      return [String(input.id), answer];
    }),
  );
}

function cardOf(message: Message): Node {
  if (!('card' in message.content)) throw new Error(`message ${message.id} has no card`);
  return message.content.card;
}

function actionsOf(card: Node): Node[] {
  return (Array.isArray(card.actions) ? card.actions : []).map(nodeIn);
}

function nodeIn(value: unknown): Node {
  return typeof value === 'object' && value !== null ? (value as Node) : {};
}

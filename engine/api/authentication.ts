import { TLSSocket } from 'node:tls';
import type { FastifyRequest } from 'fastify';
import type { Grant } from '../../domain/access.ts';
import type { AgentId, SessionId } from '../../domain/ids.ts';
import { invariant } from '../../domain/invariant.ts';
import { actorHeader, type ChatActor } from '../../protocol/chat-api.ts';
import { begunByPersonHeader, sessionHeader } from '../../protocol/console-api.ts';
import { identityWords } from '../../protocol/identity.ts';
import { recogniseSession } from '../people/console-session.ts';
import { touchSession } from '../store/console-sessions.ts';
import { isAgentWelcome } from '../store/enrolment.ts';
import { findPerson, linkedPerson } from '../store/people.ts';
import { type Caller, callerOf } from '../tls.ts';
import { parseActor, refuseStranger } from './chat-actor.ts';
import type { ApiDeps } from './deps.ts';
import { type Refusal, refuse } from './reply.ts';

/**
 * Who may call a route: anyone without a bad certificate, an enrolled agent, a person (who is linked or signed in, when a bot speaks for them),
 * a chatter (also a member of the chat who is linked to nobody: to ask who they are, and to link), the bot itself, or `looker`: a person, or the bot
 * that keeps a message true which was shown to people.
 */
export type Access = 'anyone' | 'agent' | 'person' | 'chatter' | 'bot' | 'looker';

export type Person = {
  /** The person's id; of an unlinked chat user, how the chat calls them. */
  readonly name: string;
  readonly grants: readonly Grant[];
  /** `certificate`, the chat's name, or `web`. */
  readonly via: string;
  /** In chat: for whom the bot speaks. */
  readonly actor?: ChatActor;
  /** At the web console: by which sign-in. */
  readonly session?: SessionId;
  readonly isLinked: boolean;
};
/** The proven caller of a request. */
export type CallerOf = {
  anyone: { readonly kind: 'anyone' };
  agent: { readonly agentId: AgentId };
  person: Person;
  chatter: Person;
  bot: { readonly botName: string };
  looker: { readonly kind: 'bot' } | Person;
};

export type Authentication<Kind extends Access> =
  | { readonly kind: 'admitted'; readonly caller: CallerOf[Kind] }
  /** `who` was turned away, as far as a certificate of ours, or the bot with one, says it. */
  | (Refusal & { readonly who?: TurnedAway });
export type TurnedAway = Omit<Person, 'grants'>;

type Deps = Pick<ApiDeps, 'nowMs' | 'store' | 'console'>;

/** Decides at each request, by the certificate of its connection, whether the caller may use routes of this kind. */
export async function authenticate<Kind extends Access>(
  deps: Deps,
  request: FastifyRequest,
  access: Kind,
): Promise<Authentication<Kind>> {
  const { socket } = request.raw;
  invariant(socket instanceof TLSSocket, 'the control API is served over TLS only');
  const caller = callerOf(socket, deps.nowMs());
  if (caller.kind === 'refused') return refuse('unauthenticated', caller.message);
  const said: Said = {
    actor: request.headers[actorHeader],
    session: request.headers[sessionHeader],
    // An open page asks by itself, again and again: that keeps no session alive that nobody uses.
    isUse: request.method === 'POST' || request.headers[begunByPersonHeader] === '1',
  };
  const admit: { [Each in Access]: () => Promise<Authentication<Each>> | Authentication<Each> } = {
    anyone: () => ({ kind: 'admitted', caller: { kind: 'anyone' } }),
    agent: () => admitAgent(deps, caller),
    person: () => admitPerson(deps, caller, { said, isUnlinkedWelcome: false }),
    chatter: () => admitPerson(deps, caller, { said, isUnlinkedWelcome: true }),
    bot: () => admitBot(caller),
    looker: () => (isBotItself(caller, said) ? { kind: 'admitted', caller: { kind: 'bot' } } : admit.person()),
  };
  return admit[access]();
}

type Header = string | string[] | undefined;
/** For whom a bot says that it speaks. */
type Said = { readonly actor: Header; readonly session: Header; readonly isUse: boolean };

const noCertificate = 'This needs a client certificate of this installation.';

async function admitAgent(deps: Pick<ApiDeps, 'store'>, caller: Caller): Promise<Authentication<'agent'>> {
  if (caller.kind !== 'known') return refuse('unauthenticated', noCertificate);
  const { identity } = caller;
  if (identity.kind !== 'agent') return refuse('forbidden', `This is for agents; you are ${identityWords(identity)}.`);
  const { agentId } = identity;
  if (await deps.store.read((db) => isAgentWelcome(db, agentId))) return { kind: 'admitted', caller: { agentId } };
  return refuse(
    'forbidden',
    `Agent ${agentId} is revoked: its host was enrolled again, or it was taken out of service.`,
  );
}

function isBotItself(caller: Caller, { actor, session }: Said): boolean {
  return caller.kind === 'known' && caller.identity.kind === 'bot' && actor === undefined && session === undefined;
}

function admitBot(caller: Caller): Authentication<'bot'> {
  if (caller.kind !== 'known') return refuse('unauthenticated', noCertificate);
  const { identity } = caller;
  if (identity.kind === 'bot') return { kind: 'admitted', caller: { botName: identity.name } };
  return refuse('forbidden', `This is for bots; you are ${identityWords(identity)}.`);
}

type Speaking = { readonly said: Said; readonly isUnlinkedWelcome: boolean };

/** People speak for themselves with their own certificate, and in chat and at the web console through a bot; never both. */
async function admitPerson(deps: Deps, caller: Caller, speaking: Speaking): Promise<Authentication<'person'>> {
  if (caller.kind !== 'known') return refuse('unauthenticated', noCertificate);
  const { identity } = caller;
  const who: TurnedAway = { name: identityWords(identity), via: 'certificate', isLinked: true };
  const { actor, session } = speaking.said;
  if (identity.kind === 'person') {
    if (actor === undefined && session === undefined) {
      return admitByName(deps, { name: identity.name, via: 'certificate' });
    }
    const header = actor === undefined ? sessionHeader : actorHeader;
    return { ...refuse('forbidden', `Only a bot speaks for others: leave ${header} out.`), who };
  }
  if (identity.kind !== 'bot') return { ...refuse('forbidden', `This is for people; you are ${who.name}.`), who };
  if (actor !== undefined && session !== undefined) {
    const message = `A bot speaks for one person at a time: send ${actorHeader} or ${sessionHeader}, not both.`;
    return { ...refuse('bad-request', message), who };
  }
  if (session !== undefined) return admitSession(deps, { header: session, bot: who, isUse: speaking.said.isUse });
  if (actor !== undefined) return admitChatUser(deps, actor, { who, isUnlinkedWelcome: speaking.isUnlinkedWelcome });
  const message = `A bot can do nothing in its own name; it says for whom in ${actorHeader} or ${sessionHeader}.`;
  return { ...refuse('forbidden', message), who };
}

/** Whoever signed in at the web console. The session is looked up at each request: one that was ended is over at once. */
async function admitSession(
  deps: Deps,
  { header, bot, isUse }: { readonly header: string | string[]; readonly bot: TurnedAway; readonly isUse: boolean },
): Promise<Authentication<'person'>> {
  const recognise = deps.console?.recogniseSession ?? recogniseSession;
  const found = await deps.store.read((db) => recognise(db, typeof header === 'string' ? header : ''));
  if (found.kind === 'refused') {
    const who = found.person === undefined ? bot : { name: found.person, via: 'web', isLinked: true };
    const nextStep = 'Sign in again: `dr console` in a terminal or `/dr console` in chat gives a link.';
    return { ...refuse('unauthenticated', found.message, { nextStep }), who };
  }
  const { id, person: name } = found;
  const admitted = await admitByName(deps, { name, via: 'web', session: id });
  if (admitted.kind === 'admitted' && isUse && found.isTouchDue) await deps.store.read((db) => touchSession(db, id));
  return admitted;
}

async function admitChatUser(
  deps: Deps,
  header: string | string[],
  speaking: { readonly who: TurnedAway; readonly isUnlinkedWelcome: boolean },
): Promise<Authentication<'person'>> {
  const { who, isUnlinkedWelcome } = speaking;
  const actor = parseActor(header);
  if (actor === undefined) return { ...refuse('bad-request', `The header ${actorHeader} is not understood.`), who };
  const stranger = refuseStranger(actor);
  if (stranger !== undefined) return { ...stranger, who: strangerOf(actor) };
  return admitActor(deps, actor, isUnlinkedWelcome);
}

function strangerOf(actor: ChatActor): TurnedAway & { readonly actor: ChatActor } {
  return { name: actor.displayName || actor.user, via: actor.surface, actor, isLinked: false };
}

async function admitActor(deps: Deps, actor: ChatActor, isUnlinkedWelcome: boolean): Promise<Authentication<'person'>> {
  const name = await deps.store.read((db) => linkedPerson(db, actor));
  if (name !== undefined) return admitByName(deps, { name, via: actor.surface, actor });
  const who = strangerOf(actor);
  if (isUnlinkedWelcome) return { kind: 'admitted', caller: { ...who, grants: [] } };
  const refusal = refuse(
    'not-linked',
    `${who.name} is known in chat, but is linked to no person of this installation.`,
    {
      nextStep:
        'Type `link`: it gives a code to confirm in a terminal. Or type `link <code>` with a code from an admin.',
    },
  );
  return { ...refusal, who };
}

/** What a person may do is read at each request: a role that was taken away is gone at once. */
async function admitByName(
  deps: Deps,
  caller: Pick<Person, 'name' | 'via' | 'actor' | 'session'>,
): Promise<Authentication<'person'>> {
  const { name } = caller;
  const turnedAway = (message: string): Authentication<'person'> => ({
    ...refuse('forbidden', message, { nextStep: 'Ask an admin of this installation.' }),
    who: { ...caller, isLinked: true },
  });
  const person = await deps.store.read((db) => findPerson(db, name));
  if (person === undefined) return turnedAway(`There is no person ${name} in this installation.`);
  if (person.isDisabled) return turnedAway(`${name} is disabled in this installation.`);
  return { kind: 'admitted', caller: { ...caller, grants: person.grants, isLinked: true } };
}

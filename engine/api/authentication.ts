import { TLSSocket } from 'node:tls';
import type { FastifyRequest } from 'fastify';
import type { Grant } from '../../domain/access.ts';
import type { AgentId } from '../../domain/ids.ts';
import { invariant } from '../../domain/invariant.ts';
import { actorHeader, type ChatActor } from '../../protocol/chat-api.ts';
import { identityWords } from '../../protocol/identity.ts';
import { isAgentWelcome } from '../store/enrolment.ts';
import { findPerson, linkedPerson } from '../store/people.ts';
import { type Caller, callerOf } from '../tls.ts';
import { parseActor, refuseStranger } from './chat-actor.ts';
import type { ApiDeps } from './deps.ts';
import { type Refusal, refuse } from './reply.ts';

/**
 * Who may call a route: anyone without a bad certificate, an enrolled agent, a person (who is linked, when a bot speaks for them),
 * a chatter (also a member of the chat who is linked to nobody: to ask who they are, and to link), the bot itself, or `looker`: a person, or the bot
 * that keeps a message true which was shown to people.
 */
export type Access = 'anyone' | 'agent' | 'person' | 'chatter' | 'bot' | 'looker';

export type Person = {
  /** The person's id; of an unlinked chat user, how the chat calls them. */
  readonly name: string;
  readonly grants: readonly Grant[];
  /** `certificate`, or the chat's name. */
  readonly via: string;
  /** In chat: for whom the bot speaks. */
  readonly actor?: ChatActor;
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

type Deps = Pick<ApiDeps, 'nowMs' | 'store'>;

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
  const header = request.headers[actorHeader];
  const admit: { [Each in Access]: () => Promise<Authentication<Each>> | Authentication<Each> } = {
    anyone: () => ({ kind: 'admitted', caller: { kind: 'anyone' } }),
    agent: () => admitAgent(deps, caller),
    person: () => admitPerson(deps, caller, { header, isUnlinkedWelcome: false }),
    chatter: () => admitPerson(deps, caller, { header, isUnlinkedWelcome: true }),
    bot: () => admitBot(caller),
    looker: () => (isBotItself(caller, header) ? { kind: 'admitted', caller: { kind: 'bot' } } : admit.person()),
  };
  return admit[access]();
}

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

function isBotItself(caller: Caller, header: string | string[] | undefined): boolean {
  return caller.kind === 'known' && caller.identity.kind === 'bot' && header === undefined;
}

function admitBot(caller: Caller): Authentication<'bot'> {
  if (caller.kind !== 'known') return refuse('unauthenticated', noCertificate);
  const { identity } = caller;
  if (identity.kind === 'bot') return { kind: 'admitted', caller: { botName: identity.name } };
  return refuse('forbidden', `This is for bots; you are ${identityWords(identity)}.`);
}

type Speaking = { readonly header: string | string[] | undefined; readonly isUnlinkedWelcome: boolean };

/** People speak for themselves with their own certificate, and in chat through a bot; never both. */
async function admitPerson(deps: Deps, caller: Caller, speaking: Speaking): Promise<Authentication<'person'>> {
  if (caller.kind !== 'known') return refuse('unauthenticated', noCertificate);
  const { identity } = caller;
  const who: TurnedAway = { name: identityWords(identity), via: 'certificate', isLinked: true };
  const { header } = speaking;
  if (identity.kind === 'person') {
    if (header === undefined) return admitByName(deps, { name: identity.name, via: 'certificate' });
    return { ...refuse('forbidden', `Only a bot speaks for others: leave ${actorHeader} out.`), who };
  }
  if (identity.kind !== 'bot') return { ...refuse('forbidden', `This is for people; you are ${who.name}.`), who };
  if (header === undefined) {
    return { ...refuse('forbidden', `A bot can do nothing in its own name; it says for whom in ${actorHeader}.`), who };
  }
  const actor = parseActor(header);
  if (actor === undefined) return { ...refuse('bad-request', `The header ${actorHeader} is not understood.`), who };
  const stranger = refuseStranger(actor);
  if (stranger !== undefined) return { ...stranger, who: strangerOf(actor) };
  return admitActor(deps, actor, speaking.isUnlinkedWelcome);
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
  caller: { readonly name: string; readonly via: string; readonly actor?: ChatActor },
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

import { TLSSocket } from 'node:tls';
import type { FastifyRequest } from 'fastify';
import type { Role } from '../../domain/access.ts';
import type { AgentId } from '../../domain/ids.ts';
import { invariant } from '../../domain/invariant.ts';
import { identityWords } from '../../protocol/identity.ts';
import { isAgentWelcome } from '../store/enrolment.ts';
import { type Caller, callerOf } from '../tls.ts';
import type { ApiDeps } from './deps.ts';
import { type Refusal, refuse } from './reply.ts';

/**
 * Who may call a route: anyone without a bad certificate, an enrolled agent, or people (and bots, which speak for
 * them).
 */
export type Access = 'anyone' | 'agent' | 'person';

export type Person = { readonly name: string; readonly roles: readonly Role[]; readonly via: string };
/** The proven caller of a request. */
export type CallerOf = { anyone: { readonly kind: 'anyone' }; agent: { readonly agentId: AgentId }; person: Person };

export type Authentication<Kind extends Access> =
  | { readonly kind: 'admitted'; readonly caller: CallerOf[Kind] }
  | Refusal;

/** Decides at each request, by the certificate of its connection, whether the caller may use routes of this kind. */
export async function authenticate<Kind extends Access>(
  deps: Pick<ApiDeps, 'nowMs' | 'store' | 'rolesOf'>,
  request: FastifyRequest,
  access: Kind,
): Promise<Authentication<Kind>> {
  const { socket } = request.raw;
  invariant(socket instanceof TLSSocket, 'the control API is served over TLS only');
  const caller = callerOf(socket, deps.nowMs());
  if (caller.kind === 'refused') return refuse('unauthenticated', caller.message);
  const admit: { [Each in Access]: () => Promise<Authentication<Each>> | Authentication<Each> } = {
    anyone: () => ({ kind: 'admitted', caller: { kind: 'anyone' } }),
    agent: () => admitAgent(deps, caller),
    person: () => admitPerson(deps, caller),
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

function admitPerson(deps: Pick<ApiDeps, 'rolesOf'>, caller: Caller): Authentication<'person'> {
  if (caller.kind !== 'known') return refuse('unauthenticated', noCertificate);
  const { identity } = caller;
  if (identity.kind !== 'person' && identity.kind !== 'bot') {
    return refuse('forbidden', `This is for people; you are ${identityWords(identity)}.`);
  }
  const name = identityWords(identity);
  return { kind: 'admitted', caller: { name, roles: deps.rolesOf(name), via: `${identity.kind} certificate` } };
}

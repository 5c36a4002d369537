import type { z } from 'zod';
import { type AccessRequest, decideAccess } from '../../domain/access.ts';
import { type CommandAnswer, commandAnswer } from '../../protocol/control-api.ts';
import type { Database } from '../store/database.ts';
import { tagsOf } from '../store/machine-tags.ts';
import type { Person } from './authentication.ts';
import type { ApiDeps } from './deps.ts';
import { findByName } from './find-machine.ts';
import { once } from './once.ts';
import { type Refusal, type Reply, refuse } from './reply.ts';
import type { Router } from './route.ts';
import { storableBody } from './storable.ts';

export type Order<Body> = {
  readonly body: Body;
  readonly caller: Person;
  /** The caller's name. */
  readonly person: string;
  /** The idempotency key. */
  readonly key: string;
};
export type CommandReply = Reply<CommandAnswer>;

export type CommandRoute<Body extends z.ZodType> = {
  readonly url: string;
  readonly summary: string;
  readonly needs: AccessRequest;
  readonly body: Body;
  /** The machine that it is done to, as it was typed: the caller's role must count for it. */
  readonly machineOf?: (body: z.output<Body>) => string;
};

export type AddCommand = <Body extends z.ZodType>(
  route: CommandRoute<Body>,
  work: (order: Order<z.output<Body>>) => Promise<CommandReply>,
) => void;

/**
 * How people's commands are added: each needs its role, on the machine that it is done to; it stands in the audit trail before it is carried
 * out, and is carried out once for its idempotency key.
 */
export function commandsOf(router: Router, deps: Pick<ApiDeps, 'store'>): AddCommand {
  return (route, work) =>
    router.add({
      method: 'POST',
      url: route.url,
      summary: route.summary,
      needs: route.needs,
      body: route.body,
      access: 'person',
      answer: commandAnswer,
      handle: ({ caller, body: sent, idempotencyKey }) => {
        const body = storableBody(sent);
        return once(
          deps.store,
          { key: idempotencyKey, person: caller.name, caller, url: route.url, body },
          async (key) => {
            const typed = route.machineOf?.(body);
            const denied =
              typed === undefined
                ? undefined
                : await deps.store.read((db) => refuseOutOfScope(db, { caller, needs: route.needs, typed }));
            return denied ?? work({ body, caller, person: caller.name, key });
          },
        );
      },
    });
}

/** Why the caller's grants do not count for this machine; undefined when they do. Source: issue 3 (scoped roles) */
export async function refuseOutOfScope(
  db: Database,
  request: { readonly caller: Pick<Person, 'grants'>; readonly needs: AccessRequest; readonly typed: string },
): Promise<Refusal | undefined> {
  const name = request.typed.startsWith('vm:') ? request.typed.slice('vm:'.length) : request.typed;
  const { grants } = request.caller;
  // Tags can only add to what a grant covers: most callers need no look at them.
  if (decideAccess(grants, request.needs, { name, tags: [] }).kind === 'allowed') return undefined;
  const decision = decideAccess(grants, request.needs, { name, tags: await tagsOf(db, name) });
  if (decision.kind === 'allowed') return undefined;
  // Who mistyped a name hears that first.
  const found = await findByName(db, request.typed);
  if (found.kind === 'refusal' && found.body.kind === 'unknown-target') return found;
  return refuse('forbidden', decision.message);
}

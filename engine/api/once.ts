import { createHash } from 'node:crypto';
import { setTimeout as delay } from 'node:timers/promises';
import { assertNever } from '../../domain/invariant.ts';
import { type CommandAnswer, commandAnswer, refusalBody } from '../../protocol/control-api.ts';
import { canonicalText } from '../../protocol/point-manifest.ts';
import { claimCommand, keepAnswer, releaseClaim } from '../store/command-answers.ts';
import type { Store } from '../store/open.ts';
import type { Person } from './authentication.ts';
import { auditCommand, detailOf, entryOf, type Origin, originOf } from './command-audit.ts';
import { answer, type Reply, refuse } from './reply.ts';

const waitMsMax = 10_000;
const lookEveryMs = 100;

type Command = {
  readonly key: string | undefined;
  readonly person: string;
  /** Whom the audit trail names; the person alone when left out. */
  readonly caller?: Pick<Person, 'name' | 'via' | 'actor' | 'session' | 'isLinked'>;
  readonly url: string;
  readonly body: unknown;
};

/**
 * Carries a command out once for each idempotency key: whoever sends the key again, to whichever engine, gets the
 * first answer.
 * An outage is not an answer: the same key may try again.
 */
export async function once(
  store: Store,
  command: Command,
  work: (key: string) => Promise<Reply<CommandAnswer>>,
): Promise<Reply<CommandAnswer>> {
  const { key, person, url, body } = command;
  const origin = originOf(command.caller ?? { name: person, via: '' });
  if (key === undefined)
    return refuse('bad-request', 'A command needs the header idempotency-key (8 to 200 characters).');
  const requestDigest = createHash('sha256').update(canonicalText({ url, body })).digest('hex');
  const deadline = performance.now() + waitMsMax;
  while (true) {
    const claim = await store.read((db) => claimCommand(db, { key, person, requestDigest }, entryOf(origin, command)));
    switch (claim.kind) {
      case 'claimed':
        return perform({ store, key, origin, command }, work);
      case 'answered':
        return kept(claim);
      case 'other-request': {
        const refusal = refuse('bad-request', 'This idempotency key was used for another request.');
        const outcome = `refused: ${refusal.body.message} ${detailOf(body, origin.envelope)}`;
        await store.write((db) => auditCommand(db, origin, { url, body, outcome }));
        return refusal;
      }
      case 'in-progress':
        if (performance.now() > deadline)
          return refuse('outage', 'This command is still being carried out; ask again.');
        await delay(lookEveryMs);
        break;
      default:
        return assertNever(claim);
    }
  }
}

type Claimed = {
  readonly store: Store;
  readonly key: string;
  readonly origin: Origin;
  readonly command: Pick<Command, 'url' | 'body'>;
};

async function perform(
  { store, key, origin, command }: Claimed,
  work: (key: string) => Promise<Reply<CommandAnswer>>,
): Promise<Reply<CommandAnswer>> {
  let reply: Reply<CommandAnswer>;
  try {
    reply = await work(key);
  } catch (error) {
    await store.read((db) => releaseClaim(db, key));
    throw error;
  }
  const status = reply.kind === 'answer' ? 200 : reply.status;
  const outcome = outcomeOf(reply);
  const entry = outcome === undefined ? undefined : entryOf(origin, { ...command, outcome });
  // An outage is no answer, and changed nothing: the same key may try again.
  if (status >= 500) await store.read((db) => releaseClaim(db, key));
  else await store.read((db) => keepAnswer(db, key, { status, body: reply.body, entry }));
  return reply;
}

/** What the trail cannot tell from the command alone: that it was refused, and which run it began. */
function outcomeOf(reply: Reply<CommandAnswer>): string | undefined {
  if (reply.kind === 'refusal') return `refused: ${reply.body.message}`;
  return reply.body.kind === 'run-started' ? `started: ${reply.body.runId}` : undefined;
}

function kept(claim: { readonly status: number; readonly answer: unknown }): Reply<CommandAnswer> {
  if (claim.status === 200) return answer(commandAnswer.parse(claim.answer));
  return { kind: 'refusal', status: claim.status, body: refusalBody.parse(claim.answer) };
}

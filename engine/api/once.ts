import { createHash } from 'node:crypto';
import { setTimeout as delay } from 'node:timers/promises';
import { assertNever } from '../../domain/invariant.ts';
import { type CommandAnswer, commandAnswer, refusalBody } from '../../protocol/control-api.ts';
import { canonicalText } from '../../protocol/point-manifest.ts';
import { claimCommand, keepAnswer, releaseClaim } from '../store/command-answers.ts';
import type { Store } from '../store/open.ts';
import { answer, type Reply, refuse } from './reply.ts';

const waitMsMax = 10_000;
const lookEveryMs = 100;

/**
 * Carries a command out once for each idempotency key: whoever sends the key again, to whichever engine, gets the
 * first answer.
 * An outage is not an answer: the same key may try again.
 */
export async function once(
  store: Store,
  command: { readonly key: string | undefined; readonly person: string; readonly url: string; readonly body: unknown },
  work: (key: string) => Promise<Reply<CommandAnswer>>,
): Promise<Reply<CommandAnswer>> {
  const { key, person, url, body } = command;
  if (key === undefined)
    return refuse('bad-request', 'A command needs the header idempotency-key (8 to 200 characters).');
  const requestDigest = createHash('sha256').update(canonicalText({ url, body })).digest('hex');
  const deadline = performance.now() + waitMsMax;
  while (true) {
    const claim = await store.read((db) => claimCommand(db, { key, person, requestDigest }));
    switch (claim.kind) {
      case 'claimed':
        return perform(store, key, work);
      case 'answered':
        return kept(claim);
      case 'other-request':
        return refuse('bad-request', 'This idempotency key was used for another request.');
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

async function perform(
  store: Store,
  key: string,
  work: (key: string) => Promise<Reply<CommandAnswer>>,
): Promise<Reply<CommandAnswer>> {
  let outcome: Reply<CommandAnswer>;
  try {
    outcome = await work(key);
  } catch (error) {
    await store.read((db) => releaseClaim(db, key));
    throw error;
  }
  const status = outcome.kind === 'answer' ? 200 : outcome.status;
  if (status >= 500) await store.read((db) => releaseClaim(db, key));
  else await store.read((db) => keepAnswer(db, key, { status, body: outcome.body }));
  return outcome;
}

function kept(claim: { readonly status: number; readonly answer: unknown }): Reply<CommandAnswer> {
  if (claim.status === 200) return answer(commandAnswer.parse(claim.answer));
  return { kind: 'refusal', status: claim.status, body: refusalBody.parse(claim.answer) };
}

import { assertNever } from '../../domain/invariant.ts';
import { type ChatActor, chatActor } from '../../protocol/chat-api.ts';
import { type Refusal, refuse } from './reply.ts';

const headerLengthMax = 4000;

/** For whom a bot speaks; undefined when the header is not one of ours. */
export function parseActor(header: string | readonly string[]): ChatActor | undefined {
  if (typeof header !== 'string' || header.length > headerLengthMax) return undefined;
  try {
    const parsed = chatActor.safeParse(JSON.parse(decodeURIComponent(header)));
    return parsed.success ? parsed.data : undefined;
  } catch {
    // Neither percent-encoding nor JSON: the caller refuses it.
    return undefined;
  }
}

/** A chat user's identity in audit rows and limits. Names are for showing only. */
export function actorWords(actor: ChatActor): string {
  return `${actor.surface}:${actor.tenant}:${actor.user}`;
}

/** Only members of the workspace are people here; the others hear why, and what helps. Source: CHAT 5.2 (3) */
export function refuseStranger(actor: ChatActor): Refusal | undefined {
  switch (actor.kind) {
    case 'member':
      return undefined;
    case 'guest':
      return refuse('forbidden', 'Guests of this workspace cannot use Lifeboat, whatever else they may do here.', {
        nextStep: 'Ask a member of the team, or let an administrator of the workspace make you a full member.',
      });
    case 'external':
      return refuse('forbidden', 'You belong to another organisation; Lifeboat answers members of this one only.', {
        nextStep: 'Ask somebody of the team in this channel.',
      });
    case 'bot':
      return refuse('forbidden', 'Bots and workflows cannot use Lifeboat: only people decide here.', {
        nextStep: 'Let a person type the command. Programs use the control API with a certificate of their own.',
      });
    default:
      return assertNever(actor.kind);
  }
}

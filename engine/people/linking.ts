import { hourMs, minuteMs } from '../../domain/units.ts';
import type { ChatActor } from '../../protocol/chat-api.ts';
import type { LinkAnswer } from '../../protocol/people-api.ts';
import type { Database } from '../store/database.ts';
import { burnLinkCode, type CodeMaker, insertLinkCode, lockLinkCode } from '../store/link-codes.ts';
import { isPersonActive, linkedPerson, linkUser } from '../store/people.ts';
import { forgetWrongTries, mayTry, noteWrongTry } from '../store/wrong-tries.ts';
import { linkCodeHash, newLinkCode } from './link-code.ts';

/** Who asks for a code, or types one: a person with a certificate, or a chat user. */
export type LinkSide =
  | { readonly kind: 'person'; readonly person: string }
  | { readonly kind: 'chat'; readonly actor: ChatActor };

export type LinkRefusal = {
  readonly kind: 'refused';
  readonly why: 'linked-already' | 'locked' | 'unknown' | 'used' | 'expired' | 'own-side' | 'disabled';
  readonly message: string;
  readonly nextStep: string;
};

export const codeLifeMs = 15 * minuteMs;
/** The first admin may be set up the next morning; the code is as long as the others, and is in the engine's log only. */
export const setUpCodeLifeMs = 24 * hourMs;

/** Makes a one-time code, good for 15 minutes, to be typed on the other side. Call it in a transaction. */
export async function makeLinkCode(db: Database, side: LinkSide): Promise<LinkAnswer | LinkRefusal> {
  const maker = makerOf(side);
  if (maker.kind === 'chat') {
    const person = await linkedPerson(db, maker);
    if (person !== undefined) return linkedAlready(person);
  }
  const code = newLinkCode();
  const { expiresAtMs } = await insertLinkCode(db, { codeHash: linkCodeHash(code), maker, lifeMs: codeLifeMs });
  return { kind: 'code', code, expiresAtMs, typeWhere: maker.kind === 'person' ? 'chat' : 'terminal' };
}

/**
 * Uses a code up and links its two sides. Five wrong codes of one guesser, and then none is taken from them for a quarter of an hour.
 * Call it in a transaction that is committed also for a refusal: it counts the wrong try. Source: CHAT 5.2 (3)
 */
export async function redeemLinkCode(db: Database, side: LinkSide, typed: string): Promise<LinkAnswer | LinkRefusal> {
  const guesser = `link code by ${nameOf(side)}`;
  if (!(await mayTry(db, guesser))) return refusals.locked;
  const codeHash = linkCodeHash(typed);
  const found = await lockLinkCode(db, codeHash);
  if (found.kind !== 'good') {
    await noteWrongTry(db, guesser);
    return refusals[found.kind];
  }
  if (found.maker.kind === side.kind) return ownSide(side);
  const outcome = await linkSides(db, side, found.maker);
  if (outcome.kind !== 'linked') return outcome;
  await burnLinkCode(db, codeHash);
  await forgetWrongTries(db, guesser);
  return outcome;
}

async function linkSides(db: Database, side: LinkSide, maker: CodeMaker): Promise<LinkAnswer | LinkRefusal> {
  const person = side.kind === 'person' ? side.person : maker.kind === 'person' ? maker.person : '';
  const user = side.kind === 'chat' ? side.actor : maker.kind === 'chat' ? maker : undefined;
  if (user === undefined || !(await isPersonActive(db, person))) return refusals.disabled;
  const { surface, tenant, displayName } = user;
  const outcome = await linkUser(db, { person, surface, tenant, user: user.user, displayName });
  if (outcome === 'other-person') return linkedAlready((await linkedPerson(db, user)) ?? 'somebody else');
  return { kind: 'linked', person, surface, displayName };
}

function makerOf(side: LinkSide): CodeMaker {
  if (side.kind === 'person') return side;
  const { surface, tenant, user, displayName } = side.actor;
  return { kind: 'chat', surface, tenant, user, displayName };
}

function nameOf(side: LinkSide): string {
  if (side.kind === 'person') return side.person;
  return `${side.actor.surface}:${side.actor.tenant}:${side.actor.user}`;
}

const again = 'Ask for a new code: `link` in chat gives one for the terminal, `dr link` in the terminal one for chat.';
const refusals = {
  locked: {
    kind: 'refused',
    why: 'locked',
    message: 'Five codes were wrong.',
    nextStep: 'Wait a quarter of an hour, then try again.',
  },
  unknown: {
    kind: 'refused',
    why: 'unknown',
    message: 'This is not a code of this installation, or a newer one was made since.',
    nextStep: again,
  },
  used: { kind: 'refused', why: 'used', message: 'This code was used already: a code works once.', nextStep: again },
  expired: {
    kind: 'refused',
    why: 'expired',
    message: 'This code has expired: codes are good for 15 minutes.',
    nextStep: again,
  },
  disabled: {
    kind: 'refused',
    why: 'disabled',
    message: 'The person of this code is disabled, or not there any more.',
    nextStep: 'Ask an admin of this installation.',
  },
} as const satisfies Record<string, LinkRefusal>;

function linkedAlready(person: string): LinkRefusal {
  return {
    kind: 'refused',
    why: 'linked-already',
    message: `This chat user is linked to ${person} already.`,
    nextStep: `An admin can undo it on the engine's host: \`lifeboat person unlink ${person}\`.`,
  };
}

function ownSide(side: LinkSide): LinkRefusal {
  const where = side.kind === 'chat' ? 'in a terminal: `dr link <code>`' : 'in chat: `/dr link <code>`';
  return {
    kind: 'refused',
    why: 'own-side',
    message: `This code was made ${side.kind === 'chat' ? 'in chat' : 'in a terminal'} and is typed on the other side.`,
    nextStep: `Type it ${where}.`,
  };
}

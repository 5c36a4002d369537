import { z } from 'zod';
import {
  consoleAddressBody,
  consoleRoutes,
  signInAnswer,
  signInBody,
  signInLinkAnswer,
  signOutBody,
} from '../../protocol/console-api.ts';
import { commandAnswer } from '../../protocol/control-api.ts';
import { addressLifeMs, sessionLimits, signOutEverywhere } from '../people/console-session.ts';
import { makeConsoleLink, redeemConsoleCode } from '../people/console-sign-in.ts';
import { consoleAddress, endSession, saveConsoleAddress } from '../store/console-sessions.ts';
import type { Database } from '../store/database.ts';
import { appendEvent } from '../store/events.ts';
import { createTurns, type TurnLimits } from '../store/turns.ts';
import type { Person } from './authentication.ts';
import type { CommandReply } from './command.ts';
import { auditCommand, originOf } from './command-audit.ts';
import type { ApiDeps } from './deps.ts';
import { answer, type Reply, refuse } from './reply.ts';
import type { Router } from './route.ts';
import { storable } from './storable.ts';

/** Anybody who finds the console may try codes: however many do, most of the database is left to the others. */
const signInLimits: TurnLimits = { atOnceMax: 2, waitingMax: 100, waitMsMax: 5000 };

/**
 * How people come into the web console and leave it. Answers hold secrets and are kept nowhere, so these are no commands with an idempotency
 * key. Source: issue 4 item 1
 */
export function addConsoleRoutes(router: Router, deps: ApiDeps): void {
  const { store } = deps;
  const turns = createTurns('the sign-ins before it', signInLimits);
  router.add({
    method: 'POST',
    access: 'person',
    needs: 'look',
    url: consoleRoutes.signInLink,
    summary: 'Make a one-time link to the web console, good for five minutes',
    body: z.object({}),
    answer: signInLinkAnswer,
    handle: ({ caller, body }) =>
      store.write(async (db) => {
        await auditCommand(db, originOf(caller), { url: 'console-link', body });
        return signInLink(db, caller);
      }),
  });
  router.add({
    method: 'POST',
    access: 'bot',
    url: consoleRoutes.signIn,
    summary: 'Sign somebody in at the web console by a code that is good once',
    body: signInBody,
    answer: signInAnswer,
    handle: ({ caller, body }) => turns.take(() => signIn(deps, { ...body, botName: caller.botName })),
  });
  router.add({
    method: 'POST',
    access: 'person',
    url: consoleRoutes.signOut,
    summary: 'End the session at the web console, or every session of the person',
    body: signOutBody,
    answer: commandAnswer,
    handle: ({ caller, body }) =>
      store.write(async (db) => {
        await auditCommand(db, originOf(caller), { url: consoleRoutes.signOut, body });
        return signOut(db, caller, body.isEverywhere);
      }),
  });
  router.add({
    method: 'POST',
    access: 'bot',
    url: consoleRoutes.consoleAddress,
    summary: 'Where the web console is reached',
    body: consoleAddressBody,
    answer: z.object({}),
    async handle({ caller, body }) {
      await store.write((db) => saveConsoleAddress(db, caller.botName, body.url));
      return answer({});
    },
  });
}

async function signInLink(db: Database, caller: Person): Promise<Reply<z.input<typeof signInLinkAnswer>>> {
  // Or a session could be made to last for ever by making the next one.
  if (caller.session !== undefined) {
    return refuse('refused', 'You are in the web console already, and a session makes no links to others.', {
      nextStep: 'For another browser type `dr console` in a terminal, or `/dr console` in chat.',
    });
  }
  const { code, expiresAtMs } = await makeConsoleLink(db, caller.name, originOf(caller).via);
  const address = await consoleAddress(db, addressLifeMs);
  const url = address === undefined ? null : linkTo(address, code);
  return answer({ url, code, expiresAtMs });
}

/** The code stands behind the `#`: browsers and whoever previews links send it nowhere. */
function linkTo(address: string, code: string): string {
  const url = new URL('sign-in', address.endsWith('/') ? address : `${address}/`);
  url.hash = code;
  return url.href;
}

type Attempt = z.output<typeof signInBody> & { readonly botName: string };

async function signIn(deps: ApiDeps, attempt: Attempt): Promise<Reply<z.input<typeof signInAnswer>>> {
  const redeem = deps.console?.redeemConsoleCode ?? redeemConsoleCode;
  const address = storable(attempt.address);
  return deps.store.write(async (db) => {
    const outcome = await redeem(db, { ...attempt, address });
    if (outcome.kind === 'refused') return refuse('refused', outcome.message, { nextStep: outcome.nextStep });
    const { token, person, expiresAtMs } = outcome;
    const where = address === '' ? '' : ` from ${address}`;
    await appendEvent(db, { kind: 'signed-in', text: `${person} signed in at the web console${where}.` });
    return answer({ token, person, expiresAtMs, idleLimitMs: sessionLimits.idleLimitMs });
  });
}

async function signOut(db: Database, caller: Person, isEverywhere: boolean): Promise<CommandReply> {
  const { name, session } = caller;
  if (isEverywhere) {
    const count = await signOutEverywhere(db, name);
    const ended = count === 0 ? 'there was no session' : count === 1 ? '1 session ended' : `${count} sessions ended`;
    const message = `${name} signed out of the web console everywhere: ${ended}.`;
    await appendEvent(db, { kind: 'signed-out', text: message });
    return answer({ kind: 'done', message });
  }
  if (session === undefined) {
    return refuse('refused', 'You have no session at the web console here.', {
      nextStep: '`console --sign-out` ends every session of yours, wherever it is.',
    });
  }
  await endSession(db, session, 'signed-out');
  const message = `${name} signed out of the web console.`;
  await appendEvent(db, { kind: 'signed-out', text: message });
  return answer({ kind: 'done', message });
}

import { z } from 'zod';
import { minuteWords, selfSetWaitMs } from '../../domain/break-glass.ts';
import {
  authenticatorBody,
  chatRoutes,
  linkBody,
  onCallBody,
  personBody,
  personView,
  roleBody,
  tagBody,
} from '../../protocol/chat-api.ts';
import { routes, whoamiView } from '../../protocol/control-api.ts';
import { authenticatorAnswer, linkAnswer } from '../../protocol/people-api.ts';
import { changeRoles, type RoleChangeOrder } from '../approvals/change-roles.ts';
import { changeMachineTags } from '../approvals/change-tags.ts';
import { beginSetUp, confirmSetUp, type StepUp } from '../people/authenticator.ts';
import { type LinkSide, makeLinkCode, redeemLinkCode } from '../people/linking.ts';
import { findAuthenticator } from '../store/authenticators.ts';
import { type Database, databaseNowMs } from '../store/database.ts';
import { appendEvent } from '../store/events.ts';
import { tellChannels } from '../store/messages.ts';
import { listPersons, onCallPersons, onCallPlaceOf, setOnCall } from '../store/people.ts';
import { decisionReply, speakerOf } from './approval-routes.ts';
import type { Person } from './authentication.ts';
import { type CommandReply, commandsOf, type Order } from './command.ts';
import { auditCommand, originOf } from './command-audit.ts';
import type { ApiDeps } from './deps.ts';
import { findByName } from './find-machine.ts';
import { namePersons } from './name-persons.ts';
import { answer, type Reply, refuse } from './reply.ts';
import type { Router } from './route.ts';

const tagPattern = /^[a-z0-9][a-z0-9:._-]{0,59}$/;

/** Who is who, and who may do what. Source: CHAT 5.2 (3), (4); issue 3 item 4 */
export function addPeopleRoutes(router: Router, deps: ApiDeps): void {
  const { store } = deps;
  router.add({
    method: 'GET',
    access: 'chatter',
    url: routes.whoami,
    summary: 'Who the caller is and may do',
    answer: whoamiView,
    handle: async ({ caller }) => answer(await store.read((db) => whoami(db, caller))),
  });
  router.add({
    method: 'GET',
    access: 'person',
    needs: 'look',
    url: chatRoutes.people,
    summary: 'All persons, with their roles, chat users and the on-call list',
    answer: z.array(personView),
    handle: async () => answer(await store.read(listPersons)),
  });
  const command = commandsOf(router, deps);
  addPersonRoutes(router, deps);
  command({ url: chatRoutes.onCall, summary: 'Say who is on call', needs: 'on-call', body: onCallBody }, (order) =>
    store.write((db) => changeOnCall(db, order)),
  );
  command(
    {
      url: chatRoutes.tag,
      summary: 'Change the tags of a machine; those by which people decide need another admin',
      needs: 'tag',
      body: tagBody,
      machineOf: (body) => body.machine,
    },
    (order) => tag(deps, order),
  );
  addProofRoutes(router, deps);
}

/** What changes who may approve needs another admin. */
function addPersonRoutes(router: Router, deps: ApiDeps): void {
  const command = commandsOf(router, deps);
  command(
    {
      url: chatRoutes.person,
      summary: 'Add or change a person; approvers and admins need another admin',
      needs: 'person',
      body: personBody,
    },
    ({ body, caller }) => {
      const { name, reason, ...wanted } = body;
      return change(deps, { caller, person: name, wanted, reason });
    },
  );
  command(
    {
      url: chatRoutes.role,
      summary: 'Give or take one role of a person; approvers and admins need another admin',
      needs: 'person',
      body: roleBody,
    },
    async ({ body, caller }) => {
      const found = await deps.store.read((db) => namePersons(db, caller, [body.person]));
      if (found.kind === 'refusal') return found;
      const role = { scope: body.scope, role: body.role === 'none' ? undefined : body.role };
      return change(deps, { caller, person: found.names[0] ?? '', wanted: { role }, reason: body.reason });
    },
  );
}

/** Their answers hold secrets: they are kept nowhere, so they are no commands with an idempotency key. */
function addProofRoutes(router: Router, deps: ApiDeps): void {
  const { store } = deps;
  router.add({
    method: 'POST',
    access: 'chatter',
    url: chatRoutes.link,
    summary: 'Link a chat user to a person: makes a one-time code, or redeems one',
    body: linkBody,
    answer: linkAnswer,
    handle: ({ caller, body }) =>
      store.write(async (db) => {
        await auditCommand(db, originOf(caller), { url: chatRoutes.link, body });
        return link(db, caller, body.code);
      }),
  });
  router.add({
    method: 'POST',
    access: 'person',
    needs: 'authenticator',
    url: chatRoutes.authenticator,
    summary: 'Set up six-digit codes, or prove that they work',
    body: authenticatorBody,
    answer: authenticatorAnswer,
    handle: ({ caller, body }) =>
      store.write(async (db) => {
        await auditCommand(db, originOf(caller), { url: chatRoutes.authenticator, body });
        return authenticator(deps, db, { person: caller.name, code: body.code });
      }),
  });
}

async function whoami(db: Database, caller: Person): Promise<z.input<typeof whoamiView>> {
  const { name, via, isLinked } = caller;
  const roles = [...new Set(caller.grants.map(({ role }) => role))];
  const view = { name, via, isLinked, roles, grants: [...caller.grants] };
  if (!isLinked) return view;
  const hasAuthenticator = (await findAuthenticator(db, name))?.isConfirmed === true;
  return { ...view, hasAuthenticator, isOnCall: (await onCallPersons(db)).includes(name) };
}

async function link(
  db: Database,
  caller: Person,
  code: string | undefined,
): Promise<Reply<z.input<typeof linkAnswer>>> {
  // A session is short; a chat user who is linked stays so, and a code of it signs in anew.
  if (caller.session !== undefined) {
    return refuse('refused', 'A session of the web console links nobody.', {
      nextStep: 'Type `dr link` in a terminal: it gives a code for chat, or takes one.',
    });
  }
  const side: LinkSide =
    caller.actor === undefined ? { kind: 'person', person: caller.name } : { kind: 'chat', actor: caller.actor };
  const outcome = code === undefined ? await makeLinkCode(db, side) : await redeemLinkCode(db, side, code);
  if (outcome.kind === 'refused') return refuse('refused', outcome.message, { nextStep: outcome.nextStep });
  if (outcome.kind === 'linked') {
    const text = `${outcome.displayName || 'A chat user'} of ${outcome.surface} is linked to ${outcome.person}.`;
    await appendEvent(db, { kind: 'linked', text });
  }
  return answer(outcome);
}

async function authenticator(
  deps: Pick<ApiDeps, 'authenticatorKey'>,
  db: Database,
  proof: { readonly person: string; readonly code: string | undefined },
): Promise<Reply<z.input<typeof authenticatorAnswer>>> {
  const { person, code } = proof;
  if (code !== undefined) {
    const outcome = await confirmSetUp(deps, db, { person, code });
    return outcome === 'proven' ? answer({ kind: 'confirmed' }) : refuseCode(outcome);
  }
  const begun = await beginSetUp(deps, db, person);
  if (begun !== 'confirmed-already') return answer(begun);
  return refuse('refused', 'You have an authenticator already.', {
    nextStep: `If it is lost, an admin can take it away on the engine's host: \`lifeboat person reset-authenticator ${person}\`.`,
  });
}

/** Why a six-digit code was not taken, and what to do. */
function refuseCode(outcome: Exclude<StepUp, 'proven'>) {
  const words = {
    wrong: ['This six-digit code is wrong.', 'Type the code that your telephone shows now.'],
    used: ['This six-digit code was used already.', 'Wait for the next one, at most 30 s.'],
    locked: ['Five six-digit codes were wrong.', 'Wait a quarter of an hour, then try again.'],
    'no-authenticator': ['You have no authenticator yet.', 'Set one up: `authenticator`.'],
  } as const;
  const [message, nextStep] = words[outcome];
  return refuse('step-up', message, { nextStep });
}

async function change(
  deps: ApiDeps,
  order: Pick<RoleChangeOrder, 'person' | 'wanted' | 'reason'> & { readonly caller: Person },
): Promise<CommandReply> {
  const { caller, person, wanted } = order;
  const reason = reasonOf(order);
  const outcome = await changeRoles(deps, { person, wanted, reason, speaker: speakerOf(caller) });
  return outcome.kind === 'changed' ? answer({ kind: 'done', message: outcome.message }) : decisionReply(deps, outcome);
}

async function changeOnCall(db: Database, order: Order<z.output<typeof onCallBody>>): Promise<CommandReply> {
  const found = await namePersons(db, order.caller, order.body.persons);
  if (found.kind === 'refusal') return found;
  const before = await onCallPersons(db);
  await setOnCall(db, found.names, order.person);
  const text =
    found.names.length === 0
      ? `${order.person} emptied the on-call list: nobody is called.`
      : `${order.person} set the on-call list: ${found.names.join(', then ')}.`;
  await tellOfOnCall(db, { text, before });
  await appendEvent(db, { kind: 'on-call-changed', text });
  return answer({ kind: 'done', message: [text, ...(await ownWaitWords(db, order.person))].join(' ') });
}

/** Who put themselves on the list learns it now, not when they need it. */
async function ownWaitWords(db: Database, person: string): Promise<string[]> {
  const place = await onCallPlaceOf(db, person);
  if (place === undefined || !place.isSelfSet || place.sinceMs >= selfSetWaitMs) return [];
  const from = minuteWords((await databaseNowMs(db)) + selfSetWaitMs - place.sinceMs);
  return [
    `You put yourself on it: you can break glass only after 24 h, from ${from}, unless another admin sets the list.`,
  ];
}

/** Who is on call may act alone: a change of that, and who confirms it, is seen by more people than the one who makes it. */
async function tellOfOnCall(db: Database, change: { readonly text: string; readonly before: readonly string[] }) {
  const was = change.before.length === 0 ? 'Nobody was on it before.' : `Before it: ${change.before.join(', then ')}.`;
  const note = {
    title: 'The on-call list has changed',
    tone: 'warning' as const,
    text: [change.text, `${was} Who is on call may break glass.`],
    copyLine: 'oncall',
  };
  await tellChannels(db, { note, severity: 'warning' });
}

async function tag(deps: ApiDeps, order: Order<z.output<typeof tagBody>>): Promise<CommandReply> {
  const { add, remove, machine: typed } = order.body;
  const found = await deps.store.read((db) => findByName(db, typed));
  if (found.kind === 'refusal' && found.body.kind !== 'ambiguous-target') return found;
  const wrong = add.find((each) => !tagPattern.test(each));
  if (wrong !== undefined) {
    return refuse('bad-request', `\`${wrong}\` is no tag: 1 to 60 small letters, digits, dots, dashes, colons.`);
  }
  const machineName = typed.startsWith('vm:') ? typed.slice('vm:'.length) : typed;
  const reason = reasonOf(order.body);
  const outcome = await changeMachineTags(deps, { machineName, add, remove, reason, speaker: speakerOf(order.caller) });
  return outcome.kind === 'changed' ? answer({ kind: 'done', message: outcome.message }) : decisionReply(deps, outcome);
}

function reasonOf({ reason }: { readonly reason: string }): string {
  return reason.trim() === '' ? 'no reason given' : reason;
}

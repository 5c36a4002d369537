import { sql } from 'drizzle-orm';
import fc from 'fast-check';
import { invariant } from '../../domain/invariant.ts';
import { changeTags } from '../../engine/store/machine-tags.ts';
import { chatRoutes } from '../../protocol/chat-api.ts';
import { asNature, letExpire } from '../engine/approvals/approval-site.ts';
import { type AttackSite, type PersonName, slackTenant, slackUserOf } from './attack-site.ts';
import { uncoveredRuns } from './evidence.ts';
import { approvalIn, type Heard, type Shown } from './voice.ts';

const three = ['ana', 'ben', 'carla'] as const;
type Three = (typeof three)[number];
const ways = ['slack', 'teams', 'certificate'] as const;
type Way = (typeof ways)[number];

/** What three persons on two surfaces, an admin, time and the world can do. `ago` 1: a button of the request before the newest. */
export type Move =
  | { readonly kind: 'ask'; readonly person: Three; readonly way: Way; readonly reason: 'power' | 'heat' }
  | {
      readonly kind: 'vote';
      readonly person: Three;
      readonly way: Way;
      readonly decision: 'approve' | 'reject';
      readonly ago: 0 | 1;
      readonly code: 'right' | 'wrong';
      readonly button: 'seen' | 'forged';
    }
  | { readonly kind: 'withdraw'; readonly person: Three; readonly way: Way }
  | { readonly kind: 'role'; readonly person: Three; readonly role: 'approver' | 'viewer' }
  | { readonly kind: 'disabled'; readonly person: Three; readonly is: boolean }
  | { readonly kind: 'link'; readonly person: Three; readonly is: boolean }
  | { readonly kind: 'time' | 'plan' | 'tier' | 'again' };

const person = fc.constantFrom(...three);
const way = fc.constantFrom(...ways);
const constant = <Kind extends Move['kind']>(kind: Kind) => fc.constant(kind);
const isIt = fc.boolean();
export const moveArbitrary: fc.Arbitrary<Move> = fc.oneof(
  {
    weight: 4,
    arbitrary: fc.record({ kind: constant('ask'), person, way, reason: fc.constantFrom('power', 'power', 'heat') }),
  },
  {
    weight: 10,
    arbitrary: fc.record({
      ...{ kind: constant('vote'), person, way },
      decision: fc.constantFrom('approve', 'approve', 'approve', 'approve', 'reject'),
      ago: fc.constantFrom(0, 0, 0, 1),
      code: fc.constantFrom('right', 'right', 'right', 'wrong'),
      button: fc.constantFrom('seen', 'seen', 'seen', 'forged'),
    }),
  },
  { weight: 1, arbitrary: fc.record({ kind: constant('withdraw'), person, way }) },
  {
    weight: 1,
    arbitrary: fc.record({ kind: constant('role'), person, role: fc.constantFrom('approver', 'viewer', 'viewer') }),
  },
  { weight: 1, arbitrary: fc.record({ kind: constant('disabled'), person, is: isIt }) },
  { weight: 1, arbitrary: fc.record({ kind: constant('link'), person, is: isIt }) },
  { weight: 3, arbitrary: fc.record({ kind: fc.constantFrom('time', 'plan', 'tier', 'again') }) },
) as fc.Arbitrary<Move>;

type Request = {
  readonly shown: Shown;
  readonly by: Three;
  readonly reason: string;
  readonly world: string;
  readonly needed: number;
  readonly yes: Set<Three>;
  state: 'pending' | 'executing' | 'rejected' | 'withdrawn' | 'expired' | 'superseded';
  isLate: boolean;
};
type World = {
  readonly site: AttackSite;
  readonly machine: { readonly id: string; readonly name: string };
  readonly requests: Request[];
  readonly approvers: Set<Three>;
  readonly disabled: Set<Three>;
  readonly unlinked: Set<Three>;
  planVersion: number;
  isFirstTier: boolean;
  readonly isOwnVoteGood: boolean;
  last: { readonly again: () => Promise<Heard>; readonly status: number; readonly mayTry: () => boolean } | undefined;
};

/**
 * Plays the moves through the API and on a model of a few sets. Throws at the first difference.
 *
 * @param wrong a model that is wrong, to prove that differences are seen
 */
export async function playMoves(
  site: AttackSite,
  moves: readonly Move[],
  wrong: { readonly isOwnVoteGood: boolean } = { isOwnVoteGood: false },
): Promise<void> {
  const world: World = {
    ...{ site, machine: await site.reset(), requests: [], approvers: new Set(three), disabled: new Set() },
    ...{ unlinked: new Set(), planVersion: 1, isFirstTier: false, last: undefined, ...wrong },
  };
  // Nothing waits, and fewer people are told: it is only these three who try.
  await asNature(
    site.store,
    sql`with others as (delete from chat_links where not chat_user in ('U-ana', 'U-ben', 'U-carla', 'aad-ana', 'aad-ben', 'aad-carla')),
      roles as (delete from grants where person not in ('ana', 'ben', 'carla', 'ada'))
      update approvals set state = 'cancelled', decided_by = 'x', decided_at = now() where state = 'pending'`,
  );
  for (const name of three) await site.link(name, 'slack', slackTenant, slackUserOf(name));
  for (const move of moves) {
    const outcome = await play(world, move);
    const where = `${JSON.stringify(move)} (of ${JSON.stringify(moves)})`;
    if (outcome !== undefined) {
      const { heard, isDone } = outcome;
      invariant((heard.status === 200) === isDone, `${where}: should be done: ${isDone}, was: ${heard.words}`);
    }
    await compare(world, where);
  }
}

async function compare({ site, machine, requests }: World, where: string): Promise<void> {
  const { rows } = await site.store.read((db) =>
    db.execute<{ id: string; state: string; run: string | null }>(
      sql`select a.id, a.state, r.id as run from approvals a left join runs r on r.approval_id = a.id where a.machine_id = ${machine.id}`,
    ),
  );
  for (const { shown, state } of requests) {
    const row = rows.find(({ id }) => id === shown.id);
    invariant(row?.state === state, `${where}: ${shown.id} should be ${state}, is ${row?.state}`);
    invariant((row.run !== null) === (state === 'executing'), `${where}: a run only when it was approved`);
  }
  const uncovered = await uncoveredRuns(site.store);
  invariant(uncovered.length === 0, `${where}: only when approved: ${uncovered.join('; ')}`);
}

type Outcome = { readonly heard: Heard; readonly isDone: boolean } | undefined;
const newest = (world: World, ago = 0) => world.requests.at(-1 - ago);
const worldWords = (world: World) => `${world.planVersion} ${world.isFirstTier}`;
const mayDecide = (world: World, name: Three) => world.approvers.has(name) && !world.disabled.has(name);
/** Whoever is disabled, or not linked, comes nowhere. */
const isHeard = (world: World, name: Three, by: Way) =>
  !world.disabled.has(name) && !(by === 'slack' && world.unlinked.has(name));
/** A viewer may ask for nothing. They may try to decide, and are refused with the request before us. */
const mayOrder = (world: World, name: Three, by: Way) => isHeard(world, name, by) && mayDecide(world, name);

async function play(world: World, move: Move): Promise<Outcome> {
  switch (move.kind) {
    case 'ask':
      return ask(world, move);
    case 'vote':
      return vote(world, move);
    case 'withdraw':
      return withdraw(world, move);
    case 'again':
      return again(world);
    default:
      await changeWorld(world, move);
      return undefined;
  }
}

async function changeWorld(world: World, move: Exclude<Move, { kind: 'ask' | 'vote' | 'withdraw' | 'again' }>) {
  const { site, machine } = world;
  const ada = (await site.person('ada')).certificate;
  const toggle = (set: Set<Three>, name: Three, isIn: boolean) => (isIn ? set.add(name) : set.delete(name));
  const last = newest(world);
  switch (move.kind) {
    case 'role': {
      toggle(world.approvers, move.person, move.role === 'approver');
      const grants = [{ role: move.role, scope: { kind: 'everything' } }];
      return ada.post(chatRoutes.person, { name: move.person, grants });
    }
    case 'disabled':
      toggle(world.disabled, move.person, move.is);
      return ada.post(chatRoutes.person, { name: move.person, isDisabled: move.is });
    case 'link':
      toggle(world.unlinked, move.person, !move.is);
      if (!move.is) return ada.post(chatRoutes.person, { name: move.person, unlink: ['slack'] });
      return site.link(move.person, 'slack', slackTenant, slackUserOf(move.person));
    case 'time':
      if (last?.state !== 'pending') return;
      last.isLate = true;
      return letExpire(site.store, last.shown.id);
    case 'plan':
      world.planVersion += 1;
      return asNature(
        site.store,
        sql`with points as (update recovery_points set epoch = epoch + 1 where machine_id = ${machine.id})
          update protected_machines set epoch = epoch + 1 where id = ${machine.id}`,
      );
    case 'tier': {
      world.isFirstTier = !world.isFirstTier;
      const [add, remove] = world.isFirstTier ? [['tier:0'], []] : [[], ['tier:0']];
      return site.store.write((db) => changeTags(db, { machineName: machine.name, add, remove, by: 'ada' }));
    }
  }
}

/** Sends an order, and keeps it, so that it can be sent again. */
async function send(world: World, mayTry: () => boolean, order: (key: string) => Promise<Heard>): Promise<Heard> {
  const key = crypto.randomUUID();
  const heard = await order(key);
  world.last = { again: () => order(key), status: heard.status, mayTry };
  return heard;
}

async function ask(world: World, move: Extract<Move, { kind: 'ask' }>): Promise<Outcome> {
  const { site, machine } = world;
  const voice = (await site.person(move.person))[move.way];
  const open = newest(world);
  const body = { machine: machine.name, reason: move.reason };
  const mayAsk = () => mayOrder(world, move.person, move.way);
  const heard = await send(world, mayAsk, (key) => voice.post(chatRoutes.plannedFailover, body, key));
  if (!mayAsk() || open?.state === 'executing') return { heard, isDone: false };
  if (open?.state === 'pending' && !open.isLate && open.world === worldWords(world)) {
    if (open.by === move.person && open.reason === move.reason) return { heard, isDone: true };
    if (open.by !== move.person) return { heard, isDone: false };
  }
  if (open?.state === 'pending') open.state = open.isLate ? 'expired' : 'superseded';
  const fresh = { shown: approvalIn(heard), by: move.person, reason: move.reason, world: worldWords(world) };
  const needed = world.isFirstTier ? 2 : 1;
  world.requests.push({ ...fresh, needed, yes: new Set(), state: 'pending', isLate: false });
  return { heard, isDone: true };
}

async function vote(world: World, move: Extract<Move, { kind: 'vote' }>): Promise<Outcome> {
  const request = newest(world, move.ago);
  if (request === undefined) return undefined;
  const { store, person: personOf } = world.site;
  // Half a minute passes, and earlier guesses are forgotten: both have cases of their own.
  await store.write((db) => db.execute(sql`with guesses as (delete from wrong_tries) delete from burned_codes`));
  const voter = await personOf(move.person);
  const shown = move.button === 'seen' ? request.shown : { ...request.shown, digest: 'ffffffff' };
  const code = move.code === 'right' ? voter.code() : '000000';
  const voice = voter[move.way];
  const mayTry = () => isHeard(world, move.person, move.way);
  const heard = await send(world, mayTry, (key) =>
    move.decision === 'approve' ? voice.approve(shown, { code }, key) : voice.reject(shown, {}, key),
  );
  const isDone = mayTry() && predictVote(world, request, move);
  return { heard, isDone };
}

/** What a vote does, said as plainly as possible; true when it counts. */
function predictVote(world: World, request: Request, move: Extract<Move, { kind: 'vote' }>): boolean {
  const { person: voter } = move;
  if (request.state !== 'pending') return false;
  if (request.isLate) return end(request, 'expired');
  if (!world.approvers.has(voter)) return false;
  if ((voter === request.by && !world.isOwnVoteGood) || move.button === 'forged') return false;
  if (move.decision === 'reject') {
    request.state = 'rejected';
    return true;
  }
  // A viewer may ask for nothing: what they asked for before counts no more.
  if (!mayDecide(world, request.by) || request.world !== worldWords(world)) return end(request, 'superseded');
  const standing = new Set([...request.yes, voter].filter((name) => mayDecide(world, name)));
  const isRepeated = request.yes.has(voter) && standing.size < request.needed;
  if (isRepeated || move.code === 'wrong') return false;
  request.yes.add(voter);
  if (standing.size >= request.needed) request.state = 'executing';
  return true;
}

function end(request: Request, state: Request['state']): boolean {
  request.state = state;
  return false;
}

async function withdraw(world: World, move: Extract<Move, { kind: 'withdraw' }>): Promise<Outcome> {
  const request = newest(world);
  if (request === undefined) return undefined;
  const voice = (await world.site.person(move.person))[move.way];
  const body = { approval: request.shown.id };
  const mayWithdraw = () => mayOrder(world, move.person, move.way);
  const heard = await send(world, mayWithdraw, (key) => voice.post(chatRoutes.withdraw, body, key));
  const isDone = mayWithdraw() && request.by === move.person && request.state === 'pending';
  if (isDone) request.state = 'withdrawn';
  return { heard, isDone };
}

/** The last order, word for word: it is answered as the first time and does nothing; who may not order now hears that. */
async function again(world: World): Promise<Outcome> {
  const { last } = world;
  if (last === undefined) return undefined;
  const heard = await last.again();
  const isRefusedNow = !last.mayTry();
  // What was denied at the door was never begun: the same key may be used when the door is open again.
  if (last.status === 403 && !isRefusedNow) return undefined;
  return { heard, isDone: !isRefusedNow && last.status === 200 };
}

export type { PersonName };

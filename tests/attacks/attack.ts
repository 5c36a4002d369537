import { type SQL, sql } from 'drizzle-orm';
import type { MachineId } from '../../domain/ids.ts';
import { describeCauses, OutageError } from '../../domain/outage.ts';
import { changeTags } from '../../engine/store/machine-tags.ts';
import type { Store } from '../../engine/store/open.ts';
import { setDisabled, setGrants } from '../../engine/store/people.ts';
import type { ApprovalView } from '../../protocol/chat-api.ts';
import { asNature, letExpire } from '../engine/approvals/approval-site.ts';
import { type AttackPerson, type AttackSite, type PersonName, standingReason } from './attack-site.ts';
import { readWorld, uncoveredRuns, type World } from './evidence.ts';
import { approvalIn, type Heard } from './voice.ts';

/** One way in which somebody tries to get what nobody approved. */
export type Attack = {
  readonly name: string;
  /** The last thing that they try; what they hear is compared with `hears`. */
  readonly attack: (scene: Scene) => Promise<Heard>;
  readonly hears: RegExp;
  /** How many runs there are in the end; only those that were approved properly. */
  readonly runs?: 0 | 1;
  /**
   * `named`: the audit trail names who tried, and by which way. `unknown`: nobody could be named, because no certificate of ours was
   * shown, or because a bot did not say for whom it speaks. `not-asked`: it never came as far as the engine.
   */
  readonly trail?: 'named' | 'unknown' | 'not-asked';
};

/** A machine that can be failed over, people, and the world around them. */
export type Scene = {
  readonly site: AttackSite;
  readonly store: Store;
  readonly machine: { readonly id: MachineId; readonly name: string };
  readonly person: (name: PersonName) => Promise<AttackPerson>;
  /** ana asks, in Slack unless it says otherwise. */
  readonly pending: (more?: Asking) => Promise<ApprovalView>;
  /** The machine is of the first tier: two persons must approve. */
  readonly twoAreNeeded: () => Promise<void>;
  readonly tag: (add: readonly string[], remove?: readonly string[]) => Promise<void>;
  readonly role: (name: PersonName, grants: Parameters<typeof setGrants>[2]) => Promise<void>;
  readonly disable: (name: PersonName) => Promise<void>;
  readonly expire: (approval: ApprovalView) => Promise<void>;
  /** The world changes past our code; the machine is not used again after it. */
  readonly nature: (change: SQL) => Promise<void>;
};
type Asking = {
  readonly by?: PersonName;
  readonly way?: 'slack' | 'teams' | 'certificate';
  readonly machine?: string;
  readonly more?: Readonly<Record<string, unknown>>;
};

/** Plays the attack, and says everything that is wrong afterwards; nothing is what it should be. */
export async function tryAttack(site: AttackSite, attack: Attack): Promise<readonly string[]> {
  const machine = await site.reset();
  site.api.errors.length = 0;
  const before = await readWorld(site.store, undefined);
  const heard = await attack.attack(sceneOf(site, machine)).catch((error: unknown) => {
    throw new AggregateError([error, ...site.api.errors], bugsOf(site).join('\n'), { cause: error });
  });
  const after = await readWorld(site.store, before);
  return [
    ...(attack.hears.test(heard.words) ? [] : [`heard ${heard.status} ${heard.kind}: ${heard.words.slice(0, 300)}`]),
    ...wrongRuns(before, after, attack.runs ?? 0),
    ...(await uncoveredRuns(site.store, before.runIds)),
    ...wrongTrail(after, { heard, trail: attack.trail ?? 'named' }),
    ...bugsOf(site),
  ];
}

/** What an attack needs, after a reset. */
export function sceneOf(site: AttackSite, machine: Scene['machine']): Scene {
  const { store, person } = site;
  const tag: Scene['tag'] = (add, remove = []) =>
    store.write((db) => changeTags(db, { machineName: machine.name, add, remove, by: 'ada' }));
  return {
    ...{ site, store, machine, person, tag },
    pending: async (asking) => {
      const standing = asking === undefined ? await standingRequest(site, machine.id) : undefined;
      if (standing !== undefined) return standing;
      // Nothing that waits from a case before answers in place of what is asked now.
      if (asking?.more?.reason === undefined) await nothingWaits(store, asking?.machine ?? machine.name);
      const { by = 'ana', way = 'slack', machine: other = machine.name, more = {} } = asking ?? {};
      const asked = approvalIn(await (await person(by))[way].request(other, { reason: standingReason, ...more }));
      if (asking === undefined && asked.neededCount === 1) site.standing.request = asked;
      return asked;
    },
    twoAreNeeded: async () => {
      // What waits needs one person: it is asked anew.
      await nothingWaits(store, machine.name);
      await tag(['tier:0']);
    },
    role: (name, grants) => store.write((db) => setGrants(db, name, grants, 'ada')),
    disable: (name) => store.write((db) => setDisabled(db, name, true)),
    expire: (approval) => letExpire(store, approval.id),
    nature: (change) => {
      site.spoilMachine();
      return asNature(store, change);
    },
  };
}

function nothingWaits(store: Store, machineName: string): Promise<void> {
  return asNature(
    store,
    sql`update approvals set state = 'cancelled', decided_by = 'x', decided_at = now()
      where state = 'pending' and machine_name = ${machineName}`,
  );
}

/** What ana asked for in Slack in a case before, and what is still as it was. */
async function standingRequest(site: AttackSite, machineId: MachineId): Promise<ApprovalView | undefined> {
  const { request } = site.standing;
  if (request === undefined) return undefined;
  const { rows } = await site.store.read((db) =>
    db.execute(
      sql`select 1 from approvals where id = ${request.id} and machine_id = ${machineId} and state = 'pending' and revision = 1`,
    ),
  );
  return rows.length === 1 ? request : undefined;
}

function wrongRuns(before: World, after: World, expected: number): string[] {
  const fresh = after.runIds.filter((id) => !before.runIds.includes(id));
  return fresh.length === expected ? [] : [`${fresh.length} runs began, ${expected} should have`];
}

function wrongTrail(
  after: World,
  attempt: { readonly heard: Heard; readonly trail: NonNullable<Attack['trail']> },
): string[] {
  const { heard, trail } = attempt;
  const fresh = after.trail;
  const shown = () => fresh.map((row) => `${row.who} (${row.via}) ${row.what}`).join('; ');
  // The name of a person stands in the trail only for what this person did.
  const forged = fresh.filter((row) => after.names.includes(row.who) && !after.waysOf(row.who).includes(row.via));
  const wrong = forged.map((row) => `the trail says ${row.who} did what came by ${row.via}`);
  if (trail !== 'named') return wrong;
  const { by } = heard;
  const isNamed = fresh.some(
    (row) => (by?.via === undefined || row.via === by.via) && (by?.who === undefined || row.who === by.who),
  );
  return isNamed ? wrong : [...wrong, `the trail names nobody of ${by?.who} (${by?.via}): ${shown()}`];
}

/** An attack may meet an outage on purpose; a mistake of our own is never an answer. */
function bugsOf(site: AttackSite): string[] {
  return site.api.errors
    .filter((error) => !(error instanceof OutageError))
    .map((error) => `our own bug: ${describeCauses(error)}`);
}

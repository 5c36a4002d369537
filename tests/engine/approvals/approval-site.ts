import { sql } from 'drizzle-orm';
import type { MachineId, RunId } from '../../../domain/ids.ts';
import { invariant } from '../../../domain/invariant.ts';
import type { ApprovalDeps, ApprovalOutcome, Speaker } from '../../../engine/approvals/deps.ts';
import { type FailoverOrder, requestFailover } from '../../../engine/approvals/request.ts';
import { type VoteOrder, vote } from '../../../engine/approvals/vote.ts';
import { type ApprovalRecord, findApproval } from '../../../engine/store/approvals.ts';
import type { Database } from '../../../engine/store/database.ts';
import type { Store } from '../../../engine/store/open.ts';
import { addPerson, setDisabled, setGrants } from '../../../engine/store/people.ts';
import { createApprovedRun } from '../../../engine/workflow/approved-run.ts';
import { protectMachines } from '../workflow/protected-machine.ts';

export const goodCode = '123456';
export const everyone = ['ana', 'ben', 'carla', 'dora'] as const;
export type PersonName = (typeof everyone)[number];

/** People who ask and decide about machines that can be failed over at once, in a real database. */
export type ApprovalSite = {
  readonly store: Store;
  readonly deps: ApprovalDeps;
  /** Runs that were handed to the job engine. */
  readonly started: RunId[];
  /** A fresh machine with a fresh agent and point. */
  machine(): Promise<SiteMachine>;
  /** The same, of a host that it may share with others like it: many of them are cheap. */
  machineOfMany(): Promise<SiteMachine>;
  request(person: string, machineId: MachineId, more?: Partial<FailoverOrder>): Promise<ApprovalOutcome>;
  vote(
    person: string,
    approvalId: string,
    more?: Partial<VoteOrder> & { readonly via?: string },
  ): Promise<ApprovalOutcome>;
  approval(id: string): Promise<ApprovalRecord>;
  /** What of approvals and runs there is, as the rows say: asked for at once, because the model does so after each action. */
  look(
    machineId: MachineId,
    approvalIds: readonly string[],
  ): Promise<{ readonly approvals: readonly ApprovalLook[]; readonly runCount: number }>;
  /** Everybody may approve and nobody is disabled. */
  resetPersons(): Promise<void>;
};

export type SiteMachine = { readonly id: MachineId; readonly name: string };
export type ApprovalLook = { readonly id: string; readonly state: string; readonly runId: string | null };

let machineCount = 0;
const machinesAtOnceMax = 32;

export async function approvalSite(store: Store, changes: Partial<ApprovalDeps> = {}): Promise<ApprovalSite> {
  const started: RunId[] = [];
  const deps: ApprovalDeps = {
    store,
    heartbeatEveryMs: 5000,
    target: {
      check: async () => undefined,
      describe: async () => ({
        target: 'QEMU on b-1',
        network: 'none',
        accelerator: 'tcg (no KVM)',
        memoryBytesMax: 2 ** 30,
      }),
    },
    verifyStepUp: async (_db, { code }) => (code === goodCode ? 'proven' : 'wrong'),
    createApprovedRun,
    startRun: async (runId) => {
      started.push(runId);
    },
    ...changes,
  };
  const spare: SiteMachine[] = [];
  let atOnce = 1;
  const site: ApprovalSite = {
    ...{ store, deps, started },
    async machine() {
      const [machine] = await freshMachines(store, 1);
      invariant(machine, 'the machine was just protected');
      return machine;
    },
    async machineOfMany() {
      if (spare.length === 0) {
        spare.push(...(await freshMachines(store, atOnce)));
        atOnce = Math.min(machinesAtOnceMax, 2 * atOnce);
      }
      const machine = spare.pop();
      invariant(machine, 'some were just protected');
      return machine;
    },
    request: (person, machineId, more = {}) =>
      requestFailover(deps, {
        machineId,
        speaker: speaker(person),
        reason: 'power work',
        notBeforeMs: undefined,
        ...more,
      }),
    vote: (person, approvalId, { via, ...more } = {}) =>
      vote(deps, {
        approvalId,
        speaker: speaker(person, via),
        decision: 'approve',
        reason: 'so it is',
        seen: { revision: undefined, digest8: undefined },
        code: goodCode,
        ...more,
      }),
    async approval(id) {
      const found = await store.read((db) => findApproval(db, id));
      invariant(found, `approval ${id} is there`);
      return found;
    },
    look: (machineId, approvalIds) => look(store, machineId, approvalIds),
    resetPersons: () => store.write(resetPersons),
  };
  await site.resetPersons();
  return site;
}

async function freshMachines(store: Store, count: number): Promise<SiteMachine[]> {
  const names = Array.from({ length: count }, () => {
    machineCount += 1;
    return `vm-${machineCount}`;
  });
  const machines = await protectMachines(store, names);
  await store.write(async (db) => {
    for (const { machineId } of machines) await makeFresh(db, machineId);
  });
  return machines.map(({ machineId, name }) => ({ id: machineId, name }));
}

async function look(store: Store, machineId: MachineId, approvalIds: readonly string[]) {
  const ids = sql.join(
    approvalIds.map((id) => sql`${id}`),
    sql`, `,
  );
  const some = approvalIds.length === 0 ? sql`false` : sql`id in (${ids})`;
  const { rows } = await store.read((db) =>
    db.execute<{ approvals: ApprovalLook[] | null; runs: number }>(sql`select
      (select json_agg(json_build_object('id', id, 'state', state,
        'runId', (select runs.id from runs where approval_id = approvals.id))) from approvals where ${some}) as approvals,
      (select count(*)::int from runs where machine_id = ${machineId}) as runs`),
  );
  const [row] = rows;
  invariant(row, 'a select without a table has one row');
  return { approvals: row.approvals ?? [], runCount: row.runs };
}

/** Of what was asked for. */
export function idOf(outcome: ApprovalOutcome): string {
  invariant(outcome.kind === 'done', `done, not: ${outcome.kind === 'refused' ? outcome.message : ''}`);
  return outcome.approvalId;
}

export function speaker(person: string, via = 'certificate'): Speaker {
  return { person, via, identity: via };
}

async function resetPersons(db: Database): Promise<void> {
  const { rows } = await db.execute<{ name: string }>(sql`select name from persons where disabled_at is null
    and (select json_agg(role || scope_kind) from grants where person = name)::text = '["approvereverything"]'`);
  const asTheyShould = new Set(rows.map(({ name }) => name));
  for (const name of everyone.filter((one) => !asTheyShould.has(one))) {
    await addPerson(db, name, 'the test');
    await setGrants(db, name, [{ role: 'approver', scope: { kind: 'everything' } }], 'the test');
    await setDisabled(db, name, false);
  }
}

/** The machine is a guest that runs, and neither its agent nor its point ever gets old. */
export async function makeFresh(db: Database, machineId: MachineId): Promise<void> {
  await db.execute(sql`update protected_machines set kind = 'qemu-guest' where id = ${machineId}`);
  await db.execute(sql`update agents set last_seen_at = now() + interval '1 day'
    where id = (select agent_id from protected_machines where id = ${machineId})`);
  await db.execute(sql`update recovery_points set taken_at = now() + interval '1 day' where machine_id = ${machineId}`);
}

/** Something in the world changes that the database's triggers would not let our own code do, e.g. time passes. */
export async function asNature(store: Store, change: ReturnType<typeof sql>): Promise<void> {
  await store.write(async (db) => {
    await db.execute(sql`set local session_replication_role = replica`);
    await db.execute(change);
  });
}

/** Time passes: the approval's last moment is over. */
export function letExpire(store: Store, approvalId: string): Promise<void> {
  return asNature(
    store,
    sql`update approvals set requested_at = now() - interval '2 days', not_before = not_before - interval '1 day',
      expires_at = clock_timestamp() - interval '1 second' where id = ${approvalId}`,
  );
}

/** How many runs an approval has, as the rows say. */
export async function runCount(store: Store, machineId: MachineId): Promise<number> {
  const { rows } = await store.read((db) =>
    db.execute<{ count: string }>(sql`select count(*)::text as count from runs where machine_id = ${machineId}`),
  );
  return Number(rows[0]?.count);
}

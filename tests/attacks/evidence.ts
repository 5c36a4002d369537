import { createHash } from 'node:crypto';
import { sql } from 'drizzle-orm';
import { invariant } from '../../domain/invariant.ts';
import type { Database } from '../../engine/store/database.ts';
import type { Store } from '../../engine/store/open.ts';
import { canonicalText } from '../../protocol/point-manifest.ts';

/** What can be seen in the tables, without any of the code that decides. */
export type World = {
  readonly runIds: readonly string[];
  readonly trail: readonly TrailRow[];
  readonly trailEnd: number;
  readonly names: readonly string[];
  /** By which ways the trail may say that this person came. */
  readonly waysOf: (person: string) => readonly string[];
};
type TrailRow = { readonly who: string; readonly via: string; readonly what: string };

type Look = {
  readonly runs: readonly string[] | null;
  readonly trail_end: string;
  readonly trail: readonly TrailRow[] | null;
  readonly names: readonly string[];
  readonly links: readonly { readonly person: string; readonly way: string }[] | null;
};

/** @param since of the trail, only what was written after that look; nothing of it when left out */
export async function readWorld(store: Store, since: World | undefined): Promise<World> {
  const [look] = await store.read((db) =>
    rowsOf<Look>(
      db,
      sql`select (select jsonb_agg(id) from runs) as runs,
        (select coalesce(max(id), 0)::text from audit_entries) as trail_end,
        (select jsonb_agg(jsonb_build_object('who', who, 'via', via, 'what', what) order by id) from audit_entries
          where id > ${since?.trailEnd ?? Number.MAX_SAFE_INTEGER}) as trail,
        (select jsonb_agg(name) from persons) as names,
        (select jsonb_agg(jsonb_build_object('person', person, 'way', surface || ':' || tenant || ':' || chat_user))
          from chat_links) as links`,
    ),
  );
  invariant(look, 'a question without a table has one answer');
  return {
    runIds: look.runs ?? [],
    trail: look.trail ?? [],
    trailEnd: Number(look.trail_end),
    names: look.names,
    waysOf: (person) => [
      'certificate',
      ...(look.links ?? []).filter((link) => link.person === person).map(({ way }) => way),
    ],
  };
}

type CoveredRun = {
  readonly id: string;
  readonly plan: unknown;
  readonly requested_by: string;
  readonly machine_id: string;
  readonly started: string;
  readonly approval: Approval | null;
  readonly votes: readonly { person: string; decision: string; step_up: string; at: string }[] | null;
};
type Approval = {
  readonly state: string;
  readonly machine_id: string;
  readonly digest: string;
  readonly params: { readonly plan: unknown };
  readonly needed_count: number;
  readonly requested_by: string;
  readonly is_break_glass: boolean;
  readonly expires_at: string;
};

/**
 * Planned failovers that no approval covers, each with the reason. This is the oracle of the attack matrix, so it is said anew here and shares no
 * code with what decides: distinct persons, none of them the one who asked, each with a code, as many as are needed, nobody against, in
 * time, and for word for word the plan that runs.
 *
 * @param known ids of runs that need no look: they had one
 */
export async function uncoveredRuns(store: Store, known: readonly string[] = []): Promise<string[]> {
  const runs = await store.read((db) =>
    rowsOf<CoveredRun>(
      db,
      sql`select r.id, r.plan, r.requested_by, r.machine_id, to_jsonb(r) ->> 'started_at' as started, to_jsonb(a) as approval,
        (select jsonb_agg(to_jsonb(v)) from approval_votes v where v.approval_id = a.id) as votes
        from runs r left join approvals a on a.id = r.approval_id where r.kind = 'planned-failover' and not ${JSON.stringify(known)}::jsonb ? r.id`,
    ),
  );
  return runs.flatMap((run) => whyUncovered(run).map((why) => `run ${run.id} is not covered: ${why}`));
}

function whyUncovered(run: CoveredRun): string[] {
  const { approval } = run;
  if (approval === null) return ['it has no approval'];
  const votes = run.votes ?? [];
  const isOther = (person: string) => person !== approval.requested_by;
  const yes = votes.filter((vote) => vote.decision === 'approve');
  const persons = new Set(yes.map((vote) => vote.person).filter(isOther));
  const digest = createHash('sha256').update(canonicalText(approval.params)).digest('hex');
  const faults: [boolean, string][] = [
    [!['executing', 'succeeded', 'failed'].includes(approval.state), `its approval is ${approval.state}`],
    [approval.machine_id !== run.machine_id, 'its approval is about another machine'],
    [canonicalText(approval.params.plan) !== canonicalText(run.plan), 'its plan is not the approved one'],
    [digest !== approval.digest, 'the digest is not of what was approved'],
    [Date.parse(run.started) >= Date.parse(approval.expires_at), 'it began after its time'],
    [approval.requested_by !== run.requested_by, 'somebody else asked for it'],
    [!approval.is_break_glass && persons.size < approval.needed_count, `${persons.size} other persons approved it`],
    [yes.some((vote) => vote.step_up !== 'totp'), 'a vote was cast without a code'],
    [yes.some((vote) => !isOther(vote.person)), 'who asked has voted'],
    [votes.some((vote) => vote.decision === 'reject'), 'somebody has rejected it'],
  ];
  return faults.filter(([isFault]) => isFault).map(([, why]) => why);
}

async function rowsOf<Row extends Record<string, unknown>>(db: Database, query: ReturnType<typeof sql>) {
  return (await db.execute<Row>(query)).rows;
}

import { execFileSync } from 'node:child_process';
import { rmSync } from 'node:fs';
import { open } from 'node:fs/promises';
import { join } from 'node:path';
import { z } from 'zod';
import { counterOffsetBytes, guestCounter } from '../../demo/guest/guest-disk.ts';
import type { Layout } from '../../demo/layout.ts';
import type { SlackWorkspace } from '../../demo/slack-workspace/workspace.ts';
import type { Message } from '../../demo/slack-workspace/world.ts';
import { type ApprovalRecord, listApprovals } from '../../engine/store/approvals.ts';
import { type ChainCheck, checkAuditChain, listAudit } from '../../engine/store/audit.ts';
import type { Database } from '../../engine/store/database.ts';
import { findMachineByName, type MachineRecord } from '../../engine/store/machines.ts';
import { findRun, type RunRecord } from '../../engine/store/runs.ts';
import type { AuditView } from '../../protocol/people-api.ts';
import { connectQmp } from '../../protocol/qmp.ts';

/** A message of the bot that more than one person sees, or one in a direct conversation: not an answer to somebody's words. */
export type Post = {
  readonly ts: string;
  readonly channel: string;
  readonly threadTs: string | undefined;
  /** With its place before it, as a narrator says it. */
  readonly text: string;
  /** What it tells of: the id at its foot, for a message that is kept true; otherwise its words. */
  readonly about: string;
  readonly seenAtMs: number;
};

const outboxRow = z.object({
  id: z.string(),
  kind: z.enum(['copy', 'note', 'picture', 'direct', 'digest']),
  /** Its own, or that of the message in whose thread it stands. */
  topic: z.string().nullable(),
  place: z.string(),
  state: z.string(),
  digest_id: z.string().nullable(),
  is_due: z.boolean(),
  is_leased: z.boolean(),
  ref: z.object({ channel: z.string(), ts: z.string().optional() }).nullable(),
});
export type OutboxRow = z.infer<typeof outboxRow>;

/** What there is to be judged about the request for one machine, when everything is over. */
export type Evidence = {
  readonly machine: MachineRecord;
  readonly approvals: readonly ApprovalRecord[];
  readonly runs: readonly RunRecord[];
  /** When anything was begun for a run of the machine: rows, steps, orders to the agent. */
  readonly deedsAtMs: readonly number[];
  readonly audit: readonly AuditView[];
  readonly chain: ChainCheck;
  readonly outbox: readonly OutboxRow[];
  readonly posts: readonly Post[];
  readonly source: { readonly status: string; readonly counter: number };
  /** Processes of the machine at the target. */
  readonly copyCount: number;
};

/** Sees each message when it comes: Slack's own times are whole seconds. */
export function watchPosts(workspace: SlackWorkspace): () => Post[] {
  const botId = workspace.as('Lifeboat').id;
  const seenAtMs = new Map<string, number>();
  const isPost = (message: Message) => message.user === botId && message.visibleTo === undefined && !message.isDeed;
  workspace.onChange(() => {
    for (const { ts } of workspace.messages()) if (!seenAtMs.has(ts)) seenAtMs.set(ts, Date.now());
  });
  return () =>
    workspace
      .messages()
      .filter(isPost)
      .map((message) => {
        const { ts, channel, threadTs } = message;
        const text = workspace.tell(message);
        return { ts, channel, threadTs, text, about: aboutOf(text, threadTs), seenAtMs: seenAtMs.get(ts) ?? 0 };
      });
}

function aboutOf(text: string, threadTs: string | undefined): string {
  const [, id] = /^\s*((?:apr|run|alr)_\w+)(?: · .*)?$/.exec(text.split('\n').at(-1) ?? '') ?? [];
  return threadTs === undefined && id !== undefined ? id : text;
}

export async function outboxRows(db: Database): Promise<OutboxRow[]> {
  const { rows } = await db.execute(`
    select m.id, m.kind, coalesce(m.topic, p.topic) as topic, m.place, m.state, m.digest_id, m.ref,
      m.delivered_revision < m.wanted_revision as is_due, m.leased_until is not null as is_leased
    from messages m left join messages p on p.id = m.parent_id order by m.number`);
  return z.array(outboxRow).parse(rows);
}

/** @param order db: the tables as they should be judged, which may be those of a transaction that is not committed */
export async function gatherEvidence(
  db: Database,
  order: { readonly layout: Layout; readonly machine: string; readonly posts: () => Post[] },
): Promise<Evidence> {
  const machine = await findMachineByName(db, order.machine);
  if (machine === undefined) throw new Error(`${order.machine} is not there`);
  const approvals = (await listApprovals(db)).filter((approval) => approval.machineId === machine.id);
  const [newest] = approvals;
  if (newest === undefined) throw new Error(`nobody asked for ${order.machine}`);
  return {
    ...{ machine, approvals },
    runs: await runsOf(db, machine.id),
    deedsAtMs: await deedsOf(db, machine.id),
    audit: (await listAudit(db, { about: newest.id, countMax: 100 })).toReversed(),
    chain: await checkAuditChain(db),
    outbox: await outboxRows(db),
    posts: order.posts(),
    source: { status: await sourceStatus(order), counter: await sourceCounter(order) },
    copyCount: await copyCount(db, machine.id),
  };
}

async function runsOf(db: Database, machineId: string): Promise<RunRecord[]> {
  const { rows } = await db.execute<{ id: string }>(
    `select id from runs where machine_id = '${machineId}' order by started_at, id`,
  );
  const found = await Promise.all(rows.map(({ id }) => findRun(db, id)));
  return found.filter((run) => run !== undefined);
}

async function deedsOf(db: Database, machineId: string): Promise<number[]> {
  const { rows } = await db.execute<{ at: string }>(`
    select (extract(epoch from at) * 1000)::bigint::text as at from (
      select started_at as at from runs where machine_id = '${machineId}'
      union all select s.started_at from run_steps s join runs r on r.id = s.run_id where r.machine_id = '${machineId}'
      union all select created_at from agent_requests where machine_id = '${machineId}' and kind in ('shutdown', 'power-on')
    ) deeds where at is not null order by 1`);
  return rows.map(({ at }) => Number(at));
}

type At = { readonly layout: Layout; readonly machine: string };
const queryStatus = z.object({ status: z.string() });

/** Whether the source runs, from its own QEMU. */
async function sourceStatus({ layout, machine }: At): Promise<string> {
  const monitor = await connectQmp(join(layout.sockets, `${machine}.control`), { timeoutMs: 10_000 });
  try {
    return queryStatus.parse(await monitor.execute('query-status')).status;
  } finally {
    monitor.close();
  }
}

/** What the source wrote last, from its own disk. */
async function sourceCounter({ layout, machine }: At): Promise<number> {
  const raw = join(layout.state, `${machine}.raw`);
  const source = join(layout.guests, machine, 'disk0.qcow2');
  execFileSync('qemu-img', ['convert', '-U', '-f', 'qcow2', '-O', 'raw', source, raw]);
  const file = await open(raw);
  try {
    const { buffer } = await file.read(Buffer.alloc(512), 0, 512, counterOffsetBytes);
    return guestCounter(buffer);
  } finally {
    await file.close();
    rmSync(raw);
  }
}

/** Machines at the target that are this one's, by the names of their processes. */
async function copyCount(db: Database, machineId: string): Promise<number> {
  const { rows } = await db.execute<{ id: string }>(`select id from failovers where machine_id = '${machineId}'`);
  const list = execFileSync('ps', ['-ww', '-eo', 'args']).toString().split('\n');
  return list.filter((line) => rows.some(({ id }) => line.includes(`-name lifeboat-failover-${id} `))).length;
}

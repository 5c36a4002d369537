import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { z } from 'zod';
import { makeGuestDisks } from '../../demo/guest/guest-disk.ts';
import { guestNames } from '../../demo/guests.ts';
import type { Layout } from '../../demo/layout.ts';
import { staffWorkspace, type Telephone } from '../../demo/slack-conversation-people.ts';
import { type SlackWorkspace, startSlackWorkspace } from '../../demo/slack-workspace/workspace.ts';
import type { Message } from '../../demo/slack-workspace/world.ts';
import { mebibyte } from '../../domain/units.ts';
import { readEngineConfig } from '../../engine/config.ts';
import type { Database } from '../../engine/store/database.ts';
import { openStore, type Store } from '../../engine/store/open.ts';
import { doublesIn, problemsOfApproved, problemsOfRejected } from './conversation-checks.ts';
import { type Evidence, gatherEvidence, outboxRows, type Post, watchPosts } from './conversation-evidence.ts';
import { eventually, type FaultSite, protect, startFaultSite } from './demo-site.ts';
import { type People, peopleIn } from './people-in-chat.ts';
import { createKiller, type Killer } from './random-kills.ts';

const victims = [
  ...Array<string>(3).fill('bot'),
  ...Array<string>(3).fill('engine'),
  ...Array<string>(3).fill('postgres'),
  'agent',
];
const seed = process.env.LIFEBOAT_SEED ?? `${Date.now()}`;
const hangMs = 120_000;
const pauseMsMin = 1000;

let faults: FaultSite;
let workspace: SlackWorkspace;
let store: Store;
let killer: Killer;
let people: People;
let telephone: Telephone;
let posts: () => Post[];

/** Small disks: what is proved here is proved for a few megabytes as well. */
async function makeSmallDisks(layout: Layout): Promise<void> {
  const size = { sizeBytes: 32 * mebibyte, filledBytes: 4 * mebibyte };
  for (const [machineName, disks] of [['vm-7', [size, size]] as const, ['vm-8', [size]] as const]) {
    await makeGuestDisks({ folder: `${layout.guests}/${machineName}`, machineName, disks, format: 'qcow2' });
  }
}

async function openSite(): Promise<void> {
  // What is killed and started again twenty times a minute may ask Slack more often than Slack would like.
  workspace = await startSlackWorkspace({ isLimitingRates: false });
  posts = watchPosts(workspace);
  faults = await startFaultSite(makeSmallDisks);
  const { site, layout } = faults;
  const signal = AbortSignal.timeout(hangMs);
  [telephone] = await Promise.all([
    staffWorkspace({ site, layout, signal }, workspace),
    ...guestNames.map((name) => protect(site, name)),
  ]);
  store = await openStore({
    connectionString: (await readEngineConfig(layout.engineConfig)).databaseUrl,
    // Its server is among the victims.
    onTrouble: () => undefined,
  });
  people = peopleIn(workspace);
  killer = createKiller({ site, victims, seed });
}

const judged = <T>(what: string, look: (db: Database) => Promise<T | undefined>) =>
  eventually(what, hangMs, () => store.read(look));

/** Kills on while people talk: at least so often, and not more often than that, so that it ends on a slow machine too. */
async function amidKills(
  count: { readonly min: number; readonly max: number },
  talk: () => Promise<void>,
): Promise<void> {
  let isOver = false;
  const talking = talk().finally(() => {
    isOver = true;
  });
  const killing = async () => {
    const before = killer.kills.length;
    const done = () => killer.kills.length - before;
    let recoveryMs = pauseMsMin;
    while (done() < (isOver ? count.min : count.max)) {
      // As the machine is slower, so is the killer: something must be going on when it comes.
      await killer.killOne(recoveryMs);
      const startedAt = performance.now();
      // Most are followed at once, into whatever starts again.
      if (killer.draw(3) > 0) await killer.killOne(pauseMsMin);
      await eventually('the site is up again', hangMs, siteIsUp);
      recoveryMs = Math.max(pauseMsMin, recoveryMs / 2, performance.now() - startedAt);
    }
  };
  await Promise.all([talking, killing()]);
}

async function siteIsUp(): Promise<true | undefined> {
  const answer = await faults.site.engine.ask({ kind: 'version' }, {});
  return answer.kind === 'version' && workspace.connectionCount() > 0 ? true : undefined;
}

async function quietEvidence(machine: string): Promise<Evidence> {
  return judged('every message is delivered', async (db) => {
    const isQuiet = (rows: Evidence['outbox']) =>
      rows.every((row) => !row.is_leased && !(row.state === 'live' && row.is_due));
    if (!isQuiet(await outboxRows(db))) return undefined;
    const evidence = await evidenceOf(machine, db);
    const isStillSo = isQuiet(await outboxRows(db)) && JSON.stringify(posts()) === JSON.stringify(evidence.posts);
    return isStillSo ? evidence : undefined;
  });
}

function evidenceOf(machine: string, db: Database): Promise<Evidence> {
  return gatherEvidence(db, { layout: faults.layout, machine, posts });
}

/** A message as it stood before the decision, and its button. */
type Stale = Pick<Message, 'text' | 'blocks'> & { readonly button: { actionId: string; value: string } };

const buttonRow = z.object({
  type: z.literal('actions'),
  elements: z.array(z.object({ action_id: z.string(), value: z.string(), text: z.object({ text: z.string() }) })),
});

function pendingMessage(machine: string): Stale {
  const isPending = (message: Message) =>
    workspace.tell(message).includes(`Planned failover of ${machine} · waits`) && message.visibleTo === undefined;
  const message = workspace.messages().find(isPending);
  const rows = message?.blocks.map((block) => buttonRow.safeParse(block).data?.elements ?? []) ?? [];
  const approve = rows.flat().find((button) => button.text.text === 'Approve');
  if (message === undefined || approve === undefined) throw new Error(`nothing waits for ${machine}`);
  const { text, blocks } = message;
  return { text, blocks, button: { actionId: approve.action_id, value: approve.value } };
}

let stale: Stale;

/** What somebody needs who has to find out why it failed. */
function account(): string {
  const kills = killer.kills.map(({ victim, atMs }) => `${new Date(atMs).toISOString()} ${victim} is killed`);
  const deeds = [...people.diary, ...kills].toSorted();
  return [`seed ${seed}, state in ${faults.layout.state}`, ...deeds, ...faults.troubles, workspace.story()].join('\n');
}

async function untilDone(machine: string): Promise<void> {
  await eventually(`everybody reads that ${machine} runs at the target`, 2 * hangMs, async () =>
    workspace.reads('#dr').includes(`Planned failover of ${machine} · nothing lost`) ? true : undefined,
  );
}

async function rejected(machine: string): Promise<void> {
  await people.asks(machine, 'the same for the other host');
  await people.rejects(machine, 'not on a Sunday');
}

describe('a conversation about a planned failover while its programs are killed', () => {
  beforeAll(openSite, 240_000);
  beforeEach(({ onTestFailed }) => onTestFailed(() => console.log(account())));
  afterAll(async () => {
    await store?.close();
    await faults?.stop();
    await workspace?.close();
  }, 60_000);

  test(`ana asks twice; ben approves one and rejects the other while everything is killed (seed ${seed})`, async () => {
    await amidKills({ min: 5, max: 6 }, async () => {
      await people.asks('vm-8', 'new power supply in the host');
      stale = pendingMessage('vm-8');
      expect(await judged('the runs are known', (db) => runCount(db, 'vm-8'))).toBe(0);
      await people.approves('vm-8', telephone);
    });
    // The failover runs by now.
    await amidKills({ min: 7, max: 10 }, async () => {
      await Promise.all([untilDone('vm-8'), rejected('vm-7')]);
    });
    expect(killer.kills.length).toBeGreaterThanOrEqual(12);
  }, 400_000);

  test('nothing was lost, run twice or run without approval, and every message says what is true in the end', async () => {
    const approved = await quietEvidence('vm-8');
    expect(problemsOfApproved(approved, killer.kills)).toEqual([]);
    const rejected = await quietEvidence('vm-7');
    expect(problemsOfRejected(rejected, killer.kills)).toEqual([]);
    for (const victim of ['bot', 'engine', 'postgres']) expect(killer.countOf(victim)).toBeGreaterThanOrEqual(3);
    const { doubles } = doublesIn(rejected);
    expect(doubles.length).toBeLessThanOrEqual(killer.countOf('bot'));
    const hits = ['bot', 'engine', 'postgres', 'agent'].map((victim) => `${victim} ${killer.countOf(victim)}`);
    console.log(
      `kills: ${hits.join(', ')}; posts: ${rejected.posts.length}, doubled: ${doubles.length}; deeds: ${people.diary.length}`,
    );
  }, 200_000);

  test('a button that was left over is answered with what has been decided', async () => {
    await people.clicksOld(stale.button, /already|decided/);
    expect(await judged('the runs are known', (db) => runCount(db, 'vm-8'))).toBe(1);
  }, 200_000);

  test('the same checks see a second run, and a message that was not edited', async () => {
    expect(problemsOfApproved(await withSecondRun(), killer.kills)).toContain('2 runs instead of one');
    const evidence = await withStaleMessage();
    const seen = problemsOfApproved(evidence, killer.kills).filter((problem) => /^not true|^can still/.test(problem));
    expect(seen).toHaveLength(2);
  }, 200_000);
});

async function runCount(db: Database, machine: string): Promise<number> {
  const { rows } = await db.execute<{ count: number }>(`select count(*)::int as count
    from runs join protected_machines m on m.id = machine_id where m.name = '${machine}'`);
  return rows[0]?.count ?? -1;
}

/** The constraints that forbid it are out of force inside one transaction, which is then taken back. */
async function withSecondRun(): Promise<Evidence> {
  let evidence: Evidence | undefined;
  const takeBack = new Error('taken back');
  const planted = store.write(async (db) => {
    await db.execute(`alter table runs disable trigger approved_runs_guard`);
    await db.execute(`alter table runs drop constraint runs_approval_id_unique`);
    await db.execute(`insert into runs
      (id, kind, machine_id, requested_by, idempotency_key, plan, plan_digest, state, started_at, finished_at, failure, approval_id)
      select 'run_0000000000', kind, machine_id, requested_by, 'planted', plan, plan_digest, 'failed', started_at, finished_at, 'planted', approval_id
      from runs where kind = 'planned-failover'`);
    evidence = await evidenceOf('vm-8', db);
    throw takeBack;
  });
  await expect(planted).rejects.toThrow('taken back');
  if (evidence === undefined) throw new Error('there is no evidence');
  return evidence;
}

/** The message that everybody sees, as it stood before the decision. */
async function withStaleMessage(): Promise<Evidence> {
  const { approvals, outbox } = await quietEvidence('vm-8');
  const copies = outbox.filter((row) => row.kind === 'copy' && row.topic === `approval:${approvals[0]?.id}`);
  const message = workspace.messages().find(({ ts }) => copies.some((copy) => copy.ref?.ts === ts));
  if (message === undefined) throw new Error('the message is gone');
  const { text, blocks } = message;
  Object.assign(message, { text: stale.text, blocks: stale.blocks });
  const evidence = await quietEvidence('vm-8');
  Object.assign(message, { text, blocks });
  return evidence;
}

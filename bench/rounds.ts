import { mkdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import type { Contender, ContenderSession } from './contender.ts';
import type { LifeboatSession } from './lifeboat-contender.ts';
import { addCosts, type Cost, measureCommand, runCommand } from './measure.ts';
import type { ContenderResults, LifeboatResults } from './results.ts';
import { changeRandomBlocks, type SourceImage, warm } from './source-image.ts';

/** What is collected while the rounds go on; the lists get one entry a round. */
export type Collected = {
  readonly contenders: Map<string, Mutable<ContenderResults>>;
  readonly lifeboat: Mutable<LifeboatResults>;
  changedBytes: number;
};
type Mutable<T> = { -readonly [Key in keyof T]: T[Key] extends readonly (infer Item)[] ? Item[] : T[Key] };

export type RoundPlan = {
  readonly round: number;
  readonly folder: string;
  readonly image: SourceImage;
  readonly contenders: readonly Contender[];
  readonly openLifeboat: (folder: string) => Promise<LifeboatSession>;
  readonly say: (line: string) => void;
  /** Runs before anything of the round is closed, with our vault full. */
  readonly beforeClose: (session: LifeboatSession) => Promise<void>;
};

type Entrant = { readonly name: string; readonly session: ContenderSession; readonly folder: string };

export function newCollection(contenders: readonly Omit<Contender, 'open'>[]): Collected {
  const empty = (one: Omit<Contender, 'open'>): [string, Mutable<ContenderResults>] => [
    one.name,
    {
      name: one.name,
      settings: one.settings,
      version: one.version,
      initial: [],
      increment: [],
      restore: [],
      repositoryBytes: [],
      incrementBytes: [],
      wrongRestores: 0,
    },
  ];
  return {
    contenders: new Map(contenders.map(empty)),
    lifeboat: {
      trackedBy: 'not measured',
      untracked: [],
      agentPeakMemoryBytes: [],
      processServerPeakMemoryBytes: [],
      shipped: [],
      comparedImages: 0,
      differentImages: 0,
    },
    changedBytes: 0,
  };
}

/** One round: everybody copies, 1 % changes, everybody copies again, everybody restores; the image is then as it was. */
export async function runRound(plan: RoundPlan, collected: Collected): Promise<void> {
  const entrants: Entrant[] = [];
  let ours: LifeboatSession | undefined;
  try {
    for (const contender of inTurn(plan)) {
      const folder = join(plan.folder, contender.name.replaceAll(' ', '-'));
      await mkdir(folder, { recursive: true });
      const session = await contender.open({ folder, sourcePath: plan.image.path });
      entrants.push({ name: contender.name, session, folder });
    }
    const folder = join(plan.folder, 'lifeboat');
    await mkdir(folder, { recursive: true });
    ours = await plan.openLifeboat(folder);
    entrants.splice(plan.round % (entrants.length + 1), 0, { name: 'lifeboat', session: ours, folder });
    await warm(plan.image.path);
    await measureRound({ plan, entrants, ours, collected });
    await plan.beforeClose(ours);
  } finally {
    for (const { session } of entrants) await session.close();
    await rm(plan.folder, { recursive: true, force: true });
  }
}

/** Who takes part in this round; each round begins with another one. */
function inTurn({ contenders, round }: RoundPlan): Contender[] {
  const present = contenders.filter((one) => one.version !== undefined && round < one.roundsMax);
  return [...present.slice(round % present.length), ...present.slice(0, round % present.length)];
}

type Round = {
  readonly plan: RoundPlan;
  readonly entrants: readonly Entrant[];
  readonly ours: LifeboatSession;
  readonly collected: Collected;
};

async function measureRound(round: Round): Promise<void> {
  const { plan, entrants, ours, collected } = round;
  for (const { name, session } of entrants) {
    const cost = await settled(session.initial);
    of(collected, name).initial.push(cost);
    of(collected, name).repositoryBytes.push(await session.repositoryBytes());
    say(plan, name, 'initial copy', cost);
  }
  const changes = await changeRandomBlocks(plan.image, `round ${plan.round}`);
  try {
    collected.changedBytes = changes.changedBytes;
    for (const entrant of entrants) await measureIncrement(round, entrant);
    for (const entrant of entrants) await measureRestore(round, entrant);
    await measureUntracked(round);
  } finally {
    await changes.undo();
  }
  collected.lifeboat.trackedBy = ours.site.tracking();
  collected.lifeboat.agentPeakMemoryBytes.push(ours.site.agentPeakMemoryBytes());
  collected.lifeboat.processServerPeakMemoryBytes.push(ours.site.processServerPeakMemoryBytes());
}

async function measureIncrement({ plan, ours, collected }: Round, { name, session }: Entrant): Promise<void> {
  if (session.increment === undefined) return;
  const before = await session.repositoryBytes();
  const cost = await settled(session.increment);
  of(collected, name).increment.push(cost);
  of(collected, name).incrementBytes.push((await session.repositoryBytes()) - before);
  if (session === ours) collected.lifeboat.shipped.push(ours.shippedBytes());
  say(plan, name, 'increment', cost);
}

/** A restored image counts only when it is whole on the disk, and it is compared with the source byte by byte. */
async function measureRestore({ plan, ours, collected }: Round, { name, session, folder }: Entrant): Promise<void> {
  const path = join(folder, 'restored.img');
  const cost = await settled(() => durable(path, session.restore(path)));
  of(collected, name).restore.push(cost);
  say(plan, name, 'restore', cost);
  const isSame = session.increment === undefined || (await areSame(path, plan.image.path));
  if (!isSame) of(collected, name).wrongRestores += 1;
  if (session === ours) countComparison(collected, isSame);
  await rm(path);
}

/** Other blocks change, and everything is read and hashed to find them. */
async function measureUntracked({ plan, ours, collected }: Round): Promise<void> {
  const changes = await changeRandomBlocks(plan.image, `round ${plan.round}, untracked`);
  const path = join(plan.folder, 'restored-untracked.img');
  try {
    const cost = await settled(ours.untracked);
    collected.lifeboat.untracked.push(cost);
    say(plan, 'lifeboat', 'untracked increment', cost);
    await ours.restore(path);
    countComparison(collected, await areSame(path, plan.image.path));
  } finally {
    await changes.undo();
    await rm(path, { force: true });
  }
}

/** Adds the time until the restored file is on the disk, for everybody: our own restore waits for that anyway. */
async function durable(path: string, restore: Promise<Cost>): Promise<Cost> {
  return addCosts(await restore, await measureCommand(['sync', path]));
}

function countComparison({ lifeboat }: Collected, isSame: boolean): void {
  lifeboat.comparedImages += 1;
  if (!isSame) lifeboat.differentImages += 1;
}

function of(collected: Collected, name: string): Mutable<ContenderResults> {
  const results = collected.contenders.get(name);
  if (results === undefined) throw new Error(`broken invariant: ${name} is not a contender`);
  return results;
}

/** What the one before left to be written must not slow the next one. */
async function settled(measure: () => Promise<Cost>): Promise<Cost> {
  await runCommand(['sync']);
  return measure();
}

async function areSame(path: string, other: string): Promise<boolean> {
  return runCommand(['cmp', path, other]).then(
    () => true,
    () => false,
  );
}

function say(plan: RoundPlan, name: string, what: string, cost: Cost): void {
  const wall = `${cost.wallSeconds.toFixed(2)} s`;
  plan.say(
    `round ${plan.round + 1}  ${what.padEnd(20)} ${name.padEnd(20)} ${wall.padStart(9)}  CPU ${cost.cpuSeconds.toFixed(2)} s`,
  );
}

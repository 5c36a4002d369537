import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest';
import { subscribe } from '../../../engine/store/chat-places.ts';
import { leaseMs } from '../../../engine/store/deliveries.ts';
import { addNote, showTopic, touchTopic } from '../../../engine/store/messages.ts';
import type { Store } from '../../../engine/store/open.ts';
import { startTestPostgres, type TestPostgres } from '../../fixtures/postgres.ts';
import { channel, claim, execute, forgetAll, letPass, note, openWorkspace, settle } from './outbox.ts';

let postgres: TestPostgres;
let store: Store;

beforeAll(async () => {
  postgres = await startTestPostgres();
  store = await postgres.freshStore();
});
afterAll(() => postgres.stop());
beforeEach(async () => {
  await forgetAll(store);
  await openWorkspace(store);
});

const topics = Array.from({ length: 6 }, (_, index) => `run:run_000000000${index}` as const);

async function fill(store: Store): Promise<void> {
  await store.write((db) => subscribe(db, { place: channel('C2'), severityMin: 'info', person: 'ana' }));
  await store.write(async (db) => {
    for (const topic of topics) {
      await showTopic(db, { topic, severity: 'info', channels: 'subscribed', persons: [] });
    }
  });
}

/** A small generator of numbers that are the same in every run of a seed. */
function numbersOf(seed: number): () => number {
  let state = seed;
  return () => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return state / 2 ** 32;
  };
}

type World = {
  /** Who is delivering what; two of the same are what must never be. */
  readonly inFlight: Map<string, string>;
  readonly doubles: string[];
  readonly shown: Map<string, number>;
};

/** One bot: claims, and of each message either delivers it, fails, or dies with it. */
async function botRound(store: Store, world: World, bot: { readonly name: string; readonly random: () => number }) {
  for (const delivery of await claim(store, 4)) {
    const other = world.inFlight.get(delivery.id);
    if (other !== undefined) world.doubles.push(`${delivery.id}: ${other} and ${bot.name}`);
    world.inFlight.set(delivery.id, bot.name);
    const fate = bot.random();
    if (fate < 0.2) continue; // It dies: its lease stays.
    if (fate < 0.4) await settle(store, delivery, { kind: 'later', retryAfterMs: 0, error: 'HTTP 503' });
    else {
      world.shown.set(delivery.id, Math.max(world.shown.get(delivery.id) ?? 0, delivery.revision));
      await settle(store, delivery);
    }
    world.inFlight.delete(delivery.id);
  }
}

async function runBots(store: Store, seed: number, isLeaseKept: boolean): Promise<World> {
  const world: World = { inFlight: new Map(), doubles: [], shown: new Map() };
  const random = numbersOf(seed);
  for (let round = 0; round < 12; round += 1) {
    await store.write(async (db) => {
      const topic = topics[Math.floor(random() * topics.length)] ?? topics[0]!;
      await touchTopic(db, topic, { isNotifying: true });
      await addNote(db, { topic, note: note(`line ${round}`), severity: 'info', isNotifying: false });
    });
    await Promise.all(['a', 'b', 'c'].map((name) => botRound(store, world, { name, random })));
    if (!isLeaseKept) await execute(store, 'update messages set leased_until = null, leased_revision = null');
    // Pauses end; leases do not yet.
    await letPass(store, leaseMs / 1000 / 6);
    if (round % 4 === 3) {
      // Now they do: what the dead held is free, and nobody holds anything.
      await letPass(store, leaseMs / 1000 + 1);
      world.inFlight.clear();
    }
  }
  return world;
}

test('bots that die, fail and overlap lose nothing, and never two of them deliver the same message at the same time', async () => {
  await fill(store);
  const world = await runBots(store, 1, true);
  expect(world.doubles).toEqual([]);
  // The last bot has no bad luck.
  for (let round = 0; round < 60; round += 1) {
    await letPass(store, 400);
    const claimed = await claim(store, 100);
    if (claimed.length === 0) break;
    for (const delivery of claimed) {
      world.shown.set(delivery.id, Math.max(world.shown.get(delivery.id) ?? 0, delivery.revision));
      await settle(store, delivery);
    }
  }
  const { rows } = await execute(
    store,
    `select id, wanted_revision::int as wanted, delivered_revision::int as delivered from messages where state = 'live'`,
  );
  for (const row of rows) expect([row.id, world.shown.get(String(row.id))]).toEqual([row.id, row.wanted]);
  expect(rows.every((row) => row.wanted === row.delivered)).toBe(true);
});

test('without leases the same check sees two bots deliver one message: it can fail', async () => {
  await fill(store);
  expect((await runBots(store, 1, false)).doubles).not.toEqual([]);
});

test('an outcome that comes late does no harm: an older drawing is drawn over, a failure of an older lease changes nothing', async () => {
  await fill(store);
  const [slow] = await claim(store, 1);
  await letPass(store, leaseMs / 1000 + 1);
  const again = (await claim(store, 100)).find(({ id }) => id === slow!.id);
  await settle(store, again!);
  await execute(
    store,
    `update messages set wanted_revision = 2, delivered_revision = 2, delivered_at = now() where id = '${slow!.id}'`,
  );
  // The slow one has just put revision 1 over revision 2 at the platform.
  await settle(store, slow!);
  const redrawn = await claim(store, 100);
  expect(redrawn.find(({ id }) => id === slow!.id)).toMatchObject({ revision: 3 });
  expect(await settle(store, slow!, { kind: 'undeliverable', error: 'late' })).toBe('settled');
  const { rows } = await execute(store, `select state from messages where id = '${slow!.id}'`);
  expect(rows).toEqual([{ state: 'live' }]);
  expect(await settle(store, { id: slow!.id, revision: 99 })).toBe('unknown-message');
});

import { randomUUID } from 'node:crypto';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { type Layout, layoutOf, makeFolders } from '../../demo/layout.ts';
import type { Ports } from '../../demo/ports.ts';
import { type Site, startSite } from '../../demo/site.ts';
import { OutageError } from '../../domain/outage.ts';
import { defaultPolicy } from '../../domain/replication-policy.ts';
import { readEngineConfig } from '../../engine/config.ts';
import { openStore } from '../../engine/store/open.ts';
import { savePolicy } from '../../engine/store/policies.ts';
import type { MachineView, PointView } from '../../protocol/control-api.ts';

/** The site of `npm start`, in a folder of its own, with a recovery point every second. */
export type FaultSite = {
  readonly site: Site;
  readonly layout: Layout;
  readonly troubles: string[];
  stop(): Promise<void>;
};

/** @param prepare makes something of the site's folders before anything runs, e.g. the vault's */
export async function startFaultSite(
  prepare: (layout: Layout) => void | Promise<void> = () => undefined,
  { restartDelayMsMax }: { readonly restartDelayMsMax?: number } = {},
): Promise<FaultSite> {
  const state = mkdtempSync(join(tmpdir(), 'lifeboat-faults-'));
  const layout = layoutOf(state);
  makeFolders(layout);
  choosePortsOfOurOwn(layout);
  await prepare(layout);
  const troubles: string[] = [];
  const site = await startSite({
    layout,
    hasQemu: true,
    say: () => undefined,
    onTrouble: (message) => troubles.push(message),
    restartDelayMsMax,
  });
  await addFastPolicy(layout);
  return {
    site,
    layout,
    troubles,
    async stop() {
      await site.stop();
      await site.engine.close();
      // For whoever has to find out what went wrong: the programs' logs are in the state folder.
      if (process.env.LIFEBOAT_KEEP_STATE !== undefined) return;
      for (const folder of [state, layout.sockets]) rmSync(folder, { recursive: true, force: true });
    },
  };
}

/**
 * The usual ones would be taken by another site while ours is killed; so may be those of the range from which the system takes ports for
 * connections.
 */
function choosePortsOfOurOwn(layout: Layout): void {
  const first = 20_000 + ((process.pid * 6) % 12_000);
  const ports: Ports = {
    engine: first,
    processServer: first + 1,
    console: first + 2,
    engineMetrics: first + 3,
    processServerMetrics: first + 4,
    botMetrics: first + 5,
  };
  writeFileSync(join(layout.state, 'ports.json'), JSON.stringify(ports));
}

async function addFastPolicy(layout: Layout): Promise<void> {
  const store = await openStore({ connectionString: (await readEngineConfig(layout.engineConfig)).databaseUrl });
  await store.write((db) => savePolicy(db, { ...defaultPolicy, name: 'every-second', crashConsistentEveryMs: 1000 }));
  await store.close();
}

/** Waits until something is there; the site may be broken in the meantime, which is the point of these tests. */
export async function eventually<T>(what: string, limitMs: number, look: () => Promise<T | undefined>): Promise<T> {
  const deadline = performance.now() + limitMs;
  let last: unknown;
  while (performance.now() < deadline) {
    try {
      const seen = await look();
      if (seen !== undefined) return seen;
    } catch (error) {
      if (!(error instanceof OutageError)) throw error;
      last = error;
    }
    await pause(150);
  }
  throw new Error(`${what} did not happen within ${limitMs} ms`, { cause: last });
}

export async function machineOf(site: Site, name: string): Promise<MachineView | undefined> {
  const answer = await site.engine.ask({ kind: 'machine', name }, {});
  return answer.kind === 'machine' ? answer.machine : undefined;
}

export async function availablePoints(site: Site, machine: string): Promise<PointView[]> {
  const answer = await site.engine.ask({ kind: 'points', machine }, {});
  return answer.kind === 'points' ? answer.points.filter((point) => point.state === 'available') : [];
}

/** Protects a guest and waits for its first available point. */
export async function protect(site: Site, machine: string): Promise<void> {
  await eventually(`${machine} is discovered`, 60_000, () => machineOf(site, machine));
  const order = { kind: 'enable' as const, body: { machine, policy: 'every-second' } };
  const answer = await site.engine.ask(order, { idempotencyKey: randomUUID() });
  if (answer.kind === 'refusal') throw new Error(answer.refusal.message);
  await eventually(`${machine} is Enabled`, 120_000, async () => {
    const view = await machineOf(site, machine);
    return view?.protection.kind === 'protected' ? view : undefined;
  });
}

import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { invariant } from '../../../domain/invariant.ts';
import { openStore, type Store } from '../../../engine/store/open.ts';
import type { RunView } from '../../../protocol/control-api.ts';
import { startTestPostgres, type TestPostgres } from '../../fixtures/postgres.ts';
import { type EngineProcess, endOfRun, type Silence, startEngineProcess } from './engine-control.ts';
import { protectMachines, type TestMachine } from './protected-machine.ts';
import type { PlantedBug } from './recorded-target.ts';

/** A real Postgres, a world that engines can change, and as many engine processes as a test wants. */
export type JobBench = {
  readonly postgres: TestPostgres;
  readonly store: Store;
  readonly folder: string;
  /** @param silence default: as in production */
  startEngine(silence?: Silence): Promise<EngineProcess>;
  /** Leaves no engine to the next test. */
  killEngines(): Promise<void>;
  /** A new protected machine with one available point. */
  newMachine(): Promise<TestMachine>;
  /** Starts a run and waits for its end. */
  run(engine: EngineProcess, what: 'test-failover' | 'cleanup', machine: TestMachine): Promise<RunView>;
  stop(): Promise<void>;
};

export async function startJobBench(bug: PlantedBug = 'none'): Promise<JobBench> {
  const postgres = await startTestPostgres();
  const connectionString = await postgres.freshDatabase();
  const store = await openStore({ connectionString });
  const folder = await mkdtemp(join(tmpdir(), 'lifeboat-jobs-'));
  const engines: EngineProcess[] = [];
  let count = 0;
  const killEngines = async () => {
    await Promise.all(engines.splice(0).map((engine) => engine.kill()));
  };
  return {
    ...{ postgres, store, folder, killEngines },
    async startEngine(silence) {
      const engine = await startEngineProcess({ connectionString, targetFolder: folder, bug, silence });
      engines.push(engine);
      return engine;
    },
    async newMachine() {
      count += 1;
      const [machine] = await protectMachines(store, [`vm-${count}`]);
      invariant(machine, 'one name makes one machine');
      return machine;
    },
    async run(engine, what, machine) {
      count += 1;
      const answer = await engine.order(what, machine.name, `run-${count}`);
      invariant(answer.runId, `${what} of ${machine.name} was started: ${JSON.stringify(answer)}`);
      return endOfRun(store, answer.runId);
    },
    async stop() {
      await killEngines();
      await store.close();
      await postgres.stop();
      await rm(folder, { recursive: true, force: true });
    },
  };
}

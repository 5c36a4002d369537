import type { Cost } from './measure.ts';
import type { ReadMeasurement } from './read-path.ts';

/** Everything that one run measured; `bench/results/latest.json` holds it. Lists have one entry for each round. */
export type BenchResults = {
  readonly format: 'lifeboat-bench/1';
  readonly startedAt: string;
  readonly tookSeconds: number;
  readonly machine: MachineDescription;
  readonly options: { readonly size: string; readonly rounds: number };
  readonly image: {
    readonly sizeBytes: number;
    readonly nonZeroBytes: number;
    readonly origin: string;
    readonly fileSystem: string;
  };
  readonly changedBytes: number;
  readonly contenders: readonly ContenderResults[];
  readonly lifeboat: LifeboatResults;
  readonly reads: readonly ReadMeasurement[];
  readonly boots: BootResults;
};

export type MachineDescription = {
  readonly processor: string;
  readonly coreCount: number;
  readonly memoryBytes: number;
  readonly kernel: string;
  readonly node: string;
  readonly loadBefore: number;
};

export type ContenderResults = {
  readonly name: string;
  readonly settings: string;
  /** Undefined: not installed, and nothing below was measured. */
  readonly version: string | undefined;
  readonly initial: readonly Cost[];
  readonly increment: readonly Cost[];
  readonly restore: readonly Cost[];
  readonly repositoryBytes: readonly number[];
  /** What the repository grew by with the increment. */
  readonly incrementBytes: readonly number[];
  /** Restored images that were compared with the source byte by byte and were different. */
  readonly wrongRestores: number;
};

/** What only we are asked for. */
export type LifeboatResults = {
  readonly trackedBy: string;
  /** Increments found by reading and hashing everything. */
  readonly untracked: readonly Cost[];
  readonly agentPeakMemoryBytes: readonly number[];
  readonly processServerPeakMemoryBytes: readonly number[];
  /** Of the tracked increments. */
  readonly shipped: readonly ShippedBytes[];
  readonly comparedImages: number;
  readonly differentImages: number;
};

/** Disk contents that the agent found changed, and what it sent for them, its logs' headers included. */
export type ShippedBytes = { readonly changedBytes: number; readonly sentBytes: number };

export type BootResults =
  | {
      readonly kind: 'measured';
      readonly guest: string;
      readonly localSeconds: readonly number[];
      readonly vaultSeconds: readonly number[];
    }
  | { readonly kind: 'not-measured'; readonly why: string };

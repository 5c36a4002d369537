import type { Cost } from './measure.ts';

/** Somebody who keeps copies of the source image: us or a peer. */
export type Contender = {
  readonly name: string;
  /** What was asked of it, where its defaults were not used. */
  readonly settings: string;
  /** The version line; undefined when it is not installed. */
  readonly version: string | undefined;
  /** How many rounds it takes part in; the slowest are not measured more than once. */
  readonly roundsMax: number;
  /** Makes an empty repository in a new folder. Not measured. */
  open(place: ContenderPlace): Promise<ContenderSession>;
};

export type ContenderPlace = {
  /** Its own, empty, on the same file system for all. */
  readonly folder: string;
  readonly sourcePath: string;
};

/** One contender's repository in one round: a first copy, a copy after 1 % changed, and the way back. */
export type ContenderSession = {
  readonly initial: () => Promise<Cost>;
  /** Undefined where a second copy is the first one again. */
  readonly increment: (() => Promise<Cost>) | undefined;
  /** Writes the newest copy to a file that does not exist yet. */
  readonly restore: (path: string) => Promise<Cost>;
  /** What grows when something is stored. */
  readonly repositoryBytes: () => Promise<number>;
  readonly close: () => Promise<void>;
};

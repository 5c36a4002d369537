import type { ChangeStreamProblem } from '../../protocol/change-stream.ts';

/** What a process server tells those who measure it. */
export type ProcessServerEvent =
  /** A segment's body is being read, or is on its way into the vault. */
  | { readonly kind: 'segment-begun'; readonly lengthBytes: number }
  | { readonly kind: 'segment-done' }
  /** The vault took it; `seconds` is how long that took, without the body's way here. */
  | {
      readonly kind: 'appended';
      readonly outcome: 'appended' | 'already-there';
      readonly storedBytes: number;
      readonly seconds: number;
    }
  | {
      readonly kind: 'answered';
      readonly what: 'position' | 'digests' | 'segments' | 'health' | 'unknown';
      readonly status: number;
      readonly problem: ChangeStreamProblem['kind'] | undefined;
    };

export type Observe = (event: ProcessServerEvent) => void;

import type { DeliveryLog } from '../delivery/start-delivery.ts';
import type { BotClient } from '../engine-client.ts';
import type { ObserveLine } from '../observed-line.ts';
import type { WebLimits } from './limits.ts';
import type { SessionGate } from './session-gate.ts';

export type WebEngine = Pick<
  BotClient,
  'ask' | 'download' | 'events' | 'overview' | 'report' | 'reportConsole' | 'signIn'
>;

/** What the routes need. */
export type ApiDeps = {
  readonly gate: SessionGate;
  readonly engine: WebEngine;
  readonly limits: WebLimits;
  readonly nowMs: () => number;
  /** Monotonic. */
  readonly clockMs: () => number;
  readonly log: DeliveryLog;
  /** For metrics. */
  readonly observeLine?: ObserveLine | undefined;
};

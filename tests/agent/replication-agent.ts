import { mkdtempSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { createChangeSender } from '../../agent/change-sender.ts';
import { createSpoolBudget } from '../../agent/hrl-spool.ts';
import type { AgentIdentity } from '../../agent/identity.ts';
import type { CaptureBoundary } from '../../agent/machine-context.ts';
import { startMachineReplication } from '../../agent/machine-replication.ts';
import type { ChangeTracker } from '../../agent/tracker/change-tracker.ts';
import { createSlots } from '../../agent/wakeup.ts';
import { idFromBytes } from '../../domain/ids.ts';
import type { AnnouncePointRequest, Assignment } from '../../protocol/agent-api.ts';

/** An agent's replication of one machine over a real process server; only the engine's two answers are given by the test. */
export type AgentOrder = {
  readonly stateFolder: string;
  readonly tracker: ChangeTracker;
  readonly identity: AgentIdentity;
  readonly processServers: readonly string[];
  readonly assignment: Assignment;
  readonly announce: (point: AnnouncePointRequest) => Promise<'announced' | 'refused' | 'fenced'>;
  readonly spoolBytesMax?: number;
  readonly tryForMs?: number;
  readonly onBoundary?: (boundary: CaptureBoundary) => void;
  readonly engineClockOffsetMs?: number;
  readonly random?: () => number;
  readonly onWarning?: (fields: object) => void;
  readonly onNews?: () => void;
};

export async function startAgent(order: AgentOrder) {
  const servers = [...order.processServers];
  const budget = createSpoolBudget(order.spoolBytesMax ?? 1 << 30);
  const sender = createChangeSender({
    processServers: () => servers,
    identity: () => order.identity,
    monotonicMs: () => performance.now(),
    delay: (ms, signal) => delay(ms, undefined, { signal }),
    tryForMs: order.tryForMs ?? 2000,
  });
  const warnings: string[] = [];
  const machine = await startMachineReplication(
    {
      sender,
      tracker: order.tracker,
      stateFolder: order.stateFolder,
      spoolBudget: budget,
      announcePoint: async (point) => {
        const kind = await order.announce(point);
        if (kind !== 'announced') return { kind, message: 'the test says no' };
        return { kind, pointId: idFromBytes('recoveryPoint', Buffer.alloc(10)) };
      },
      engineClockOffsetMs: () => order.engineClockOffsetMs ?? 0,
      nowMs: Date.now,
      monotonicMs: () => performance.now(),
      random: order.random ?? Math.random,
      scanSlots: createSlots(1),
      log: {
        info: () => undefined,
        warn(fields, message) {
          warnings.push(message);
          order.onWarning?.(fields);
        },
      },
      onNews: order.onNews,
      onBoundary: order.onBoundary ?? (() => undefined),
    },
    order.assignment,
  );
  return {
    ...machine,
    budget,
    warnings,
    useProcessServers: (urls: readonly string[]) => servers.splice(0, servers.length, ...urls),
    async stop() {
      await machine.stop();
      await sender.close();
    },
  };
}
export type RunningAgent = Awaited<ReturnType<typeof startAgent>>;

/** Waits for something to become true. @throws Error with what was seen last */
export async function eventually<T>(
  look: () => T | undefined | false | Promise<T | undefined | false>,
  limitMs = 60_000,
): Promise<T> {
  const untilMs = performance.now() + limitMs;
  for (;;) {
    const found = await look();
    if (found !== undefined && found !== false) return found;
    if (performance.now() > untilMs) throw new Error(`still not so after ${limitMs} ms: ${look}`);
    await delay(10);
  }
}

export const newFolder = (parent: string, name: string): string => mkdtempSync(join(parent, `${name}-`));

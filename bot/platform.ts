import { setTimeout as wait } from 'node:timers/promises';
import { describeCauses, OutageError } from '../domain/outage.ts';
import { unknownTenant } from '../protocol/chat-api.ts';
import { shorten } from './card.ts';
import type { ChatSurface } from './chat-surface.ts';
import type { Delivery, DeliveryLog } from './delivery/start-delivery.ts';
import type { BotClient } from './engine-client.ts';
import { isAbort } from './run-follower.ts';

/** A chat platform that answers, and through which messages are delivered. */
export type Running = {
  readonly surface: ChatSurface;
  /** The same platform for others whom it serves: each has a delivery of its own. */
  readonly otherSurfaces?: readonly ChatSurface[];
  readonly close: () => Promise<void>;
};

export type PlatformDeps = {
  readonly name: ChatSurface['surface'];
  /** Nothing else answers people: credentials that are refused then end the start, so that a typo is seen at once. */
  readonly isOnly: boolean;
  /** @throws OutageError; one that is not retryable needs a person */
  readonly connect: () => Promise<Running>;
  readonly deliver: (surface: ChatSurface) => Delivery;
  readonly tenant: TenantMemory;
  readonly engine: Pick<BotClient, 'reportSurface'>;
  readonly log: DeliveryLog;
  readonly signal: AbortSignal;
  readonly retryMs?: { readonly first: number; readonly max: number };
};

/** Whose the platform was when it answered last: as long as it does not, nobody else can say it. */
export type TenantMemory = {
  /** Undefined: it never answered here. */
  readonly load: () => Promise<string | undefined>;
  readonly save: (tenant: string) => Promise<void>;
};

export type Platform = {
  /** Settles after the first try. Rejects for a bug, and, of the only platform, when a person must put something right. */
  readonly tried: Promise<void>;
  /** Ends after the signal was raised and what was under way is done. Rejects only for a bug. */
  readonly ended: Promise<void>;
  readonly close: () => Promise<void>;
};

const defaultRetryMs = { first: 1000, max: 60_000 } as const;

/**
 * Answers and delivers on a platform. As long as that cannot be reached it is tried again: others go on meanwhile, the log says it once,
 * and the engine is told, so that `status` shows it.
 */
export function startPlatform(deps: PlatformDeps): Platform {
  const tried = Promise.withResolvers<void>();
  let running: Running | undefined;
  const work = async () => {
    running = await connected(deps, tried);
    if (running === undefined) return;
    const { surface, otherSurfaces = [] } = running;
    for (const { tenant } of [surface, ...otherSurfaces]) deps.log.info(`${surface.surface} ${tenant}: ready`);
    const deliveries = [surface, ...otherSurfaces].map((one) => deps.deliver(one).ended);
    tried.resolve();
    await deps.tenant.save(surface.tenant);
    await Promise.all(deliveries);
  };
  const ended = work();
  // Whoever waits for the first try, or for the end, gets the same error.
  ended.catch((error: unknown) => tried.reject(error));
  return {
    tried: tried.promise,
    ended,
    close: async () => {
      await running?.close();
      await ended;
    },
  };
}

/** Undefined when the signal was raised before the platform answered, or when a person must put something right first. */
async function connected(deps: PlatformDeps, tried: PromiseWithResolvers<void>): Promise<Running | undefined> {
  const { first, max } = deps.retryMs ?? defaultRetryMs;
  let said: 'unreachable' | 'refused' | undefined;
  for (let failureCount = 0; !deps.signal.aborted; failureCount += 1) {
    const outcome = await connect(deps);
    if (!(outcome instanceof OutageError)) return outcome;
    if (deps.isOnly && said === undefined && !outcome.retryable) {
      tried.reject(outcome);
      return undefined;
    }
    const state = outcome.retryable ? 'unreachable' : 'refused';
    if (state !== said) say(deps, state, outcome);
    said = state;
    tried.resolve();
    await reportDown(deps, outcome);
    await rest(Math.min(max, first * 2 ** Math.min(failureCount, 20)), deps.signal);
  }
  tried.resolve();
  return undefined;
}

async function connect(deps: PlatformDeps): Promise<Running | OutageError | undefined> {
  try {
    const running = await deps.connect();
    if (!deps.signal.aborted) return running;
    await running.close();
    return undefined;
  } catch (error) {
    if (error instanceof OutageError) return error;
    throw error;
  }
}

function say({ name, log }: PlatformDeps, state: 'unreachable' | 'refused', error: OutageError): void {
  const what =
    state === 'unreachable'
      ? `${name} cannot be reached; it is tried again until it can`
      : `${name} cannot be used until somebody puts it right`;
  log.warn(error.nextStep === undefined ? what : `${what}. Next: ${error.nextStep}`, error);
}

async function reportDown({ name, tenant, engine, log, signal }: PlatformDeps, error: OutageError): Promise<void> {
  const detail = shorten(describeCauses(error), 400);
  const known = (await tenant.load()) ?? unknownTenant;
  try {
    await engine.reportSurface({ surface: name, tenant: known, isHealthy: false, detail }, { signal });
  } catch (cause) {
    if (isAbort(cause)) return;
    if (!(cause instanceof OutageError)) throw cause;
    log.warn(`could not report on ${name}`, cause);
  }
}

async function rest(ms: number, signal: AbortSignal): Promise<void> {
  await wait(ms, undefined, { signal }).catch((error: unknown) => {
    if (!isAbort(error)) throw error;
  });
}

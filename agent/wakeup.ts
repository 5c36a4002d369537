/** Lets a loop sleep until a time, until somebody wakes it, or until it is told to stop; whichever comes first. */
export type Wakeup = {
  /** A wake that came since the last wait ends the next wait at once. */
  readonly wake: () => void;
  readonly wait: (forMs: number | undefined) => Promise<void>;
};

/** No timer of ours is longer: a loop that waits for hours looks at the world again now and then. */
const waitMsMax = 60_000;

export function createWakeup(signal: AbortSignal): Wakeup {
  let isAwake = false;
  let end: (() => void) | undefined;
  const wake = () => {
    isAwake = true;
    end?.();
  };
  signal.addEventListener('abort', wake);
  return {
    wake,
    async wait(forMs) {
      if (!isAwake && !signal.aborted) {
        const { promise, resolve } = Promise.withResolvers<void>();
        const timer = setTimeout(resolve, Math.max(0, Math.min(forMs ?? waitMsMax, waitMsMax)));
        end = resolve;
        await promise;
        clearTimeout(timer);
        end = undefined;
      }
      isAwake = false;
    },
  };
}

/** How many may do something at once; the rest wait in order. */
export type Slots = {
  readonly acquire: (signal: AbortSignal) => Promise<() => void>;
  readonly tryAcquire: () => (() => void) | undefined;
};

export function createSlots(count: number): Slots {
  let free = count;
  const waiting: (() => void)[] = [];
  const taken = (): (() => void) => {
    let isGivenBack = false;
    return () => {
      if (isGivenBack) return;
      isGivenBack = true;
      free += 1;
      waiting.shift()?.();
    };
  };
  const tryAcquire = () => {
    if (free === 0) return undefined;
    free -= 1;
    return taken();
  };
  return {
    tryAcquire,
    async acquire(signal) {
      for (;;) {
        signal.throwIfAborted();
        const release = tryAcquire();
        if (release !== undefined) return release;
        const { promise, resolve } = Promise.withResolvers<void>();
        waiting.push(resolve);
        signal.addEventListener('abort', () => resolve(), { once: true });
        await promise;
      }
    },
  };
}

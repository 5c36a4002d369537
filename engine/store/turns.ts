import { OutageError } from '../../domain/outage.ts';

export type TurnLimits = {
  /** So many pieces of work run at once. */
  readonly atOnceMax: number;
  /** So many wait at most; the next one is turned away at once. */
  readonly waitingMax: number;
  /** So long each of them waits at most; then it is turned away. */
  readonly waitMsMax: number;
};

/**
 * A queue in front of something that does only so much at once. A storm then costs waiting and not failures, and what is too much even
 * for the queue is told so at once, before anything of it was begun.
 */
export type Turns = {
  /**
   * Does the work when it is its turn, in the order of asking. Work must not take another turn of the same queue.
   *
   * @throws OutageError (retryable) when nothing was begun: too many wait already, or the turn did not come in time
   */
  take<T>(work: () => Promise<T>): Promise<T>;
};

/** @param of what is waited for, as people call it, e.g. `the engine’s database` */
export function createTurns(of: string, limits: TurnLimits): Turns {
  const waiting = new Set<() => void>();
  let workingCount = 0;
  const turnedAway = (why: string) =>
    new OutageError(`wait for ${of}: ${why}`, {
      retryable: true,
      nextStep: 'Nothing was begun. Ask again in a few seconds; a command with the same idempotency key.',
    });
  const waitForTurn = () =>
    new Promise<void>((resolve, reject) => {
      const isMyTurn = () => {
        clearTimeout(timer);
        resolve();
      };
      const timer = setTimeout(() => {
        waiting.delete(isMyTurn);
        reject(turnedAway(`no turn came within ${limits.waitMsMax} ms`));
      }, limits.waitMsMax);
      waiting.add(isMyTurn);
    });
  const passOn = () => {
    const [next] = waiting;
    if (next === undefined) {
      workingCount -= 1;
      return;
    }
    // The turn goes over as it is: nobody who comes now can be faster than those who wait.
    waiting.delete(next);
    next();
  };
  return {
    async take(work) {
      if (workingCount < limits.atOnceMax) workingCount += 1;
      else if (waiting.size < limits.waitingMax) await waitForTurn();
      else throw turnedAway(`${waiting.size} requests wait already`);
      try {
        return await work();
      } finally {
        passOn();
      }
    },
  };
}

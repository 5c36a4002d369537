/** Time that passes only as far as there is something to do: a day takes a moment. */
export function createPacedClock() {
  let nowMs = 0;
  let number = 0;
  const due: { readonly atMs: number; readonly number: number; readonly work: () => unknown }[] = [];
  const isBefore = (one: number, other: number) => {
    const [a, b] = [due[one]!, due[other]!];
    return a.atMs < b.atMs || (a.atMs === b.atMs && a.number < b.number);
  };
  const swap = (one: number, other: number) => {
    [due[one], due[other]] = [due[other]!, due[one]!];
  };
  const rise = () => {
    let at = due.length - 1;
    while (at > 0 && isBefore(at, (at - 1) >> 1)) {
      swap(at, (at - 1) >> 1);
      at = (at - 1) >> 1;
    }
  };
  const sink = () => {
    let at = 0;
    for (;;) {
      const [left, right] = [2 * at + 1, 2 * at + 2];
      const first = right < due.length && isBefore(right, left) ? right : left;
      if (first >= due.length || !isBefore(first, at)) return;
      swap(first, at);
      at = first;
    }
  };
  const take = () => {
    swap(0, due.length - 1);
    const taken = due.pop();
    sink();
    return taken;
  };
  const after = (ms: number, work: () => unknown) => {
    number += 1;
    due.push({ atMs: nowMs + ms, number, work });
    rise();
  };
  return {
    nowMs: () => nowMs,
    after,
    /** Again and again, each time after another pause. */
    every: (pauseMs: () => number, work: () => unknown) => {
      const again = async () => {
        await work();
        after(pauseMs(), again);
      };
      after(pauseMs(), again);
    },
    async runTo(endMs: number) {
      while (due.length > 0 && due[0]!.atMs <= endMs) {
        const next = take()!;
        nowMs = next.atMs;
        const outcome = next.work();
        if (outcome instanceof Promise) await outcome;
      }
      nowMs = endMs;
    },
  };
}

export type PacedClock = ReturnType<typeof createPacedClock>;

/** Answers to events that have been seen; the same event sent again gets the same answer, and nothing happens a second time. */
export type ReplayTable<Answer> = {
  /** The answer of the first time when there was one, else what `answer` gives. */
  readonly once: (key: string, answer: () => Promise<Answer>) => Promise<Answer>;
};

export function createReplayTable<Answer>(limits: {
  readonly countMax: number;
  readonly keptMs: number;
  readonly nowMs: () => number;
}): ReplayTable<Answer> {
  const seen = new Map<string, { readonly answer: Promise<Answer>; readonly untilMs: number }>();
  return {
    once: (key, answer) => {
      const before = seen.get(key);
      if (before !== undefined && limits.nowMs() < before.untilMs) return before.answer;
      for (const [old, { untilMs }] of seen) {
        if (seen.size < limits.countMax && limits.nowMs() < untilMs) break;
        seen.delete(old);
      }
      const first = answer();
      seen.set(key, { answer: first, untilMs: limits.nowMs() + limits.keptMs });
      return first;
    },
  };
}

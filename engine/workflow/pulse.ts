/** How regularly this engine was able to beat: who was late itself cannot tell who else is dead. */
export type Pulse = {
  /** A beat of ours has reached the database just now. */
  beaten(): void;
  /**
   * Whether silence means anything now. False while our own beats were late, and for one whole silence after that: what held them up,
   * a database that was away or a host that stood still, held the others' up as well, and they get the time to be heard.
   */
  mayJudge(): boolean;
};

/**
 * @param silentForMs after so long a silence an engine is taken for dead
 * @param nowMs a clock that only goes forward
 */
export function createPulse(silentForMs: number, nowMs: () => number = () => performance.now()): Pulse {
  // Half a silence: then the others' last beats, which came and went as ours, are still young enough.
  const lateAfterMs = silentForMs / 2;
  let beatenAtMs = nowMs();
  let judgeFromMs = 0;
  const isLate = () => nowMs() - beatenAtMs > lateAfterMs;
  return {
    beaten() {
      if (isLate()) judgeFromMs = nowMs() + silentForMs;
      beatenAtMs = nowMs();
    },
    mayJudge: () => !isLate() && nowMs() >= judgeFromMs,
  };
}

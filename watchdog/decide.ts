/** What the watchdog decides, without files, clocks or network. Lengths are milliseconds. */

/** What is known of one watched program. */
export type WatchState = {
  readonly status: 'alive' | 'silent';
  /** Wall clock; null while it is alive. */
  readonly silentSinceMs: number | null;
  /** Since people were told of the present status, or reminded of it. */
  readonly toldAgoMs: number | null;
};

export type News =
  | { readonly kind: 'silent'; readonly forMs: number }
  | { readonly kind: 'still-silent'; readonly forMs: number }
  | { readonly kind: 'back'; readonly afterMs: number };

export type WatchFacts = {
  /** Since its last sign of life, as far as the watchdog has seen itself. */
  readonly ageMs: number;
  readonly limitMs: number;
  readonly repeatAfterMs: number;
  /** Wall clock, for people only. */
  readonly nowMs: number;
};

/** What to tell now, if anything. Telling is repeated until somebody took it: the caller changes the state only then. */
export function decide(state: WatchState, facts: WatchFacts): News | undefined {
  const isSilent = facts.ageMs > facts.limitMs;
  const silentForMs = Math.max(facts.ageMs, facts.nowMs - (state.silentSinceMs ?? facts.nowMs));
  if (state.status === 'alive') return isSilent ? { kind: 'silent', forMs: facts.ageMs } : undefined;
  if (!isSilent) return { kind: 'back', afterMs: facts.nowMs - (state.silentSinceMs ?? facts.nowMs) };
  const isDue = state.toldAgoMs === null || state.toldAgoMs >= facts.repeatAfterMs;
  return isDue ? { kind: 'still-silent', forMs: silentForMs } : undefined;
}

/** The state when people were told the news. */
export function afterTelling(state: WatchState, news: News, nowMs: number): WatchState {
  switch (news.kind) {
    case 'silent':
      return { status: 'silent', silentSinceMs: nowMs - news.forMs, toldAgoMs: 0 };
    case 'still-silent':
      return { ...state, toldAgoMs: 0 };
    case 'back':
      return { status: 'alive', silentSinceMs: null, toldAgoMs: null };
  }
}

/** The words of the news. */
export function wordsOf(name: string, news: News): string {
  switch (news.kind) {
    case 'silent':
      return `Lifeboat: ${name} has been silent for ${duration(news.forMs)}. Nobody is told of machines that lag until it is back. Look at its process, its log and its database.`;
    case 'still-silent':
      return `Lifeboat: ${name} is still silent, for ${duration(news.forMs)} now.`;
    case 'back':
      return `Lifeboat: ${name} is back, after ${duration(news.afterMs)}.`;
  }
}

function duration(ms: number): string {
  const seconds = Math.max(0, Math.round(ms / 1000));
  if (seconds < 120) return `${seconds} s`;
  const minutes = Math.round(seconds / 60);
  return minutes < 120 ? `${minutes} min` : `${Math.round(minutes / 60)} h`;
}

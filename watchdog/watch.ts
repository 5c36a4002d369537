import { hostname } from 'node:os';
import type { WatchdogConfig, Watched } from './config.ts';
import { afterTelling, decide, type News, type WatchState, wordsOf } from './decide.ts';
import { send, tellAll } from './post.ts';
import { readSign } from './sign-of-life.ts';
import { loadState, type Remembered, saveState } from './state-file.ts';

export type WatchDeps = {
  readonly config: WatchdogConfig;
  readonly nowMs: () => number;
  /** Goes on evenly, whatever is done to the wall clock. */
  readonly monotonicMs: () => number;
  readonly log: (line: string) => void;
};

/** One watched program while the watchdog runs; times are monotonic. */
type Dog = {
  readonly watched: Watched;
  text: string;
  seenAtMs: number;
  status: WatchState['status'];
  /** Wall clock. */
  silentSinceMs: number | null;
  toldAtMs: number | null;
  isReading: boolean;
  isTelling: boolean;
};

const pingEveryMs = 60_000;

/** Looks at the files again and again until it is stopped. Nothing that happens to files or webhooks ends it. Source: RELIABILITY 4, I8 */
export function startWatching(deps: WatchDeps): { stop(): void } {
  const { config } = deps;
  const remembered = loadState(config.stateFile);
  const dogs = config.watched.map((watched) => newDog(deps, watched, remembered.get(watched.name)));
  const clock = { lookedAtMs: deps.monotonicMs(), pingedAtMs: deps.monotonicMs() - pingEveryMs };
  const round = () => {
    // What stopped us (a paused machine) has stopped them too: that time does not count.
    const lateMs = deps.monotonicMs() - clock.lookedAtMs - 3 * config.checkEveryMs;
    if (lateMs > 0) for (const dog of dogs) dog.seenAtMs += lateMs;
    clock.lookedAtMs = deps.monotonicMs();
    for (const dog of dogs) lookAt(deps, dog, dogs);
    pingMonitor(deps, clock, dogs);
  };
  round();
  const timer = setInterval(round, config.checkEveryMs);
  return { stop: () => clearInterval(timer) };
}

function newDog(deps: WatchDeps, watched: Watched, known: Remembered | undefined): Dog {
  const nowMs = deps.nowMs();
  const toldAgoMs = known?.toldAtMs == null ? null : clamp(nowMs - known.toldAtMs, deps.config.repeatAfterMs);
  return {
    watched,
    text: known?.text ?? '',
    // Whoever was silent when we stopped still is, until there is a new sign.
    seenAtMs: deps.monotonicMs() - (known?.status === 'silent' ? watched.limitMs + 1 : 0),
    status: known?.status ?? 'alive',
    silentSinceMs: known?.silentSinceMs ?? null,
    toldAtMs: toldAgoMs === null ? null : deps.monotonicMs() - toldAgoMs,
    isReading: false,
    isTelling: false,
  };
}

/** The wall clock may have jumped either way. */
function clamp(ms: number, max: number): number {
  return Math.min(Math.max(0, ms), max);
}

function lookAt(deps: WatchDeps, dog: Dog, dogs: readonly Dog[]): void {
  // A file system that hangs must not hold up what we know already: it is silence.
  if (dog.isReading) {
    judge(deps, dog, dogs);
    return;
  }
  dog.isReading = true;
  void readSign(dog.watched.file).then((sign) => {
    dog.isReading = false;
    if (sign !== undefined && sign.text !== dog.text) {
      // At the first look its age is a guess, and half of the limit at most: the wall clock may lie.
      const guessMs = dog.text === '' ? clamp(deps.nowMs() - sign.writtenAtMs, dog.watched.limitMs / 2) : 0;
      dog.text = sign.text;
      dog.seenAtMs = deps.monotonicMs() - guessMs;
    }
    judge(deps, dog, dogs);
  });
}

function judge(deps: WatchDeps, dog: Dog, dogs: readonly Dog[]): void {
  if (dog.isTelling) return;
  const { limitMs } = dog.watched;
  const ageMs = deps.monotonicMs() - dog.seenAtMs;
  const facts = { ageMs, limitMs, repeatAfterMs: deps.config.repeatAfterMs, nowMs: deps.nowMs() };
  const news = decide(stateOf(deps, dog), facts);
  if (news === undefined) return;
  dog.isTelling = true;
  void tell(deps, dog, news).then((isTold) => {
    dog.isTelling = false;
    if (!isTold) return;
    const next = afterTelling(stateOf(deps, dog), news, deps.nowMs());
    dog.status = next.status;
    dog.silentSinceMs = next.silentSinceMs;
    dog.toldAtMs = next.toldAgoMs === null ? null : deps.monotonicMs() - next.toldAgoMs;
    keepState(deps, dogs);
  });
}

function stateOf(deps: WatchDeps, dog: Dog): WatchState {
  const { status, silentSinceMs, toldAtMs } = dog;
  return { status, silentSinceMs, toldAgoMs: toldAtMs === null ? null : deps.monotonicMs() - toldAtMs };
}

/** Nobody took it: it is told again at the next look, for ever, each time with few attempts. */
async function tell(deps: WatchDeps, dog: Dog, news: News): Promise<boolean> {
  const text = `${wordsOf(dog.watched.name, news)} (${hostname()})`;
  deps.log(text);
  const body = JSON.stringify({ text, source: 'lifeboat-watchdog', program: dog.watched.name, kind: news.kind });
  return tellAll(deps.config.webhooks, body, (host, why) => deps.log(`the webhook at ${host} did not take it, ${why}`));
}

function keepState(deps: WatchDeps, dogs: readonly Dog[]): void {
  const entries = dogs.map((dog): [string, Remembered] => {
    const { toldAgoMs, ...state } = stateOf(deps, dog);
    const toldAtMs = toldAgoMs === null ? null : deps.nowMs() - toldAgoMs;
    return [dog.watched.name, { ...state, toldAtMs, text: dog.text }];
  });
  try {
    saveState(deps.config.stateFile, new Map(entries));
  } catch (error) {
    // A restart would tell it twice; that is better than not to go on.
    deps.log(`the state file cannot be written: ${error instanceof Error ? error.message : error}`);
  }
}

/** Its absence is the alarm: so it is left out while there is something that no webhook has taken. */
function pingMonitor(deps: WatchDeps, clock: { pingedAtMs: number }, dogs: readonly Dog[]): void {
  const { externalMonitor } = deps.config;
  if (externalMonitor === undefined || dogs.some((dog) => dog.isTelling)) return;
  if (deps.monotonicMs() - clock.pingedAtMs < pingEveryMs) return;
  clock.pingedAtMs = deps.monotonicMs();
  send(externalMonitor, undefined).catch((error: unknown) => {
    deps.log(`the external monitor did not answer: ${error instanceof Error ? error.message : error}`);
  });
}

import { setTimeout as wait } from 'node:timers/promises';
import type { types } from '@slack/bolt';
import { minuteMs } from '../../domain/units.ts';
import { createBoundedMemory } from './bounded-memory.ts';
import { acknowledgementOf, type ConversationDeps, handleSlackEvent } from './conversation.ts';
import { readSlackEvent, type SlackEvent } from './slack-event.ts';

/** What Slack is told within its three seconds. */
export type Acknowledgement =
  | { readonly kind: 'received' }
  /** Shown to who typed a command. */
  | { readonly kind: 'words'; readonly text: string }
  | { readonly kind: 'view'; readonly view: types.ModalView };
export type Acknowledge = (what: Acknowledgement) => Promise<void>;

export type Turns = {
  /** Acknowledges at once, whatever the engine does, and carries out what arrived afterwards. Never throws. */
  readonly receive: (body: unknown, acknowledge: Acknowledge) => Promise<void>;
  /** Waits for what was begun, at most 10 s. */
  readonly settled: () => Promise<void>;
};

/** More than 50 commands a second for as long as a slow engine takes to answer. */
const turnCountMax = 1000;
/** Twice as long as a signed request is valid. */
const replayKeepMs = 10 * minuteMs;

/**
 * Takes in what Slack delivers. The same event twice (a replayed request, a second delivery after a reconnect) is carried out once;
 * after a restart of the bot the engine's idempotency keys see to the same.
 */
export function createTurns(deps: ConversationDeps, allowedTenants: readonly string[]): Turns {
  const seen = createBoundedMemory<true>({ countMax: 20_000, keepMs: replayKeepMs, nowMs: deps.nowMs });
  const running = new Set<Promise<void>>();
  const begin = (event: SlackEvent) => {
    const turn = handleSlackEvent(event, deps)
      .catch((error: unknown) => deps.log.warn('slack: a turn ended in a way that it never should', error))
      .finally(() => running.delete(turn));
    running.add(turn);
  };
  const receive = async (body: unknown, acknowledge: Acknowledge) => {
    const event = readSlackEvent(body);
    const verdict = judge(event, {
      isSeen: (key) => seen.get(key) === true,
      allowedTenants,
      runningCount: running.size,
    });
    if (event !== undefined && verdict === 'begin') seen.set(event.key, true);
    if (verdict === 'stranger')
      deps.log.warn(`slack: refused an event of ${event?.tenants.join(', ')}: not allowed here`);
    await acknowledge(answerTo(event, verdict, deps)).catch((error: unknown) =>
      deps.log.warn('slack: an event could not be acknowledged; Slack will send it again', error),
    );
    if (event !== undefined && verdict === 'begin') begin(event);
    if (event?.kind === 'click' && verdict === 'busy') await sayBusy(event, deps);
  };
  const settled = async () => {
    const enough = new AbortController();
    await Promise.race([
      Promise.all(running),
      wait(10_000, undefined, { signal: enough.signal, ref: false }).catch(ended),
    ]);
    enough.abort();
  };
  return { receive, settled };
}

type Verdict = 'begin' | 'unknown' | 'again' | 'stranger' | 'busy';

function judge(
  event: SlackEvent | undefined,
  facts: {
    readonly isSeen: (key: string) => boolean;
    readonly allowedTenants: readonly string[];
    readonly runningCount: number;
  },
): Verdict {
  if (event === undefined) return 'unknown';
  if (!event.tenants.some((tenant) => facts.allowedTenants.includes(tenant))) return 'stranger';
  if (facts.isSeen(event.key)) return 'again';
  return facts.runningCount >= turnCountMax ? 'busy' : 'begin';
}

function answerTo(event: SlackEvent | undefined, verdict: Verdict, deps: ConversationDeps): Acknowledgement {
  if (event?.kind === 'command' && verdict === 'stranger') {
    return {
      kind: 'words',
      text: 'This workspace may not use Lifeboat. Its admin decides which may (`allowedTenants`).',
    };
  }
  if (event?.kind === 'command' && verdict === 'busy') {
    return { kind: 'words', text: busyWords };
  }
  if (event === undefined || verdict === 'stranger' || verdict === 'busy') return { kind: 'received' };
  const shown = verdict === 'again' ? deps.shownViews.get(event.key) : undefined;
  const view = shown ?? acknowledgementOf(event);
  return view === undefined ? { kind: 'received' } : { kind: 'view', view };
}

const busyWords = 'Too many commands at once; this one was not carried out. Try again in a few seconds.';

/** A click cannot be answered in its acknowledgement. */
async function sayBusy(event: Extract<SlackEvent, { kind: 'click' }>, deps: ConversationDeps): Promise<void> {
  if (event.responseUrl === undefined) return;
  await deps.clients
    .respond(event.responseUrl, { text: busyWords, response_type: 'ephemeral', replace_original: false })
    .catch((error: unknown) => deps.log.warn('slack: too busy, and could not say so', error));
}

function ended(): void {
  // The wait was called off, because everything had ended.
}

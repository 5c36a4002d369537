import { secondMs } from '../../../domain/units.ts';
import { type LiveEvent, webPaths } from '../wire.ts';

/** Without a word for so long, what is shown is not known to be so any more; the server says something every 5 s. */
export const silenceLimitMs = 12 * secondMs;
const retryFirstMs = 0.5 * secondMs;
const retryMaxMs = 5 * secondMs;
/** After so long a silence a page that comes back into view does not wait for the next try. */
const wakeAfterMs = 6 * secondMs;

export type LiveDeps = {
  readonly onEvent: (event: LiveEvent) => void;
  readonly onLost: (why: string) => void;
  /** `why`: when the server has said so. */
  readonly onSignedOut: (why?: string) => void;
};
export type Live = { readonly start: () => void; readonly stop: () => void };

/**
 * The stream of what changes at the site. It comes back by itself after every break, with a new snapshot, and says when it is silent:
 * the browser's own reconnecting would neither back off nor notice a connection that is open and dead.
 */
export function makeLive({ onEvent, onLost, onSignedOut }: LiveDeps): Live {
  let source: EventSource | undefined;
  let retryMs = retryFirstMs;
  let lastWordMs = 0;
  let timers: { retry?: number; silence?: number } = {};

  const clear = () => {
    source?.close();
    source = undefined;
    clearTimeout(timers.retry);
    clearTimeout(timers.silence);
    timers = {};
  };
  const retryLater = (why: string) => {
    clear();
    onLost(why);
    timers.retry = window.setTimeout(connect, retryMs);
    retryMs = Math.min(retryMaxMs, retryMs * 2);
  };
  const heard = () => {
    lastWordMs = performance.now();
    clearTimeout(timers.silence);
    timers.silence = window.setTimeout(() => retryLater('no word from the console for 12 s'), silenceLimitMs);
  };
  const received = (event: LiveEvent) => {
    heard();
    retryMs = retryFirstMs;
    if (event.kind === 'signed-out') {
      clear();
      onSignedOut(event.why);
    } else onEvent(event);
  };
  const broken = async (failed: EventSource) => {
    if (failed !== source) return;
    clear();
    // An `EventSource` does not tell a closed door from a broken line.
    if ((await isSignedOut()) === true) onSignedOut();
    else if (source === undefined) retryLater('the console cannot be reached');
  };
  function connect(): void {
    clear();
    const opened = new EventSource(webPaths.live);
    source = opened;
    heard();
    opened.addEventListener('message', ({ data }: MessageEvent<string>) => {
      // The server is the page's own and was built with it: what it says is as `wire.ts` says.
      if (opened === source) received(JSON.parse(data) as LiveEvent);
    });
    opened.addEventListener('error', () => void broken(opened));
  }
  const wake = () => {
    const isWanted = source !== undefined || timers.retry !== undefined;
    if (isWanted && document.visibilityState === 'visible' && performance.now() - lastWordMs > wakeAfterMs) connect();
  };
  return {
    start: () => {
      document.addEventListener('visibilitychange', wake);
      window.addEventListener('online', wake);
      connect();
    },
    stop: () => {
      document.removeEventListener('visibilitychange', wake);
      window.removeEventListener('online', wake);
      clear();
    },
  };
}

/** Whether the stream is refused for want of a session; undefined when nobody answers. */
async function isSignedOut(): Promise<boolean | undefined> {
  const end = new AbortController();
  const limit = setTimeout(() => end.abort(), retryMaxMs);
  try {
    const { status } = await fetch(webPaths.live, { signal: end.signal, cache: 'no-store' });
    return status === 401;
  } catch {
    // Nobody there, which is no answer to the question.
    return undefined;
  } finally {
    clearTimeout(limit);
    end.abort();
  }
}

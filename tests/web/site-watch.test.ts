import { afterEach, expect, test } from 'vitest';
import { webLimits } from '../../bot/web/limits.ts';
import { createLiveSessions } from '../../bot/web/live-sessions.ts';
import { createSessionGate } from '../../bot/web/session-gate.ts';
import { createSiteWatch, type SiteNews, type SiteWatch } from '../../bot/web/site-watch.ts';
import type { LiveEvent } from '../../bot/web/wire.ts';
import { OutageError } from '../../domain/outage.ts';
import { cannedSite } from './page-site.ts';

const site = cannedSite(3, 1_000_000);
let started: SiteWatch | undefined;
afterEach(() => started?.close());

/** An engine that answers until it is told not to, and a clock that goes on only when it is told to. */
function watchedSite() {
  const at = { nowMs: 0, isAway: false };
  const answer = async <Value>(value: Value): Promise<Value> => {
    if (at.isAway) throw new OutageError('it is down', { retryable: true });
    return value;
  };
  const watched = createSiteWatch({
    engine: { overview: () => answer(site), events: () => answer([]) },
    clockMs: () => at.nowMs,
    log: { warn: () => undefined },
    pauses: { lookGapMs: 5, retryMs: 5, tickMs: 5, staleAfterMs: 8000 },
  });
  started = watched;
  return { at, watch: watched };
}

const eventually = <Value>(look: () => Value) => expect.poll(look, { timeout: 20_000, interval: 5 });
const nobody = { first: () => undefined, news: () => undefined };

test('who comes while the engine has been away, and nobody looked, is told so together with the old site', async () => {
  const { at, watch } = watchedSite();
  watch.join(nobody)();
  await eventually(() => watch.sight().site?.atMs).toBe(1_000_000);
  at.isAway = true;
  at.nowMs = 4000;
  expect(watch.sight()).toMatchObject({ stale: undefined, site: { atMs: 1_004_000 } });
  at.nowMs = 8000;
  expect(watch.sight()).toMatchObject({ stale: { kind: 'stale', sinceMs: 1_000_000 }, site: { atMs: 1_000_000 } });
});

test('a page is told that the site is old before it gets the site', async () => {
  const sent: LiveEvent[] = [];
  const gone = new AbortController();
  const whoami = {
    name: 'ada',
    roles: ['viewer'],
    grants: [],
    via: 'web',
    isLinked: true,
    hasAuthenticator: false,
    isOnCall: false,
  };
  const stale = { kind: 'stale', sinceMs: site.atMs, why: 'it is down' } as const;
  const live = createLiveSessions({
    engine: { ask: async () => ({ kind: 'whoami', whoami }) },
    watch: { join: () => () => undefined, sight: () => ({ stale, site }), close: async () => undefined },
    limits: webLimits,
    gate: createSessionGate(webLimits, () => 0),
  });
  const served = live
    .admit({ session: 'session', address: '127.0.0.1' })
    .serve({ send: (event) => sent.push(event), end: () => gone.abort(), signal: gone.signal });
  await eventually(() => sent.length).toBe(2);
  gone.abort();
  await served;
  expect(sent.map(({ kind }) => kind)).toEqual(['stale', 'snapshot']);
});

test('a look that succeeds ends it', async () => {
  const { at, watch } = watchedSite();
  const news: SiteNews[] = [];
  watch.join({ ...nobody, news: (one) => news.push(one) });
  await eventually(() => watch.sight().site?.atMs).toBe(1_000_000);
  at.isAway = true;
  at.nowMs = 9000;
  await eventually(() => news.at(-1)).toMatchObject({ kind: 'stale', sinceMs: 1_000_000 });
  at.isAway = false;
  await eventually(() => watch.sight()).toMatchObject({ stale: undefined, site: { atMs: 1_000_000 } });
});

import { afterEach, describe, expect, it } from 'vitest';
import { createDeliveryQueue } from '../../bot/delivery/delivery-queue.ts';
import { createRateLimits } from '../../demo/slack-workspace/rate-limits.ts';
import type { DeliveryView } from '../../protocol/chat-api.ts';
import { delivery, until } from '../bot/delivery/deliveries.ts';
import { openTrial } from './slack-fixture.ts';

const minuteMs = 60_000;

describe('the imitation’s rate limits', () => {
  it('take a burst of four in a channel, then one a second, and say how long to wait in whole seconds', () => {
    let atMs = 0;
    const limits = createRateLimits(() => atMs);
    const post = (channel = 'C1') => limits.take('chat.postMessage', channel);
    expect([1, 2, 3, 4, 5].map(() => post())).toEqual([undefined, undefined, undefined, undefined, 1]);
    expect(post('C2')).toBeUndefined();
    atMs += 999;
    expect(post()).toBe(1);
    atMs += 1;
    expect([post(), post()]).toEqual([undefined, 1]);
  });

  it('take each method’s tier in any sixty seconds, whatever the channel, and what was refused does not count', () => {
    let atMs = 0;
    const limits = createRateLimits(() => atMs);
    const edit = () => limits.take('chat.update', `C${atMs}`);
    for (let i = 0; i < 50; i += 1) {
      expect(edit()).toBeUndefined();
      atMs += 100;
    }
    expect(edit()).toBe(55);
    atMs = minuteMs;
    expect([edit(), edit()]).toEqual([undefined, 1]);
    expect(limits.take('usergroups.users.list', undefined)).toBeUndefined();
  });
});

/** What our own delivery does in virtual time, against the limits of the imitation: how often it was refused. */
async function refusals(messages: readonly DeliveryView[], bucketIsOff = false): Promise<number> {
  let atMs = 0;
  let refused = 0;
  let sent = 0;
  const limits = createRateLimits(() => atMs);
  const stopping = new AbortController();
  const perform = async (one: DeliveryView) => {
    await new Promise((resolve) => setImmediate(resolve));
    if (limits.take('chat.postMessage', one.place.place) !== undefined) refused += 1;
    sent += 1;
  };
  if (bucketIsOff) for (const one of messages) await perform(one);
  else {
    const queue = createDeliveryQueue({ nowMs: () => atMs, signal: stopping.signal, perform });
    const ticking = setInterval(() => {
      atMs += 50;
      // The queue waits by the real clock; each message that comes makes it look again.
      const [next] = waiting.splice(0, 1);
      if (next !== undefined) queue.add(next);
    }, 1);
    const waiting = [...messages];
    await until(() => sent === messages.length, 'all messages');
    clearInterval(ticking);
    stopping.abort();
    await queue.ended;
  }
  return refused;
}

describe('our own delivery', () => {
  it('is never refused for posting too fast into one channel, and without its bucket it would be', async () => {
    const many = Array.from({ length: 12 }, (_, index) => delivery(index + 1));
    expect(await refusals(many, true)).toBeGreaterThan(0);
    expect(await refusals(many.slice(0, 6))).toBe(0);
  });
});

const asked = { parentRef: null, isNotifying: false, mentions: [] };

describe('a Slack that refuses what comes too fast', () => {
  const stops: (() => void)[] = [];
  afterEach(() => {
    for (const stop of stops.splice(0)) stop();
  });

  it('tells the delivery when to come again, and never carries the refused call out', async () => {
    const { workspace, bot } = await openTrial();
    const channel = workspace.addChannel('alerts', ['ana', 'Lifeboat']);
    const place = { surface: 'slack' as const, tenant: bot.surface.tenant, place: channel };
    const card = { title: 'a line', tone: 'neutral', audience: 'channel' } as const;
    const outcomes = await Promise.allSettled(
      Array.from({ length: 12 }, () => bot.surface.post({ ...asked, place, card })),
    );
    const refused = outcomes.filter((outcome) => outcome.status === 'rejected');
    expect(refused.length).toBeGreaterThan(0);
    for (const { reason } of refused)
      expect(reason).toMatchObject({ isRateLimited: true, retryAfterMs: expect.any(Number) });
    expect(workspace.reads('#alerts').split('a line').length - 1).toBe(12 - refused.length);
    expect(workspace.calls().filter(({ answer }) => answer === 'ratelimited')).toHaveLength(refused.length);
  });

  it('answers people all the same: who asks is answered once it may be', async () => {
    const { workspace } = await openTrial();
    const ana = workspace.as('ana');
    for (let i = 0; i < 6; i += 1) await ana.types('@Lifeboat', 'version');
    await workspace.until('all are answered', () => ana.reads('@Lifeboat').split('0.1.0').length - 1 >= 6);
    expect(workspace.calls().map(({ answer }) => answer)).toContain('ratelimited');
  });
});

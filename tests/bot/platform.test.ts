import { describe, expect, it } from 'vitest';
import { DeliveryError } from '../../bot/chat-surface.ts';
import { type PlatformDeps, startPlatform } from '../../bot/platform.ts';
import { OutageError } from '../../domain/outage.ts';

const unreachable = () => new OutageError('signing in to Slack', { cause: 'ECONNREFUSED', retryable: true });
const refused = () =>
  new OutageError('signing in to Slack', { cause: 'invalid_auth', retryable: false, nextStep: 'check the bot token' });

/** A platform whose tries end one after the other as it is said; the last one again and again. */
function platformOf(tries: readonly (() => OutageError | 'connected')[], changes: Partial<PlatformDeps> = {}) {
  const stopping = new AbortController();
  const said: string[] = [];
  const reports: unknown[] = [];
  const remembered: string[] = [];
  let tryCount = 0;
  const never = () => Promise.reject(new DeliveryError('nothing is posted here', {}));
  const surface = {
    surface: 'slack',
    tenant: 'T1',
    post: never,
    update: never,
    postPicture: never,
    probe: never,
  } as const;
  const closed: string[] = [];
  const platform = startPlatform({
    name: 'slack',
    isOnly: false,
    connect: async () => {
      const outcome = tries[Math.min(tryCount, tries.length - 1)]?.();
      tryCount += 1;
      if (outcome instanceof OutageError) throw outcome;
      return { surface, close: async () => void closed.push('slack') };
    },
    deliver: () => ({
      ended: new Promise((resolve) => stopping.signal.addEventListener('abort', () => resolve(), { once: true })),
    }),
    tenant: { load: async () => remembered.at(-1), save: async (tenant) => void remembered.push(tenant) },
    engine: { reportSurface: async (body) => void reports.push(body) },
    log: { info: (message) => said.push(message), warn: (message) => said.push(message) },
    signal: stopping.signal,
    retryMs: { first: 1, max: 2 },
    ...changes,
  });
  const stop = async () => {
    stopping.abort();
    await platform.close();
  };
  return { platform, said, reports, remembered, closed, stop, tryCount: () => tryCount };
}

describe('a platform that cannot be reached', () => {
  it('is tried until it answers; the log says each change once, and the engine is told every time', async () => {
    const one = platformOf([unreachable, unreachable, unreachable, refused, refused, unreachable, () => 'connected']);
    await one.platform.tried;
    await expect.poll(() => one.said.at(-1)).toBe('slack T1: ready');
    const down = 'slack cannot be reached; it is tried again until it can';
    expect(one.said).toEqual([
      down,
      'slack cannot be used until somebody puts it right. Next: check the bot token',
      down,
      'slack T1: ready',
    ]);
    expect(one.reports).toHaveLength(6);
    const about = { surface: 'slack', tenant: 'unknown', isHealthy: false };
    expect(one.reports[0]).toEqual({ ...about, detail: 'signing in to Slack: ECONNREFUSED' });
    expect(one.remembered).toEqual(['T1']);
    await one.stop();
    expect(one.closed).toEqual(['slack']);
  });

  it('is reported under the name that it had when it answered last', async () => {
    const one = platformOf([unreachable], { tenant: { load: async () => 'T7', save: async () => undefined } });
    await expect.poll(() => one.reports.length).toBeGreaterThan(0);
    expect(one.reports[0]).toMatchObject({ tenant: 'T7' });
    await one.stop();
  });

  it('waits when it is the only one, and ends at once when it is stopped meanwhile', async () => {
    const one = platformOf([unreachable], { isOnly: true, retryMs: { first: 3_600_000, max: 3_600_000 } });
    await one.platform.tried;
    expect(one.tryCount()).toBe(1);
    await one.stop();
    expect(one.tryCount()).toBe(1);
  });

  it('goes on when the engine is away as well', async () => {
    const away = () => Promise.reject(new OutageError('asking the engine', { retryable: true }));
    const one = platformOf([unreachable, () => 'connected'], { engine: { reportSurface: away } });
    await expect.poll(() => one.said.at(-1)).toBe('slack T1: ready');
    await one.stop();
  });
});

describe('credentials that are refused', () => {
  it('end the start when nothing else answers people', async () => {
    const one = platformOf([refused], { isOnly: true });
    await expect(one.platform.tried).rejects.toThrow('signing in to Slack');
    expect(one.tryCount()).toBe(1);
    await one.stop();
  });

  it('do not keep another platform from starting', async () => {
    const one = platformOf([refused, () => 'connected']);
    await one.platform.tried;
    await expect.poll(() => one.said.at(-1)).toBe('slack T1: ready');
    await one.stop();
  });

  it('a bug is neither: it ends the bot', async () => {
    const one = platformOf([
      () => {
        throw new TypeError('a bug');
      },
    ]);
    await expect(one.platform.tried).rejects.toThrow('a bug');
    await expect(one.platform.ended).rejects.toThrow('a bug');
  });
});

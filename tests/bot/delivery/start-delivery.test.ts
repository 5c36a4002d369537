import { expect, it, vi } from 'vitest';
import type { ApiAnswer } from '../../../bot/api-call.ts';
import { DeliveryError } from '../../../bot/chat-surface.ts';
import type { RunId } from '../../../domain/ids.ts';
import { OutageError } from '../../../domain/outage.ts';
import { drillRun, seriesOf, verifiedRun } from '../recorded-answers.ts';
import { createRig, delivery, until } from './deliveries.ts';

vi.setConfig({ testTimeout: 60_000 });

it('posts what is claimed, and reports where it stands', async () => {
  const rig = createRig();
  rig.waiting.push(delivery(1, { mentions: ['U1'], isNotifying: true, parentRef: { ts: '7' } }));
  const running = rig.start();
  await until(() => rig.outcomes.length === 1, 'the report');
  expect(rig.outcomes).toEqual([{ id: delivery(1).id, revision: 1, outcome: { kind: 'delivered', ref: { ts: '1' } } }]);
  expect(rig.posts[0]).toMatchObject({ mentions: ['U1'], isNotifying: true, parentRef: { ts: '7' } });
  await rig.stop(running);
});

it('edits the message that is there, and posts it anew when somebody deleted it', async () => {
  const rig = createRig();
  rig.state.fail = ({ order, title }) =>
    order === 'update' && title === 'note 2' ? new DeliveryError('gone', { isMessageGone: true }) : undefined;
  const other = { place: { ...delivery(1).place, place: 'C2' } };
  rig.waiting.push(delivery(1, { ref: { ts: 'a' } }), delivery(2, { ref: { ts: 'b' }, ...other }));
  const running = rig.start();
  await until(() => rig.outcomes.length === 2, 'both');
  expect(rig.shown.map(({ order, title }) => `${order} ${title}`).sort()).toEqual(['post note 2', 'update note 1']);
  await rig.stop(running);
});

it('says when to try again, and what can never be delivered', async () => {
  const rig = createRig();
  rig.state.fail = ({ title }) =>
    title === 'note 1'
      ? new DeliveryError('slow down', { retryAfterMs: 4000 })
      : title === 'note 2'
        ? new DeliveryError('the channel is archived', {})
        : new TypeError('a bug of the surface');
  for (const [index, name] of ['C1', 'C2', 'C3'].entries()) {
    rig.waiting.push(delivery(index + 1, { place: { ...delivery(1).place, place: name } }));
  }
  const running = rig.start();
  await until(() => rig.outcomes.length === 3, 'all three');
  expect(rig.outcomes.map(({ outcome }) => outcome)).toEqual(
    expect.arrayContaining([
      { kind: 'later', retryAfterMs: 4000, error: 'slow down' },
      { kind: 'undeliverable', error: 'the channel is archived' },
      { kind: 'later', retryAfterMs: 30_000, error: 'a bug of the surface' },
    ]),
  );
  await rig.stop(running);
});

it('draws a run from what the engine says now, and its picture comes as a file', async () => {
  const rig = createRig();
  const run = { kind: 'run', runId: 'run_4F6H8J0KMN' as RunId } as const;
  rig.state.ask = () => ({ kind: 'run', run: drillRun(3) });
  rig.waiting.push(delivery(1, { subject: run }));
  const running = rig.start();
  await until(() => rig.outcomes.length === 1, 'the run');
  expect(rig.shown[0]?.title).toContain('Test failover of vm-7 · running');
  const png = Buffer.from('picture');
  rig.state.download = () => ({ kind: 'png', png });
  const picture = { kind: 'picture', apiPath: '/x.png', fileName: 'x.png', altText: 'Console' } as const;
  rig.waiting.push(delivery(2, { subject: picture, place: { ...delivery(1).place, place: 'C2' } }));
  await until(() => rig.outcomes.length === 2, 'the picture');
  expect(rig.pictures[0]).toMatchObject({ png, fileName: 'x.png', altText: 'Console' });
  await rig.stop(running);
});

it('a run that an engine without its database cannot show is shown later; only one that is not there is given up', async () => {
  const rig = createRig();
  const refused = (kind: 'outage' | 'unknown-target') => (): ApiAnswer => ({
    kind: 'refusal',
    refusal: { kind, message: 'no answer', candidates: [], nextStep: null },
  });
  rig.state.ask = refused('outage');
  const subject = { kind: 'run', runId: 'run_4F6H8J0KMN' as RunId } as const;
  rig.waiting.push(delivery(1, { subject }));
  const running = rig.start();
  await until(() => rig.outcomes.length === 1, 'the outage');
  expect(rig.outcomes[0]?.outcome).toMatchObject({ kind: 'later' });
  rig.state.ask = refused('unknown-target');
  rig.waiting.push(delivery(1, { subject, revision: 2 }));
  await until(() => rig.outcomes.length === 2, 'the end');
  expect(rig.outcomes[1]?.outcome.kind).toBe('undeliverable');
  await rig.stop(running);
});

it('a drill whose machine an engine without its database cannot show is shown later, and whole', async () => {
  const rig = createRig();
  const answers: ApiAnswer[] = [
    { kind: 'run', run: verifiedRun },
    { kind: 'refusal', refusal: { kind: 'outage', message: 'no database', candidates: [], nextStep: null } },
  ];
  rig.state.ask = () => answers.shift() ?? { kind: 'run', run: verifiedRun };
  rig.waiting.push(delivery(1, { subject: { kind: 'run', runId: 'run_4F6H8J0KMN' as RunId } }));
  const running = rig.start();
  await until(() => rig.outcomes.length === 1, 'the outage');
  expect(rig.outcomes[0]?.outcome.kind).toBe('later');
  expect(rig.shown).toEqual([]);
  await rig.stop(running);
});

it('a picture that cannot be had now is shown later; one that the engine does not know is given up', async () => {
  const rig = createRig();
  const subject = { kind: 'picture', apiPath: '/x.png', fileName: 'x.png', altText: 'Console' } as const;
  rig.state.download = () => {
    throw new OutageError('the engine refused /x.png (HTTP 503)', { retryable: true });
  };
  rig.waiting.push(delivery(1, { subject }));
  const running = rig.start();
  await until(() => rig.outcomes.length === 1, 'the outage');
  expect(rig.outcomes[0]?.outcome.kind).toBe('later');
  rig.state.download = () => ({ kind: 'unknown', why: 'This run has no console picture.' });
  rig.waiting.push(delivery(1, { subject, revision: 2 }));
  await until(() => rig.outcomes.length === 2, 'the end');
  expect(rig.outcomes[1]?.outcome).toEqual({ kind: 'undeliverable', error: 'This run has no console picture.' });
  await rig.stop(running);
});

it('draws the curve of an alert itself, and gives up a picture that is none', async () => {
  const rig = createRig();
  const subject = { kind: 'picture', apiPath: '/v1/machines/vm-7/lag', fileName: 'lag.png', altText: 'Lag' } as const;
  rig.state.download = () => ({ kind: 'json', body: seriesOf('vm-7') });
  rig.waiting.push(delivery(1, { subject }));
  const running = rig.start();
  await until(() => rig.outcomes.length === 1, 'the curve');
  expect(rig.pictures[0]?.png.subarray(1, 4).toString()).toBe('PNG');
  rig.state.download = () => ({ kind: 'json', body: { kind: 'refused' } });
  rig.waiting.push(delivery(2, { subject, place: { ...delivery(1).place, place: 'C2' } }));
  await until(() => rig.outcomes.length === 2, 'the refusal');
  expect(rig.outcomes[1]?.outcome.kind).toBe('undeliverable');
  await rig.stop(running);
});

it('a message whose report got lost is not posted twice when it is claimed again', async () => {
  const rig = createRig();
  rig.state.reportFails = true;
  rig.waiting.push(delivery(1));
  const running = rig.start();
  await until(() => rig.shown.length === 1, 'the post');
  rig.waiting.push(delivery(1));
  await until(() => rig.waiting.length === 0, 'the second claim');
  rig.state.reportFails = false;
  await until(() => rig.outcomes.length > 0, 'the report');
  rig.state.nowMs += 10_000;
  // A newer revision of it edits what stands there, though the engine does not know yet where that is.
  rig.waiting.push(delivery(1, { revision: 2 }));
  await until(() => rig.outcomes.some(({ revision }) => revision === 2), 'the newer one');
  expect(rig.shown.map(({ order }) => order)).toEqual(['post', 'update']);
  await rig.stop(running);
});

it('an edit that fails does not make it forget where a message stands that the engine has not heard of', async () => {
  const rig = createRig();
  rig.state.reportFails = true;
  rig.waiting.push(delivery(1));
  const running = rig.start();
  await until(() => rig.shown.length === 1, 'the post');
  rig.state.nowMs += 10_000;
  let failedCount = 0;
  rig.state.fail = () => {
    failedCount += 1;
    return new DeliveryError('slow down', { retryAfterMs: 4000 });
  };
  rig.waiting.push(delivery(1, { revision: 2 }));
  await until(() => failedCount === 1, 'the edit that fails');
  rig.state.fail = () => undefined;
  rig.state.reportFails = false;
  const isReported = (revision: number) => () =>
    rig.outcomes.some((report) => report.revision === revision && report.outcome.kind === 'delivered');
  await until(isReported(1), 'the report of where it stands');
  rig.state.nowMs += 10_000;
  rig.waiting.push(delivery(1, { revision: 2 }));
  await until(isReported(2), 'the newer one');
  expect(rig.shown.map(({ order }) => order)).toEqual(['post', 'update']);
  await rig.stop(running);
});

it('a surface that is down is reported, and nothing says that the bot is alive', async () => {
  const rig = createRig();
  rig.state.isPlatformUp = false;
  const running = rig.start();
  await until(() => rig.reports.length >= 2, 'the reports');
  expect(rig.reports).not.toContain(true);
  expect(rig.state.aliveCount).toBe(0);
  rig.state.isPlatformUp = true;
  await until(() => rig.state.aliveCount > 0, 'the sign of life');
  expect(rig.reports).toContain(true);
  await rig.stop(running);
});

it('an engine that is silent for a minute is said once where people listen, and said again when it is back', async () => {
  const rig = createRig();
  const running = rig.start();
  await until(() => rig.saved.length === 1 && rig.state.aliveCount > 0, 'the known places');
  rig.state.isEngineUp = false;
  rig.state.nowMs += 59_000;
  await rig.looks();
  expect(rig.shown).toEqual([]);
  const aliveCount = rig.state.aliveCount;
  rig.state.nowMs += 62_000;
  await until(() => rig.shown.length === 1, 'the notice');
  rig.state.nowMs += 600_000;
  await rig.looks();
  expect(rig.shown).toEqual([{ order: 'post', place: 'C1', title: 'The engine does not answer' }]);
  expect(rig.posts[0]?.isNotifying).toBe(true);
  expect(rig.state.aliveCount - aliveCount).toBeLessThanOrEqual(1);
  rig.state.isEngineUp = true;
  await until(() => rig.shown.length === 2, 'the end of the silence');
  expect(rig.shown[1]?.title).toBe('The engine answers again');
  expect(rig.posts[1]?.parentRef).toEqual({ ts: '1' });
  await rig.stop(running);
});

it.each(['the engine is silent', 'it is back'])(
  'a place that could not be told that %s is told later, once',
  async (what) => {
    const rig = createRig();
    const other = { ...delivery(1).place, place: 'C2' };
    rig.state.otherPlaces = [other];
    const running = rig.start();
    await until(() => rig.saved.length === 1, 'the known places');
    let failedCount = 0;
    const title = what === 'it is back' ? 'The engine answers again' : 'The engine does not answer';
    rig.state.fail = (order) => {
      if (order.title !== title || order.place !== 'C1') return undefined;
      failedCount += 1;
      return new DeliveryError('Slack is away', failedCount === 1 ? { retryAfterMs: 1000 } : {});
    };
    rig.state.isEngineUp = false;
    rig.state.nowMs += 61_000;
    await until(() => rig.shown.some(({ place }) => place === 'C2'), 'the notice in the other place');
    if (what === 'it is back') {
      await until(() => rig.shown.length === 2, 'the notice in both places');
      rig.state.isEngineUp = true;
    }
    await until(() => failedCount === 1, 'the first failure');
    // Nobody is asked again at once, but every few seconds.
    await rig.looks();
    expect(failedCount).toBe(1);
    rig.state.nowMs += 5000;
    await until(() => failedCount === 2, 'the second try');
    rig.state.fail = () => undefined;
    rig.state.nowMs += 60_000;
    const told = () => rig.shown.filter((one) => one.title === title).map(({ place }) => place);
    await until(() => told().length === 2, 'the notice where it failed');
    await rig.looks();
    expect(told()).toEqual(['C2', 'C1']);
    await rig.stop(running);
  },
);

it('places that nobody subscribed are not told of the engine', async () => {
  const rig = createRig();
  rig.state.isSubscribed = false;
  const running = rig.start();
  await until(() => rig.reports.length > 1, 'a probe');
  rig.state.isEngineUp = false;
  rig.state.nowMs += 120_000;
  await rig.looks();
  expect(rig.shown).toEqual([]);
  await rig.stop(running);
});

it('remembered places are told even when the engine was silent from the start', async () => {
  const rig = createRig({ places: { load: async () => [delivery(1).place], save: async () => undefined } });
  rig.state.isEngineUp = false;
  const running = rig.start();
  await new Promise((resolve) => setImmediate(resolve));
  rig.state.nowMs += 61_000;
  await until(() => rig.shown.length === 1, 'the notice');
  await rig.stop(running);
});

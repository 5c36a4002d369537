import { expect, test } from 'vitest';
import type { ApiAnswer, WhoamiView } from '../../bot/api-call.ts';
import type { Asker } from '../../bot/web/ask-engine.ts';
import { createRateWindow } from '../../bot/web/rate-window.ts';
import { createSessionGate } from '../../bot/web/session-gate.ts';
import { hourMs, minuteMs } from '../../domain/units.ts';

const limits = { strangersAtOnce: 3, strangersPerAddress: { countMax: 5, perMs: minuteMs } };
const whoami: WhoamiView = {
  ...{ name: 'ana', roles: ['viewer'], grants: [], via: 'web', isLinked: true },
  ...{ hasAuthenticator: false, isOnCall: false },
};
const nobodys: ApiAnswer = {
  kind: 'refusal',
  refusal: { kind: 'unauthenticated', message: 'This is no session.', nextStep: null, candidates: [] },
};

/** A gate before an engine that answers when the test says so. */
function gateWith(answer: ApiAnswer) {
  const time = { nowMs: 0 };
  const waiting: (() => void)[] = [];
  const asked: string[] = [];
  const gate = createSessionGate(limits, () => time.nowMs);
  const engine: Asker['engine'] = {
    ask: async (_call, { session }) => {
      asked.push(session ?? '');
      await new Promise<void>((resolve) => waiting.push(resolve));
      return answer;
    },
  };
  const admit = (session: string, address = '192.0.2.1') =>
    gate.admit({ engine, session, address, signal: new AbortController().signal }).then(
      () => 'admitted',
      (error: { status?: number }) => error.status,
    );
  const engineAnswers = () => {
    for (const resolve of waiting.splice(0)) resolve();
  };
  return { gate, time, asked, admit, engineAnswers };
}

test('of sessions that it has never heard of, the engine is asked about so many at once, and about no known one', async () => {
  const { gate, asked, admit, engineAnswers } = gateWith({ kind: 'whoami', whoami });
  gate.welcome('known');
  const outcomes = Array.from({ length: 10 }, (_, index) => admit(`stranger-${index}`, `192.0.2.${index}`));
  expect(await admit('known')).toBe('admitted');
  engineAnswers();
  expect(await Promise.all(outcomes)).toEqual([...Array(3).fill('admitted'), ...Array(7).fill(429)]);
  expect(asked).toEqual(['stranger-0', 'stranger-1', 'stranger-2']);
  // Whoever was somebody's is known from then on.
  expect(await admit('stranger-0')).toBe('admitted');
  expect(asked).toHaveLength(3);
});

test('an address whose sessions were nobody’s waits; other addresses and known sessions do not', async () => {
  const { gate, time, asked, admit, engineAnswers } = gateWith(nobodys);
  const tryOne = async (session: string, address?: string) => {
    const outcome = admit(session, address);
    engineAnswers();
    const status = await outcome;
    // As the server does for whatever the engine refused.
    if (status === 401) gate.refused(session, address ?? '192.0.2.1');
    return status;
  };
  const statuses: unknown[] = [];
  for (let count = 0; count < 8; count += 1) statuses.push(await tryOne(`invented-${count}`));
  expect(statuses).toEqual([401, 401, 401, 401, 401, 429, 429, 429]);
  expect(asked).toHaveLength(5);
  gate.welcome('known');
  expect(await admit('known')).toBe('admitted');
  expect(await tryOne('invented', '192.0.2.2')).toBe(401);
  time.nowMs = minuteMs;
  expect(await tryOne('invented-9')).toBe(401);
});

test('a session that was refused, or has had its life, is known no more', () => {
  const { gate, time } = gateWith(nobodys);
  for (const session of ['ended', 'left', 'old']) gate.welcome(session);
  gate.refused('ended', '192.0.2.1');
  gate.forget('left');
  expect(['ended', 'left', 'old'].map(gate.isKnown)).toEqual([false, false, true]);
  time.nowMs = 12 * hourMs;
  expect(gate.isKnown('old')).toBe(false);
  for (let count = 0; count < 6000; count += 1) gate.welcome(`session-${count}`);
  expect([gate.isKnown('session-0'), gate.isKnown('session-5999')]).toEqual([false, true]);
});

test('a window can be looked at without counting, and gives back what should not have counted', () => {
  let nowMs = 0;
  const window = createRateWindow({ countMax: 2, perMs: 1000 }, () => nowMs);
  expect([window.look('a'), window.take('a'), window.take('a'), window.look('a')]).toEqual([
    ...[undefined, undefined, undefined, 1000],
  ]);
  window.giveBack('a');
  expect([window.look('a'), window.take('a'), window.take('a')]).toEqual([undefined, undefined, 1000]);
  nowMs = 1000;
  window.giveBack('a');
  expect([window.take('a'), window.take('a'), window.take('a')]).toEqual([undefined, undefined, 1000]);
});

import type { EventView } from '../protocol/control-api.ts';
import type { ApiAnswer } from './api-call.ts';
import type { EngineClient } from './engine-client.ts';

/** What this terminal has ordered: its cards have said it already, and the same event need not be said again. */
export type OwnOrders = {
  readonly ask: EngineClient['ask'];
  /** Ends when no order is under way: its event may come before its answer. */
  readonly settled: () => Promise<void>;
  /** True for an event that a card of this terminal has told. Of equal texts only the first is. */
  readonly isTold: (event: EventView) => boolean;
};

const toldCountMax = 100;

export function createOwnOrders(engine: Pick<EngineClient, 'ask'>): OwnOrders {
  const runs = new Set<string>();
  const texts: string[] = [];
  let underWay: Promise<unknown> = Promise.resolve();
  const remember = (answer: ApiAnswer) => {
    if (answer.kind !== 'order') return;
    const order = answer.answer;
    if (order.kind === 'run-started') runs.add(order.runId);
    if (order.kind === 'approval' && order.approval.runId !== null) runs.add(order.approval.runId);
    if (order.kind === 'done' || order.kind === 'approval') texts.push(order.message);
    if (texts.length > toldCountMax) texts.shift();
  };
  return {
    ask: (call, options) => {
      const asking = engine.ask(call, options).then((answer) => {
        remember(answer);
        return answer;
      });
      // Whoever asked hears of the error; here it only ends the waiting.
      if ('body' in call) underWay = asking.catch(() => undefined);
      return asking;
    },
    settled: async () => {
      await underWay;
    },
    isTold: (event) => {
      if (event.runId !== null && runs.has(event.runId)) return true;
      const index = texts.indexOf(event.text);
      if (index < 0) return false;
      texts.splice(index, 1);
      return true;
    },
  };
}

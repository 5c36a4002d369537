import { randomUUID } from 'node:crypto';
import type { EngineClient } from '../bot/engine-client.ts';
import { followRun } from '../bot/run-follower.ts';

const limitMs = 20_000;

/** Cleans up the drills that are still open: their machines are processes of their own and would outlive the site. */
export async function endDrills(engine: EngineClient, say: (line: string) => void): Promise<void> {
  const signal = AbortSignal.timeout(limitMs);
  const answer = await engine.ask({ kind: 'machines' }, { signal });
  const drilled = answer.kind === 'machines' ? answer.machines.filter((machine) => machine.drill !== null) : [];
  for (const { name } of drilled) {
    say(`Cleaning up the test failover of ${name} …`);
    const order = { kind: 'cleanup' as const, body: { machine: name, note: 'the demo was stopped' } };
    const started = await engine.ask(order, { idempotencyKey: randomUUID(), signal });
    if (started.kind !== 'order' || started.answer.kind !== 'run-started') continue;
    const looks = followRun(started.answer.runId, { engine, nowMs: () => Date.now(), signal, pauseMs: 100 });
    for await (const look of looks) if (look.kind === 'refused') return;
  }
}

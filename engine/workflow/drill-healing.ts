import { openDrills } from '../store/drills.ts';
import { appendEvent } from '../store/events.ts';
import { drillPlan } from './plan-text.ts';
import type { StepDeps } from './run-context.ts';

/** Starts again whatever an open drill has lost, such as its disk server; its machine then goes on. */
export async function healOpenDrills(deps: Pick<StepDeps, 'store' | 'target'>): Promise<void> {
  for (const drill of await deps.store.read(openDrills)) {
    if (drill.state !== 'open') continue;
    const outcome = await deps.target.healDrill(drillPlan.parse(drill.handle));
    if (outcome === 'nothing-to-do') continue;
    const text = `The disk server of ${drill.vmName} had ended and was started again.`;
    await deps.store.write((db) => appendEvent(db, { kind: 'drill-healed', runId: drill.runId, text }));
  }
}

import { conditionsOf } from '../../domain/alert-conditions.ts';
import { evaluate } from '../../domain/alert-evaluation.ts';
import { beginLook, loadWatches, saveWatches } from '../store/alert-watches.ts';
import { lockOpenAlerts } from '../store/alerts.ts';
import { appendEvent } from '../store/events.ts';
import type { Store } from '../store/open.ts';
import { applyChanges } from './apply-changes.ts';
import { giveAttention } from './attention.ts';
import { type FactSources, factsOfLook, gatherFacts } from './facts.ts';

export type EvaluationDeps = FactSources & { readonly store: Store };

/**
 * One look at everything: opens, raises and ends alerts, and asks again for attention, in one transaction. Call it every ten seconds on
 * one engine at a time.
 *
 * @param isFirstOfEngine this engine has just been started: the others may have tried to reach it meanwhile
 * Source: CHAT 5.3
 */
export async function evaluateAlerts(deps: EvaluationDeps, isFirstOfEngine = false): Promise<void> {
  const gathered = await deps.store.read((db) => gatherFacts(db, deps));
  await deps.store.write(async (db) => {
    const look = await beginLook(db, { queuedBytes: gathered.queuedBytes, isFirstOfEngine });
    const { nowMs, isAfterGap } = look;
    const open = await lockOpenAlerts(db);
    const watches = await loadWatches(db);
    const found = conditionsOf(factsOfLook(gathered, look));
    const evaluation = evaluate({ ...found, watches, open, isAfterGap }, nowMs);
    await saveWatches(db, watches, evaluation.watches);
    const events = await applyChanges(db, evaluation.changes, { open, nowMs });
    const changedIds = new Set(evaluation.changes.flatMap((change) => (change.kind === 'open' ? [] : [change.id])));
    const untouched = open.filter((alert) => !changedIds.has(alert.id));
    events.push(...(await giveAttention(db, untouched, nowMs)));
    for (const event of events) await appendEvent(db, event);
  });
}

import { describeCauses } from '../../domain/outage.ts';
import { dayMs } from '../../domain/units.ts';
import type { Duty } from '../schedule.ts';
import { deleteOldAlerts } from '../store/alerts.ts';
import { deleteOldMessages } from '../store/messages.ts';
import type { Store } from '../store/open.ts';
import { sayAlive } from './alive-file.ts';
import { type EvaluationDeps, evaluateAlerts } from './evaluation.ts';
import { callPagers } from './pager.ts';
import { createProbes, type ProbeTargets } from './probes.ts';

export type AlertingDeps = {
  readonly store: Store;
  readonly engineName: string;
  readonly heartbeatEveryMs: number;
  readonly probeTargets: ProbeTargets;
  readonly pagerUrl: string | undefined;
  /** What the watchdog looks at. */
  readonly aliveFile: string;
  readonly nowMs: () => number;
  readonly log: { readonly warn: (message: string) => void; readonly info: (message: string) => void };
};

const messageRetentionMs = 30 * dayMs;
const alertRetentionMs = 90 * dayMs;

/** What the schedule does for alerts. Not at the full five seconds, where most of the other duties are. Source: CHAT 5.3, RELIABILITY I8 */
export function alertingDuties(deps: AlertingDeps): Duty[] {
  const { store, pagerUrl } = deps;
  const probes = createProbes(deps.probeTargets);
  const sources = {
    store,
    heartbeatEveryMs: deps.heartbeatEveryMs,
    processServers: deps.probeTargets.processServers,
    ownCredentials: probes.credentials,
    probes: probes.found,
  };
  return [
    // Each engine tries for itself: whichever evaluates next has tried a short time ago. Two in a row must fail before anybody is told.
    { name: 'probes', when: '2-59/15 * * * * *', work: () => probes.round(), isOnEveryEngine: true },
    { name: 'alerts', when: '3-59/10 * * * * *', work: evaluation(sources) },
    { name: 'pager', when: '8-59/10 * * * * *', work: () => callPagers({ store, pagerUrl }) },
    { name: 'alive', when: '6-59/10 * * * * *', work: aliveCheck(deps), isOnEveryEngine: true },
    {
      name: 'old messages',
      when: '40 23 * * * *',
      work: async () => {
        await store.write((db) => deleteOldMessages(db, messageRetentionMs));
        await store.write((db) => deleteOldAlerts(db, alertRetentionMs));
      },
    },
  ];
}

function evaluation(deps: EvaluationDeps): () => Promise<void> {
  let isFirst = true;
  return async () => {
    await evaluateAlerts(deps, isFirst);
    isFirst = false;
  };
}

/** Says why it is silent once, not at every look. */
function aliveCheck(deps: AlertingDeps): () => Promise<void> {
  const { store, engineName, nowMs, log } = deps;
  let said: string | undefined;
  return async () => {
    const why = await sayAlive({ store, engineName, file: deps.aliveFile, nowMs }).catch(describeCauses);
    if (why !== undefined && why !== said) log.warn(`says nothing to the watchdog: ${why}`);
    if (why === undefined && said !== undefined) log.info('says to the watchdog again that all is well');
    said = why;
  };
}

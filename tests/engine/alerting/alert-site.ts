import { expect } from 'vitest';
import type { CredentialFacts, ProbeFacts } from '../../../domain/alert-facts.ts';
import { evaluateAlerts } from '../../../engine/alerting/evaluation.ts';
import { orderAlert } from '../../../engine/alerting/orders.ts';
import { listAlertViews } from '../../../engine/store/alerts.ts';
import { listEvents } from '../../../engine/store/events.ts';
import type { Store } from '../../../engine/store/open.ts';
import type { AlertView } from '../../../protocol/chat-api.ts';
import { execute, forgetAll, openWorkspace } from '../messages/outbox.ts';
import { protectMachines, type TestMachine } from '../workflow/protected-machine.ts';

/** What tests change between two looks. */
export type Seen = { machines: TestMachine[]; probes: ProbeFacts; credentials: CredentialFacts[] };

/** Looks at a store as the engine does every ten seconds; time passes as the tests want it. */
export function createAlertSite(store: Store) {
  const seen: Seen = { machines: [], probes: nothingTried, credentials: [] };
  const hear = () => execute(store, 'update agents set last_seen_at = now()');
  const sources = () => ({
    store,
    heartbeatEveryMs: 2000,
    processServers: ['https://127.0.0.1:9443'],
    ownCredentials: () => seen.credentials,
    probes: () => seen.probes,
  });
  const lookUnheard = () => evaluateAlerts(sources());
  const look = async () => {
    await hear();
    await lookUnheard();
  };
  const earlier = (field: string, seconds: number) => `'${field}', (watch->>'${field}')::bigint - ${seconds * 1000}`;
  /** What the looks remember is that much older. */
  const letPass = (seconds: number) =>
    execute(
      store,
      `update alert_watches set watch = watch || jsonb_build_object(${[
        'badSinceMs',
        'clearSinceMs',
        'lowerSinceMs',
        'takenAtMs',
      ]
        .map((field) => earlier(field, seconds))
        .join()})`,
    );
  /** The machine's newest point is that old. */
  const age = (name: string, seconds: number) =>
    execute(
      store,
      `update recovery_points set taken_at = now() - interval '${seconds} s'
        where machine_id = (select id from protected_machines where name = '${name}')`,
    );
  const alertsNow = () => store.read((db) => listAlertViews(db));
  /** Looks, and once more after so many seconds. */
  const lookAgainAfter = async (seconds: number) => {
    await look();
    await letPass(seconds);
    await look();
  };
  return {
    seen,
    hear,
    look,
    lookUnheard,
    letPass,
    age,
    alertsNow,
    lookAgainAfter,
    async begin() {
      await forgetAll(store);
      await execute(store, 'truncate audit_checks, bot_credentials');
      await openWorkspace(store);
      seen.machines = await protectMachines(store, ['vm-7', 'vm-8']);
      seen.probes = nothingTried;
      seen.credentials = [];
      await execute(store, `update agents set certificate_expires_at = now() + interval '7 d'`);
      await look();
    },
    async onlyAlert(): Promise<AlertView> {
      const [alert, ...more] = await alertsNow();
      expect(more).toEqual([]);
      return alert!;
    },
    eventsNow: async () =>
      (await store.read((db) => listEvents(db, 0))).filter((event) => event.kind.startsWith('alert-')),
    async makeLag(name = 'vm-7', seconds = 600) {
      await age(name, seconds);
      await lookAgainAfter(31);
    },
    async recover(name = 'vm-7') {
      await age(name, 5);
      await lookAgainAfter(60);
    },
    order: (kind: 'ack' | 'unack' | 'unsnooze' | 'escalate', person = 'ana') =>
      store.write(async (db) => orderAlert(db, { kind, alertId: (await listAlertViews(db))[0]!.id, person })),
  };
}

export type AlertSite = ReturnType<typeof createAlertSite>;

const nothingTried: ProbeFacts = { vault: undefined, processServers: undefined, disks: undefined };

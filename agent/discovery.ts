import { createHash } from 'node:crypto';
import { existsSync } from 'node:fs';
import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { OutageError } from '../domain/outage.ts';
import type { GuestReport } from '../protocol/agent-api.ts';
import { machineName } from '../protocol/api-fields.ts';
import type { AgentConfig } from './config.ts';
import type { AgentLog } from './machine-context.ts';
import type { ChangeTracker } from './tracker/change-tracker.ts';
import { openDiskImageTracker } from './tracker/disk-image.ts';
import { openQemuGuestTracker } from './tracker/qemu-guest.ts';

/** Finds the guests of this host and keeps one tracker for each: QEMU's monitor serves one client at a time. */
export type Discovery = {
  /** What heartbeats say. A guest that cannot be asked now is reported as it was last seen. */
  readonly reports: () => Promise<GuestReport[]>;
  readonly trackerOf: (guestName: string) => ChangeTracker | undefined;
  readonly close: () => Promise<void>;
};

type KnownGuest = {
  readonly tracker: ChangeTracker;
  report: GuestReport | undefined;
  askedAtMs: number;
  isSilent: boolean;
};

/** Disks are rarely added or removed; asking more often would only cost. */
const askAgainAfterMs = 10_000;

export function createDiscovery(deps: {
  readonly config: AgentConfig;
  readonly workFolder: string;
  readonly monotonicMs: () => number;
  readonly log: AgentLog;
}): Discovery {
  const guests = new Map<string, KnownGuest>();
  const add = (name: string, tracker: () => ChangeTracker) => {
    if (guests.has(name)) return;
    guests.set(name, { tracker: tracker(), report: undefined, askedAtMs: Number.NEGATIVE_INFINITY, isSilent: false });
  };
  const refresh = async () => {
    for (const image of deps.config.images) add(image.name, () => imageTracker(deps.config, image));
    for (const name of await qemuGuestNames(deps.config.guestFolder)) add(name, () => qemuTracker(deps, name));
  };
  return {
    async reports() {
      await refresh();
      const reports = await Promise.all([...guests].map(([name, guest]) => askGuest(deps, name, guest)));
      return reports.filter((report) => report !== undefined);
    },
    trackerOf: (name) => guests.get(name)?.tracker,
    async close() {
      await Promise.allSettled([...guests.values()].map((guest) => guest.tracker.close()));
    },
  };
}

async function qemuGuestNames(folder: string | undefined): Promise<string[]> {
  if (folder === undefined) return [];
  const names = await readdir(folder).catch((cause: unknown) => {
    throw new OutageError(`look for guests in ${folder}`, {
      cause,
      retryable: true,
      nextStep: 'Create the folder, or correct guestFolder in the agent’s configuration.',
    });
  });
  return names
    .filter((name) => name.endsWith('.qmp'))
    .map((name) => name.slice(0, -'.qmp'.length))
    .filter((name) => machineName.safeParse(name).success);
}

function qemuTracker(deps: { config: AgentConfig; workFolder: string }, name: string): ChangeTracker {
  const guestAgentPath = join(deps.config.guestFolder ?? '', `${name}.qga`);
  return openQemuGuestTracker({
    socketPath: join(deps.config.guestFolder ?? '', `${name}.qmp`),
    ...(existsSync(guestAgentPath) ? { guestAgentPath } : {}),
    trackingId: trackingIdOf(name),
    workFolder: deps.workFolder,
    fleeceBytesMax: deps.config.fleeceBytesMax,
  });
}

function imageTracker(config: AgentConfig, image: AgentConfig['images'][number]): ChangeTracker {
  const workFolder = join(config.stateFolder, 'images');
  return openDiskImageTracker({ paths: image.paths, trackingId: trackingIdOf(image.name), workFolder });
}

/** By the guest's name, because a guest is looked at before it has a machine id. */
function trackingIdOf(name: string): string {
  const hash = createHash('sha256').update(name).digest('hex').slice(0, 12);
  return `${name.replace(/[^A-Za-z0-9-]/g, '_').slice(0, 40)}-${hash}`;
}

async function askGuest(
  deps: { monotonicMs: () => number; log: AgentLog },
  name: string,
  guest: KnownGuest,
): Promise<GuestReport | undefined> {
  if (deps.monotonicMs() - guest.askedAtMs < askAgainAfterMs) return guest.report;
  guest.askedAtMs = deps.monotonicMs();
  try {
    const { tracker } = guest;
    const [tracking, disks, hardware] = await Promise.all([tracker.describe(), tracker.disks(), tracker.hardware()]);
    guest.report = { name, kind: tracker.kind, tracking: tracking.slice(0, 300), disks: [...disks], hardware };
    if (guest.isSilent) deps.log.info({ guest: name }, 'the guest answers again');
    guest.isSilent = false;
  } catch (error) {
    // A stopped guest is no news each time; its replication says in its own report that it fails.
    if (!guest.isSilent) deps.log.warn({ guest: name, err: error }, 'the guest does not answer');
    guest.isSilent = true;
  }
  return guest.report;
}

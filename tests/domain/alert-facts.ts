import type { AlertFacts, HostFacts, MachineFacts, SpoolFacts } from '../../domain/alert-facts.ts';

export const minute = 60_000;

export function machineFacts(name: string, changes: Partial<MachineFacts> = {}): MachineFacts {
  return {
    name,
    host: 'hv-1',
    processServer: undefined,
    protection: 'protected',
    lagMs: 10_000,
    thresholds: { warnMs: minute, criticalMs: 3 * minute },
    resyncRequired: undefined,
    isResyncAsked: false,
    failing: undefined,
    mutedWhy: undefined,
    runningAlthoughHeldAtMs: undefined,
    ...changes,
  };
}

export function hostFacts(name: string, machineNames: readonly string[], silentMs = 1000): HostFacts {
  return { name, silentMs, machineNames, spool: undefined };
}

/** A host whose spool, and the file system below it, are so full, in percent. */
export function hostWithSpool(usedPercent: number, fileSystemPercent: number | null, silentMs = 1000): HostFacts {
  const usedBytes = fileSystemPercent ?? 0;
  const fileSystem = fileSystemPercent === null ? null : { usedBytes, freeBytes: 100 - usedBytes };
  const spool: SpoolFacts = { usedBytes: usedPercent * 2 ** 20, bytesMax: 100 * 2 ** 20, fileSystem };
  return { ...hostFacts('hv-1', ['vm-7'], silentMs), spool };
}

/** A site where all is well. */
export function alertFacts(changes: Partial<AlertFacts> = {}): AlertFacts {
  return {
    nowMs: 0,
    resumedAtMs: -1e9,
    heartbeatEveryMs: 2000,
    machines: [],
    hosts: [],
    drills: [],
    messages: { dead: [], waiting: [] },
    reviews: [],
    credentials: [],
    auditProblem: undefined,
    probes: {
      vault: { description: '/vault', failure: undefined },
      processServers: [{ url: 'https://ps-1:9443', failure: undefined }],
      disks: [{ name: 'The state folder', usedPercent: 40 }],
    },
    queuedBytes: { now: 0, before: 0 },
    ...changes,
  };
}

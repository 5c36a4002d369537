import os from 'node:os';
import { type OpenDisk, verifyByReading } from './disk-reading.ts';
import { deleteDrillFolder, drillsIn, makeDrillFolder, placeOf } from './drill-folder.ts';
import { type DrillPlan, machineProcessName, type Target } from './target.ts';

export type DiskCheckTargetDeps = { readonly stateFolder: string; readonly openDisk: OpenDisk };

const note = 'No machine was started: this host has no QEMU, so the disks were read and authenticated instead.';

/** For hosts without a hypervisor: a drill reads the point's disks, every byte of them, and says that it booted nothing. */
export function createDiskCheckTarget({ stateFolder, openDisk }: DiskCheckTargetDeps): Target {
  const pathsOf = (plan: DrillPlan) => placeOf(stateFolder, plan);
  return {
    describe: async () => ({
      target: `disk check on ${os.hostname()}`,
      network: 'none',
      accelerator: 'none (no machine is started)',
    }),
    check: nothing,
    prepareDrill: (plan) => makeDrillFolder(pathsOf(plan)),
    startDiskServer: nothing,
    stopDiskServer: nothing,
    createOverlays: nothing,
    startMachine: async (plan) => ({
      vmName: machineProcessName(plan),
      accelerator: 'none',
      memoryBytes: 0,
      cpuCount: 0,
      notes: [note],
    }),
    stopMachine: nothing,
    verifyBoot: (plan) => verifyByReading(plan, openDisk),
    verifyWithoutBoot: (plan, onProgress) => verifyByReading(plan, openDisk, onProgress),
    removeDrill: (plan) => deleteDrillFolder(pathsOf(plan)),
    drillState: async (plan) => ({
      folder: (await drillsIn(stateFolder)).includes(plan.drillId) ? 'present' : 'absent',
      diskServer: { kind: 'not-started' },
      machine: { kind: 'not-started' },
    }),
    healDrill: async () => 'nothing-to-do',
    fillDisks: async () => 'local',
    drillsPresent: () => drillsIn(stateFolder),
  };
}

/** A step that this target does not need. */
async function nothing(): Promise<void> {}

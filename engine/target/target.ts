import type { DiskId, DrillId, RunId } from '../../domain/ids.ts';
import type { Position } from '../../domain/position.ts';
import type { MachineHardware } from '../../protocol/point-manifest.ts';

/**
 * A place where a recovery point is started again, as the steps of a workflow use it.
 *
 * Every step is keyed by the drill's id, compares what should be with what is there, and may run any number of times: a step that
 * is repeated after a crash adopts what the first run made. Steps throw OutageError with a next step when the outside world fails.
 *
 * ```
 * step                 undo
 * prepareDrill         removeDrill
 * startDiskServer      stopDiskServer
 * createOverlays       removeDrill (they are files of the drill's folder)
 * startMachine         stopMachine
 * verifyBoot           none: it only looks
 * ```
 * `removeDrill` undoes everything at once and proves that nothing is left. Source: DESIGN 4, REPLICATION 1(iv)
 *
 * A failover is the same but for its end (`purpose` in the plan): its disks are kept and made durable, the machine may restart itself, and
 * `fillDisks` makes it independent of the vault.
 */
export type Target = {
  /** What a plan tells people before anything runs. */
  describe(): Promise<TargetDescription>;
  /** Throws OutageError with the exact install command when machines cannot be started here. */
  check(): Promise<void>;

  prepareDrill(plan: DrillPlan): Promise<void>;
  /** Serves the point's disks from the vault, read-only, from a process of its own. */
  startDiskServer(plan: DrillPlan): Promise<void>;
  stopDiskServer(plan: DrillPlan): Promise<void>;
  /** A throw-away disk over each served one: what the machine writes never reaches the vault. */
  createOverlays(plan: DrillPlan): Promise<void>;
  startMachine(plan: DrillPlan): Promise<StartedMachine>;
  stopMachine(plan: DrillPlan): Promise<void>;
  /** Waits until the machine has shown that it is up, or cannot come up, or the limit has passed. Never throws for a bad boot. */
  verifyBoot(plan: DrillPlan, options: { readonly limitMs: number }): Promise<BootVerification>;
  /** Reads every stored byte of the disks from the vault, for hosts on which no machine can be started. */
  verifyWithoutBoot(
    plan: DrillPlan,
    onProgress?: (doneBytes: number, totalBytes: number) => void,
  ): Promise<BootVerification>;
  /** Stops and deletes all of it; the console picture and the serial log stay. Throws when something would be left behind. */
  removeDrill(plan: DrillPlan): Promise<void>;

  drillState(plan: DrillPlan): Promise<DrillCondition>;
  /** Starts a disk server again that died while its machine runs; the machine then goes on. Call it every few seconds. */
  healDrill(plan: DrillPlan): Promise<'nothing-to-do' | 'disk-server-restarted'>;
  /**
   * For a failover, every few seconds: moves the blocks that its machine still reads from the vault into its own disks while it runs, and
   * starts again what has died of it. `local`: nothing of the vault is needed any more, and the disk server is gone.
   */
  fillDisks(plan: DrillPlan): Promise<'filling' | 'local'>;
  /** Ids of all drills that have something here, so that what no run knows of can be removed. */
  drillsPresent(): Promise<readonly DrillId[]>;
};

/** Everything that a drill needs, decided before it starts. Taken from a point's manifest. */
export type DrillPlan = {
  readonly drillId: DrillId;
  /** Left out: a drill. */
  readonly purpose?: 'drill' | 'failover' | undefined;
  /** The run that started the drill: the kept picture and serial log carry its id. */
  readonly runId: RunId;
  readonly machineName: string;
  readonly hardware: MachineHardware;
  /** In boot order. */
  readonly disks: readonly DrillDisk[];
};

export type DrillDisk = {
  readonly diskId: DiskId;
  readonly key: string;
  readonly sizeBytes: number;
  readonly position: Position;
};

export type TargetDescription = {
  /** E.g. `QEMU on backup-1`. */
  readonly target: string;
  readonly network: string;
  /** E.g. `tcg (KVM was probed: …)`. */
  readonly accelerator: string;
  /** The most memory that one machine may have here; undefined when nobody knows. */
  readonly memoryBytesMax?: number | undefined;
};

export type StartedMachine = {
  readonly vmName: string;
  /** `none`: no machine was started, the disks are checked instead. */
  readonly accelerator: 'kvm' | 'tcg' | 'none';
  readonly memoryBytes: number;
  readonly cpuCount: number;
  /** What differs from the protected machine, in sentences for people, e.g. less memory than it had. */
  readonly notes: readonly string[];
};

/** How a boot was judged; `explanation` is a sentence for people in every case. */
export type BootVerification = {
  readonly explanation: string;
  /** Path of the kept console picture; undefined when none could be taken. */
  readonly consolePicture: string | undefined;
  /** From the start of the machine to the verdict. */
  readonly elapsedMs: number;
} & (
  | { readonly kind: 'marker'; readonly verified: true; readonly marker: string }
  | { readonly kind: 'picture'; readonly verified: true }
  | { readonly kind: 'disks-read'; readonly verified: true; readonly readBytes: number }
  | { readonly kind: 'failed'; readonly verified: false; readonly why: BootFailure; readonly marker?: string }
);

/**
 * `guest-ended`: the machine switched itself off, reset or crashed; `read-errors`: the vault could not give bytes that the machine
 * asked for; `reads-unknown`: it came up, but whether reads failed could not be found out; `blank`: nothing on the console; `firmware-only`: the console never got past the firmware, or shows its failure;
 * `not-settled`: the console still changed at the limit and no marker came.
 */
export type BootFailure =
  | 'guest-ended'
  | 'read-errors'
  | 'reads-unknown'
  | 'blank'
  | 'firmware-only'
  | 'not-settled'
  | 'not-running';

export type ProcessCondition =
  | { readonly kind: 'not-started' }
  | { readonly kind: 'running'; readonly pid: number }
  /** It was started and is gone; its last words. */
  | { readonly kind: 'dead'; readonly lastLines: string };

export type DrillCondition = {
  readonly folder: 'present' | 'absent';
  readonly diskServer: ProcessCondition;
  readonly machine: ProcessCondition;
};

/** The name by which people and process lists know the machine. */
export function machineProcessName(plan: Pick<DrillPlan, 'drillId' | 'purpose'>): string {
  return `lifeboat-${plan.purpose ?? 'drill'}-${plan.drillId}`;
}

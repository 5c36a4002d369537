import { createHash } from 'node:crypto';
import { rm } from 'node:fs/promises';
import path from 'node:path';
import { invariant } from '../../domain/invariant.ts';
import { connectQmp, type QmpConnection } from '../../protocol/qmp.ts';
import type { Capture, ChangeTracker, PowerControl } from './change-tracker.ts';
import { removeViews, stopExportServer } from './copy-before-write.ts';
import { chooseRecord, listRecords, removeRecords, settleRecords } from './dirty-bitmap.ts';
import { removeFleeceFiles } from './fleece.ts';
import { type CaptureSteps, captureSteps, type PreparedDisk, takeViews } from './guest-capture.ts';
import { holdGuest, isGuestRunning, shutDownGuest, startGuest } from './guest-power.ts';
import { type GuestDevice, listGuestDevices, readHardware, refuseUnsafeQemu } from './qemu-machine.ts';

export type QemuGuestOptions = {
  /** QEMU's QMP unix socket; the tracker needs it for itself, QEMU serves one client at a time. */
  readonly socketPath: string;
  /** Names this machine's records in QEMU: its machine id. No colon. */
  readonly trackingId: string;
  /** For fleece files and the NBD socket; QEMU must be able to write there. */
  readonly workFolder: string;
  /** The largest fleece file per disk: what the guest may overwrite while one capture is read. Default 4 GiB. */
  readonly fleeceBytesMax?: number;
  readonly connectTimeoutMs?: number;
  /** The channel of the agent inside the guest (qemu-guest-agent), if QEMU offers one. */
  readonly guestAgentPath?: string | undefined;
  /** Other steps than the right ones, for tests that plant a bug. */
  readonly steps?: CaptureSteps;
};

const defaultFleeceBytesMax = 4 * 1024 ** 3;
const defaultConnectTimeoutMs = 10_000;

/**
 * Follows the disks of a running QEMU guest by its dirty bitmaps.
 *
 * The guest is never stopped and never sees an error of ours: a view that cannot be kept is given up (SnapshotBrokenError). Nothing is
 * kept outside QEMU, so an agent that was killed at any step finds everything again by name. Source: REPLICATION 1(i), 3b
 */
export function openQemuGuestTracker(options: QemuGuestOptions): ChangeTracker {
  invariant(/^[\w-]{1,64}$/.test(options.trackingId), 'a tracking id has 1 to 64 letters, digits, _ and -');
  return new QemuGuestTracker(options);
}

class QemuGuestTracker implements ChangeTracker {
  readonly kind = 'qemu-guest';
  #options: QemuGuestOptions;
  #connecting: Promise<QmpConnection> | undefined;
  #isCapturing = false;
  /** Our own node stands before each disk, and what is behind it does not show. */
  #hasViews = false;
  #description = 'QEMU dirty bitmaps';
  #closeViews: () => void = () => {};

  constructor(options: QemuGuestOptions) {
    this.#options = options;
  }

  readonly power: PowerControl = {
    isRunning: async () => isGuestRunning(await this.#connected()),
    shutDown: async (order) => {
      const { guestAgentPath } = this.#options;
      return shutDownGuest(await this.#connected(), { ...order, guestAgentPath });
    },
    start: async () => startGuest(await this.#connected()),
    hold: async () => holdGuest(await this.#connected()),
  };

  async describe(): Promise<string> {
    const qmp = await this.#connected();
    const hadViews = this.#hasViews;
    const devices = await listGuestDevices(qmp);
    if (!hadViews && !this.#hasViews) this.#description = descriptionOf(devices);
    return this.#description;
  }

  async disks() {
    const devices = await listGuestDevices(await this.#connected());
    return devices.map(({ key, sizeBytes }) => ({ key, sizeBytes }));
  }

  async hardware() {
    return readHardware(await this.#connected());
  }

  async capture(generation: number): Promise<Capture> {
    invariant(Number.isSafeInteger(generation) && generation >= 0, `capture ${generation} counts from 0`);
    invariant(!this.#isCapturing, 'the capture before this one was acknowledged or abandoned');
    this.#isCapturing = true;
    try {
      return await this.#capture(generation);
    } catch (error) {
      this.#isCapturing = false;
      throw error;
    }
  }

  async remove(): Promise<void> {
    const qmp = await this.#connected();
    await this.#removeViews(qmp);
    const records = await listRecords(qmp);
    await removeRecords(
      qmp,
      records.filter((record) => record.trackingId === this.#options.trackingId),
    );
    await stopExportServer(qmp, this.#exportSocketPath());
    await rm(this.#exportSocketPath(), { force: true });
  }

  async close(): Promise<void> {
    this.#closeViews();
    // A connection that failed was told to whoever asked for it; there is nothing to close.
    const qmp = await this.#connecting?.catch(() => undefined);
    this.#connecting = undefined;
    qmp?.close();
  }

  async #capture(generation: number): Promise<Capture> {
    const qmp = await this.#connected();
    await refuseUnsafeQemu(qmp);
    await this.#removeViews(qmp);
    const disks = await this.#settle(qmp, generation);
    const { workFolder, trackingId } = this.#options;
    this.#hasViews = true;
    try {
      const views = await takeViews(qmp, this.#options.steps ?? captureSteps, {
        disks,
        generation,
        trackingId,
        workFolder,
        exportSocketPath: this.#exportSocketPath(),
        fleeceBytesMax: this.#options.fleeceBytesMax ?? defaultFleeceBytesMax,
      });
      this.#closeViews = views.close;
      return {
        takenAtMs: views.takenAtMs,
        pauseMs: views.pauseMs,
        disks: views.views.map((view) => view.captured),
        acknowledge: () => this.#end(generation + 1),
        abandon: () => this.#end(generation),
      };
    } catch (error) {
      // What is left is put right now if QEMU still answers, else by the next connection; the first error is the one to tell.
      await this.#end(generation).catch(() => undefined);
      throw error;
    }
  }

  /** Takes the views out and keeps the records since capture `durable`. */
  async #end(durable: number): Promise<void> {
    invariant(this.#isCapturing, 'a capture is acknowledged or abandoned once');
    this.#isCapturing = false;
    this.#closeViews();
    const qmp = await this.#connected();
    await this.#removeViews(qmp);
    await this.#settle(qmp, durable);
  }

  /** Decides for each disk whether its records reach back to capture `generation`, and clears away all other records. */
  async #settle(qmp: QmpConnection, generation: number): Promise<PreparedDisk[]> {
    const devices = await listGuestDevices(qmp);
    const { trackingId } = this.#options;
    const records = (await listRecords(qmp)).filter((record) => record.trackingId === trackingId);
    const isAnyDiskRecorded = records.length > 0;
    const disks: PreparedDisk[] = [];
    for (const device of devices) {
      const ofDisk = records.filter((record) => record.node === device.node);
      const choice = chooseRecord(device, ofDisk, { generation, isAnyDiskRecorded });
      await settleRecords(qmp, choice);
      disks.push({ device, choice });
    }
    const elsewhere = records.filter((record) => !devices.some((device) => device.node === record.node));
    await removeRecords(qmp, elsewhere);
    return disks;
  }

  async #removeViews(qmp: QmpConnection): Promise<void> {
    await removeViews(qmp);
    await removeFleeceFiles(this.#options.workFolder, this.#options.trackingId);
    this.#hasViews = false;
  }

  /** Short, because a unix socket's path has at most 107 bytes. */
  #exportSocketPath(): string {
    const short = createHash('sha256').update(this.#options.trackingId).digest('hex').slice(0, 8);
    return path.join(this.#options.workFolder, `lb-${short}.nbd`);
  }

  /** One connection for all callers: each waits for the attempt before it, because QEMU would let a second one wait for ever. */
  #connected(): Promise<QmpConnection> {
    const previous = this.#connecting;
    this.#connecting = this.#reconnected(previous);
    return this.#connecting;
  }

  async #reconnected(previous: Promise<QmpConnection> | undefined): Promise<QmpConnection> {
    // Why the attempt before failed was told to its own caller; this one tries anew.
    const open = await previous?.catch(() => undefined);
    return open?.isOpen() ? open : this.#connect();
  }

  async #connect(): Promise<QmpConnection> {
    const timeoutMs = this.#options.connectTimeoutMs ?? defaultConnectTimeoutMs;
    const qmp = await connectQmp(this.#options.socketPath, { timeoutMs });
    try {
      // First of all: a killed agent's filter would fill its fleece for nothing.
      await this.#removeViews(qmp);
    } catch (error) {
      qmp.close();
      throw error;
    }
    return qmp;
  }
}

function descriptionOf(devices: readonly GuestDevice[]): string {
  const lasting = devices.filter((device) => device.driver === 'qcow2').length;
  if (lasting === devices.length) return 'QEMU dirty bitmaps, kept over a clean restart of QEMU';
  const count = `${devices.length - lasting} of ${devices.length} disks`;
  return `QEMU dirty bitmaps; after a restart of QEMU ${count} are compared block by block`;
}

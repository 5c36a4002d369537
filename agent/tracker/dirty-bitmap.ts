import type { QmpConnection } from '../../protocol/qmp.ts';
import { listNodes, type NodeBitmap } from './qemu-machine.ts';

/**
 * The record of changes of one disk since one capture: a dirty bitmap whose name carries all that a later agent must know.
 *
 * Two records rotate: record n holds what changed since capture n. While capture n + 1 is read, both exist. When it is durable,
 * record n goes; when it is given up, record n + 1 is merged back into record n. Source: REPLICATION 1(i)
 */
export type ChangeRecord = NodeBitmap & {
  readonly trackingId: string;
  /** The capture since which it records. */
  readonly generation: number;
  /** The disk's size when it was made: a resized disk must be read anew. */
  readonly sizeBytes: number;
  /** The disk's key: an image that was moved to another device must be read anew. */
  readonly key: string;
};

const namePattern = /^lifeboat:([^:]+):(\d+):(\d+):(.+)$/;

/** @param trackingId without a colon, e.g. a machine's id */
export function recordName(trackingId: string, generation: number, disk: { key: string; sizeBytes: number }): string {
  return `lifeboat:${trackingId}:${generation}:${disk.sizeBytes}:${disk.key}`;
}

/** The record that a bitmap's name says it is; undefined for bitmaps of others. */
export function parseRecord(bitmap: NodeBitmap): ChangeRecord | undefined {
  const found = namePattern.exec(bitmap.name);
  if (found === null) return undefined;
  const [, trackingId = '', generation, sizeBytes, key = ''] = found;
  return { ...bitmap, trackingId, generation: Number(generation), sizeBytes: Number(sizeBytes), key };
}

/** All change records in this QEMU, of whatever machine id. */
export async function listRecords(qmp: QmpConnection): Promise<ChangeRecord[]> {
  const { bitmaps } = await listNodes(qmp);
  return bitmaps.map(parseRecord).filter((record) => record !== undefined);
}

/** What the records of one disk are good for. */
export type RecordChoice =
  | {
      readonly kind: 'usable';
      /** The record since the caller's last durable capture. */
      readonly current: ChangeRecord;
      /** A later record of a capture that never became durable; its changes belong to `current`. */
      readonly mergeFrom: ChangeRecord | undefined;
      readonly obsolete: readonly ChangeRecord[];
    }
  | { readonly kind: 'unknown'; readonly why: string; readonly obsolete: readonly ChangeRecord[] };

export type RecordedDisk = { readonly key: string; readonly sizeBytes: number; readonly driver: string };

/**
 * Decides whether the records on a disk tell all that changed since capture `generation`. In doubt the answer is `unknown`.
 *
 * @param records those of this machine on this disk's node
 * @param isAnyDiskRecorded whether any disk of the machine has a record: tells a new disk from a restarted QEMU
 */
export function chooseRecord(
  disk: RecordedDisk,
  records: readonly ChangeRecord[],
  facts: { readonly generation: number; readonly isAnyDiskRecorded: boolean },
): RecordChoice {
  const unknown = (why: string): RecordChoice => ({ kind: 'unknown', why, obsolete: records });
  const { generation } = facts;
  if (generation === 0) return unknown('this is the first capture');
  const current = records.find((record) => record.generation === generation);
  const later = records.find((record) => record.generation === generation + 1);
  if (current === undefined) return unknown(whyMissing(disk, records, facts));
  const pair = later === undefined ? [current] : [current, later];
  if (pair.some((record) => record.isInconsistent)) {
    return unknown('the dirty bitmap is marked inconsistent: QEMU ended without saving it');
  }
  if (pair.some((record) => record.key !== disk.key)) return unknown(`the record belongs to disk ${current.key}`);
  if (pair.some((record) => record.sizeBytes !== disk.sizeBytes)) {
    return unknown(`the disk was resized from ${current.sizeBytes} to ${disk.sizeBytes} bytes`);
  }
  if (pair.every((record) => !record.isRecording)) return unknown('the dirty bitmap was switched off');
  const obsolete = records.filter((record) => !pair.includes(record));
  return { kind: 'usable', current, mergeFrom: later, obsolete };
}

function whyMissing(
  disk: RecordedDisk,
  records: readonly ChangeRecord[],
  facts: { readonly generation: number; readonly isAnyDiskRecorded: boolean },
): string {
  const newest = records.reduce((max, record) => Math.max(max, record.generation), 0);
  if (records.length > 0) return `the record of changes is of capture ${newest}, not of capture ${facts.generation}`;
  if (!facts.isAnyDiskRecorded) {
    return 'QEMU holds no record of changes: it was restarted, or the machine was not tracked in it before';
  }
  if (disk.driver === 'qcow2') return 'a new disk: QEMU holds no record of its changes';
  return 'a new disk, or QEMU was restarted (only qcow2 disks keep their record then)';
}

/**
 * Brings the records of one disk into the state of "nothing under way": at most record `generation` is left, recording.
 *
 * In one transaction, so that a kill in between cannot lose changes.
 */
export async function settleRecords(qmp: QmpConnection, choice: RecordChoice): Promise<void> {
  await removeRecords(qmp, choice.obsolete);
  if (choice.kind === 'unknown' || choice.mergeFrom === undefined) return;
  const { current, mergeFrom } = choice;
  const enable = { type: 'block-dirty-bitmap-enable', data: { node: current.node, name: current.name } };
  const merge = {
    type: 'block-dirty-bitmap-merge',
    data: { node: current.node, target: current.name, bitmaps: [mergeFrom.name] },
  };
  await qmp.execute('transaction', { actions: [...(current.isRecording ? [] : [enable]), merge] });
  await removeRecords(qmp, [mergeFrom]);
}

/** One bitmap at a time: QEMU refuses to remove an inconsistent one inside a transaction. */
export async function removeRecords(qmp: QmpConnection, records: readonly ChangeRecord[]): Promise<void> {
  for (const { node, name } of records) await qmp.execute('block-dirty-bitmap-remove', { node, name });
}

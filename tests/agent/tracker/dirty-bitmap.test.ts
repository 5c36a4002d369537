import { expect, test } from 'vitest';
import { type ChangeRecord, chooseRecord, parseRecord, recordName } from '../../../agent/tracker/dirty-bitmap.ts';

const disk = { key: 'disk0', sizeBytes: 1000, driver: 'qcow2' };
const record = (generation: number, changes: Partial<ChangeRecord> = {}): ChangeRecord => ({
  trackingId: 'mch_A',
  generation,
  key: 'disk0',
  sizeBytes: 1000,
  node: 'node0',
  name: recordName('mch_A', generation, disk),
  isRecording: true,
  isInconsistent: false,
  ...changes,
});
const choose = (records: readonly ChangeRecord[], generation: number, isAnyDiskRecorded = records.length > 0) =>
  chooseRecord(disk, records, { generation, isAnyDiskRecorded });

test('a name says all about its record', () => {
  const name = recordName('mch_A', 7, { key: 'scsi:0', sizeBytes: 12 });
  const bitmap = { node: 'n', name, isRecording: true, isInconsistent: false };
  expect(parseRecord(bitmap)).toMatchObject({ trackingId: 'mch_A', generation: 7, key: 'scsi:0', sizeBytes: 12 });
  expect(parseRecord({ ...bitmap, name: 'backup-7' })).toBeUndefined();
});

test('the record of the durable capture is used', () => {
  expect(choose([record(3)], 3)).toMatchObject({ kind: 'usable', current: { generation: 3 }, mergeFrom: undefined });
});

test('a later record, of a capture that never became durable, is merged back', () => {
  const choice = choose([record(3, { isRecording: false }), record(4)], 3);
  expect(choice).toMatchObject({ kind: 'usable', current: { generation: 3 }, mergeFrom: { generation: 4 } });
});

test('an older record, of a capture that became durable, goes', () => {
  const older = record(3, { isRecording: false });
  expect(choose([older, record(4)], 4)).toMatchObject({
    kind: 'usable',
    current: { generation: 4 },
    mergeFrom: undefined,
    obsolete: [older],
  });
});

test.each([
  { why: 'first capture', records: [record(1)], generation: 0 },
  { why: 'of capture 2, not of capture 5', records: [record(2)], generation: 5 },
  { why: 'of capture 5, not of capture 4', records: [record(5)], generation: 4 },
  { why: 'inconsistent', records: [record(3, { isInconsistent: true })], generation: 3 },
  {
    why: 'inconsistent',
    records: [record(3, { isRecording: false }), record(4, { isInconsistent: true })],
    generation: 3,
  },
  { why: 'resized from 900 to 1000', records: [record(3, { sizeBytes: 900 })], generation: 3 },
  { why: 'belongs to disk disk9', records: [record(3, { key: 'disk9' })], generation: 3 },
  { why: 'switched off', records: [record(3, { isRecording: false })], generation: 3 },
])('everything is unknown: $why', ({ why, records, generation }) => {
  const choice = choose(records, generation);
  expect(choice).toMatchObject({ kind: 'unknown', why: expect.stringContaining(why), obsolete: records });
});

test('without any record the words tell a new disk from a restarted QEMU', () => {
  expect(choose([], 3, true)).toMatchObject({ why: expect.stringContaining('a new disk') });
  expect(choose([], 3, false)).toMatchObject({ why: expect.stringContaining('restarted') });
});

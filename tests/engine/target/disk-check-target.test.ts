import { afterEach, expect, test } from 'vitest';
import { OutageError } from '../../../domain/outage.ts';
import { createDiskCheckTarget } from '../../../engine/target/disk-check-target.ts';
import { type DrillFixture, drillFixture, startDrill } from './drill-fixture.ts';
import { fileDiskReader } from './file-disk-reader.ts';

let fixture: DrillFixture | undefined;
afterEach(async () => {
  await fixture?.dispose();
  fixture = undefined;
});

test('on a host without QEMU a drill reads the disks, says that nothing was booted, and leaves nothing', async () => {
  fixture = await drillFixture();
  const { plan, stateFolder, imagePaths } = fixture;
  const openDisk = async () => fileDiskReader(imagePaths[0] ?? '');
  const target = createDiskCheckTarget({ stateFolder, openDisk });
  await target.check();
  const started = await startDrill(target, plan);
  expect(started).toMatchObject({ accelerator: 'none', notes: [expect.stringContaining('No machine was started')] });
  expect(await target.drillsPresent()).toEqual([plan.drillId]);
  const outcome = await target.verifyBoot(plan, { limitMs: 1 });
  expect(outcome).toMatchObject({ kind: 'disks-read', verified: true });
  expect(outcome.explanation).toContain('No machine was booted.');
  await target.removeDrill(plan);
  await target.removeDrill(plan);
  expect((await target.drillState(plan)).folder).toBe('absent');
});

test('a vault that cannot give the disks fails that drill', async () => {
  fixture = await drillFixture();
  const { plan, stateFolder } = fixture;
  const openDisk = async () => {
    throw new OutageError('open disk: segment 3 is missing', { retryable: false });
  };
  const target = createDiskCheckTarget({ stateFolder, openDisk });
  expect(await target.verifyBoot(plan, { limitMs: 1 })).toMatchObject({ kind: 'failed', why: 'read-errors' });
});

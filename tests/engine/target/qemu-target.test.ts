import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { mkdtemp, open, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { afterEach, describe, expect, test } from 'vitest';
import { counterOffsetBytes } from '../../../demo/guest/guest-disk.ts';
import { idFromBytes } from '../../../domain/ids.ts';
import { OutageError } from '../../../domain/outage.ts';
import { mebibyte } from '../../../domain/units.ts';
import { drillFolder, shortSocketFolder, socketPathBytesMax } from '../../../engine/target/drill-folder.ts';
import { type DrillFixture, drillFixture, startDrill, until } from './drill-fixture.ts';

const limitMs = 20_000;
let fixture: DrillFixture | undefined;

afterEach(async () => {
  await fixture?.dispose();
  fixture = undefined;
});

async function begin(options: Parameters<typeof drillFixture>[0] = {}): Promise<DrillFixture> {
  fixture = await drillFixture(options);
  return fixture;
}

const digest = async (file: string) =>
  createHash('sha256')
    .update(await readFile(file))
    .digest('hex');

/** Pids of all processes of this drill, by their command lines. */
function processesOf({ plan, stateFolder }: DrillFixture): number[] {
  const lines = execFileSync('ps', ['-eo', 'pid,args', '-ww']).toString().split('\n');
  const ours = lines.filter(
    (line) => line.includes(plan.drillId) && line.includes(line.includes('qemu') ? plan.drillId : stateFolder),
  );
  return ours.map((line) => Number.parseInt(line, 10));
}

async function pidOf({ target, plan }: DrillFixture, part: 'machine' | 'diskServer'): Promise<number> {
  const condition = (await target.drillState(plan))[part];
  if (condition.kind !== 'running') throw new Error(`the ${part} is ${condition.kind}`);
  return condition.pid;
}

describe('a drill', () => {
  test('boots from the served disks to the guest’s own marker and keeps a picture of its console', async () => {
    const { target, plan } = await begin();
    const started = await startDrill(target, plan);
    expect(started).toMatchObject({ vmName: `lifeboat-drill-${plan.drillId}`, accelerator: 'tcg', notes: [] });
    const outcome = await target.verifyBoot(plan, { limitMs });
    expect(outcome).toMatchObject({ kind: 'marker', verified: true, marker: 'machine=vm-7 disk0=0 disk1=0 agree=yes' });
    const picture = await readFile(outcome.consolePicture ?? '');
    expect(picture.subarray(1, 4).toString()).toBe('PNG');
  });

  test('changes nothing but its overlays', async () => {
    const { target, plan, imagePaths, stateFolder } = await begin();
    const before = await Promise.all(imagePaths.map(digest));
    await startDrill(target, plan);
    await target.verifyBoot(plan, { limitMs });
    const overlay = drillFolder(stateFolder, plan.drillId, plan.runId).overlay(1);
    // The guest writes its counter for ever: it reaches the overlay and nothing else.
    await until('the guest has written', async () => (await stat(overlay)).blocks * 512 > 300_000);
    expect(await Promise.all(imagePaths.map(digest))).toEqual(before);
  });

  test('gets the memory that the host can give, and says so when that is less', async () => {
    const { target, plan } = await begin({ memoryBytes: 8192 * mebibyte });
    const started = await startDrill(target, plan);
    expect(started.memoryBytes).toBe(512 * mebibyte);
    expect(started.notes).toEqual([expect.stringContaining('512 MiB of memory instead of 8 GiB')]);
  });

  test('leaves no process and no file when it is removed, but its picture and serial log stay', async () => {
    const made = await begin();
    const { target, plan, stateFolder } = made;
    await startDrill(target, plan);
    await target.verifyBoot(plan, { limitMs });
    expect(processesOf(made).length).toBe(2);
    const { folder, socketFolder } = drillFolder(stateFolder, plan.drillId, plan.runId);
    await target.removeDrill(plan);
    expect(processesOf(made)).toEqual([]);
    await expect(stat(folder)).rejects.toThrow('ENOENT');
    await expect(stat(socketFolder)).rejects.toThrow('ENOENT');
    expect((await readdir(path.join(stateFolder, 'pictures'))).sort()).toEqual([
      `${plan.runId}.png`,
      `${plan.runId}.serial.log`,
    ]);
    expect(await target.drillsPresent()).toEqual([]);
  });

  test('whose folder is deleted by hand ends its disk server by itself', async () => {
    const made = await begin();
    await made.target.prepareDrill(made.plan);
    await made.target.startDiskServer(made.plan);
    await rm(path.join(made.stateFolder, 'drills'), { recursive: true });
    await until('the disk server is gone', () => processesOf(made).length === 0);
  });
});

describe('every step run twice does what it does once', () => {
  test('the same processes run on, the same overlay is kept, and the verdict is the same', async () => {
    const made = await begin();
    const { target, plan, stateFolder } = made;
    const first = await startDrill(target, plan);
    const outcome = await target.verifyBoot(plan, { limitMs });
    const pids = processesOf(made).sort();
    const overlay = drillFolder(stateFolder, plan.drillId, plan.runId).overlay(0);
    const { ino } = await stat(overlay);
    // As another engine would after a crash of the first: it knows nothing but the plan.
    const second = await startDrill(made.targetWith({}), plan);
    expect(second).toEqual(first);
    expect(processesOf(made).sort()).toEqual(pids);
    expect((await stat(overlay)).ino).toBe(ino);
    const again = await target.verifyBoot(plan, { limitMs });
    expect(again).toMatchObject({ kind: 'marker', marker: outcome.kind === 'marker' ? outcome.marker : '' });
  });

  test('undoing twice is fine, also when nothing was ever done', async () => {
    const { target, plan } = await begin();
    await target.removeDrill(plan);
    await startDrill(target, plan);
    await target.stopMachine(plan);
    await target.stopMachine(plan);
    await target.stopDiskServer(plan);
    await target.stopDiskServer(plan);
    await target.removeDrill(plan);
    await target.removeDrill(plan);
  });

  test('a machine that was started just before a crash, so that only its process tells of it, is adopted', async () => {
    const made = await begin();
    const { target, plan, stateFolder } = made;
    await startDrill(target, plan);
    const pid = await pidOf(made, 'machine');
    await rm(drillFolder(stateFolder, plan.drillId, plan.runId).machineRecord);
    await target.startMachine(plan);
    expect(await pidOf(made, 'machine')).toBe(pid);
  });

  test('a process that only speaks of the drill is not taken for it', async () => {
    const made = await begin();
    const { target, plan } = made;
    await target.prepareDrill(plan);
    const { spawn } = await import('node:child_process');
    const impostor = spawn('sh', ['-c', 'sleep 300; true', `lifeboat-drill-${plan.drillId}`]);
    await target.removeDrill(plan);
    expect([impostor.exitCode, impostor.signalCode]).toEqual([null, null]);
    impostor.kill('SIGKILL');
  });
});

describe('what dies during a drill', () => {
  test('a killed disk server is started again and the machine goes on', async () => {
    const made = await begin();
    const { target, plan, stateFolder } = made;
    await startDrill(target, plan);
    await target.verifyBoot(plan, { limitMs });
    const [server, machine] = [await pidOf(made, 'diskServer'), await pidOf(made, 'machine')];
    process.kill(server, 'SIGKILL');
    await until('it is seen', async () => (await target.drillState(plan)).diskServer.kind === 'dead');
    expect(await target.healDrill(plan)).toBe('disk-server-restarted');
    expect(await target.healDrill(plan)).toBe('nothing-to-do');
    expect(await pidOf(made, 'machine')).toBe(machine);
    const { qmpSocket } = drillFolder(stateFolder, plan.drillId, plan.runId);
    const { connectQmp } = await import('../../../protocol/qmp.ts');
    const qmp = await connectQmp(qmpSocket, { timeoutMs: 5000 });
    const read = { 'command-line': 'qemu-io overlay0 "read 2M 64k"' };
    const answer = await qmp.execute('human-monitor-command', read).finally(() => qmp.close());
    expect(String(answer)).not.toMatch(/error|failed/i);
    expect(await target.verifyBoot(plan, { limitMs })).toMatchObject({ verified: true });
  });

  test('a disk server killed while the machine boots is started again by the verification itself', async () => {
    const made = await begin();
    const { target, plan } = made;
    await target.prepareDrill(plan);
    await target.startDiskServer(plan);
    await target.createOverlays(plan);
    await target.startMachine(plan);
    process.kill(await pidOf(made, 'diskServer'), 'SIGKILL');
    expect(await target.verifyBoot(plan, { limitMs })).toMatchObject({ kind: 'marker', verified: true });
  });

  test('a killed QEMU is reported at once, with the machine’s last words', async () => {
    const made = await begin();
    const { target, plan, stateFolder } = made;
    await startDrill(target, plan);
    await target.verifyBoot(plan, { limitMs });
    process.kill(await pidOf(made, 'machine'), 'SIGKILL');
    await writeFile(
      drillFolder(stateFolder, plan.drillId, plan.runId).serialLog,
      'mounting root\r\nit was never meant to be\r\n',
    );
    const startedMs = performance.now();
    const outcome = await target.verifyBoot(plan, { limitMs: 60_000 });
    expect(outcome).toMatchObject({ kind: 'failed', why: 'guest-ended' });
    expect(outcome.explanation).toContain('it was never meant to be');
    expect(performance.now() - startedMs).toBeLessThan(30_000);
    expect((await target.drillState(plan)).machine.kind).toBe('dead');
  });
});

describe('a boot that must not count', () => {
  async function storeCounter(image: string, count: number): Promise<void> {
    const sector = Buffer.alloc(512);
    sector.write('LIFEBOAT-COUNTER', 'latin1');
    sector.writeUInt32LE(count, 16);
    const file = await open(image, 'r+');
    await file.write(sector, 0, sector.length, counterOffsetBytes);
    await file.close();
  }
  async function imageOf(folder: string, sector: Buffer): Promise<string> {
    const image = Buffer.alloc(2 * mebibyte);
    sector.copy(image);
    const file = path.join(folder, 'boot.img');
    await writeFile(file, image);
    return file;
  }
  async function bootSector(code: string, isBootable = true): Promise<DrillFixture> {
    const folder = await mkdtemp(path.join(os.tmpdir(), 'target-image-'));
    const sector = Buffer.alloc(512);
    sector.write(code, 'hex');
    if (isBootable) sector.writeUInt16LE(0xaa55, 510);
    const image = await imageOf(folder, sector);
    const made = await begin({ imagePaths: [image] });
    return { ...made, dispose: () => made.dispose().then(() => rm(folder, { recursive: true })) };
  }

  test('a disk without a boot loader is seen on the console, though that shows a standing picture', async () => {
    const { target, plan } = await bootSector('00', false);
    await startDrill(target, plan);
    const outcome = await target.verifyBoot(plan, { limitMs: 6_000 });
    expect(outcome).toMatchObject({ kind: 'failed', why: 'firmware-only' });
    expect(outcome.explanation).toMatch(/not a bootable disk|No bootable device|Booting from/);
    expect(outcome.consolePicture).toBeDefined();
  });

  test('a guest that crashes is reported at once', async () => {
    // lidt of a zero-length table, then int3: a triple fault.
    const { target, plan } = await bootSector('fa0f011e107ccc0000000000000000000000000000000000');
    await startDrill(target, plan);
    const startedMs = performance.now();
    expect(await target.verifyBoot(plan, { limitMs: 60_000 })).toMatchObject({ kind: 'failed', why: 'guest-ended' });
    expect(performance.now() - startedMs).toBeLessThan(30_000);
  });

  test('a blank console is no picture', async () => {
    // int 0x10 with ax=3 clears the text screen; then it halts.
    const { target, plan } = await bootSector('b80300cd10faf4ebfd');
    await startDrill(target, plan);
    expect(await target.verifyBoot(plan, { limitMs: 5_000 })).toMatchObject({ kind: 'failed', why: 'blank' });
  });

  test('a picture that stands still, and no marker, verifies by picture and says so', async () => {
    // Clears the screen, then prints characters with int 0x10 ah=0x0e, and halts.
    const code = `b80300cd10be1a7cac84c07406b40ecd10ebf5faf4ebfd${'00'.repeat(3)}${Buffer.from('login: of an old and trusted machine\0').toString('hex')}`;
    const { target, plan } = await bootSector(code);
    await startDrill(target, plan);
    const outcome = await target.verifyBoot(plan, { limitMs: 6_000 });
    expect(outcome).toMatchObject({ kind: 'picture', verified: true });
    expect(outcome.explanation).toBe('The console shows a picture; no marker was printed.');
  });

  test('a vault that cannot give some bytes fails the drill, with the vault’s reason', async () => {
    const made = await begin();
    // Holes need not be read from the vault: the guest reads something of it before its marker only when it is there.
    await storeCounter(made.imagePaths[0] ?? '', 41);
    const target = made.targetWith({}, { unreadableFrom: counterOffsetBytes });
    await startDrill(target, made.plan);
    const outcome = await target.verifyBoot(made.plan, { limitMs });
    expect(outcome).toMatchObject({ verified: false, why: 'read-errors' });
    expect(outcome.explanation).toContain('frame 7 of 000000000001.seg was changed');
    expect(outcome.explanation).toContain('disk0 bytes 1048576+');
  });

  test('the same disk, when it can be read, is verified with what it holds', async () => {
    const made = await begin();
    await storeCounter(made.imagePaths[0] ?? '', 41);
    await startDrill(made.target, made.plan);
    const outcome = await made.target.verifyBoot(made.plan, { limitMs });
    expect(outcome).toMatchObject({ verified: true, marker: 'machine=vm-7 disk0=41 disk1=0 agree=no' });
  });

  test('a boot whose disk server’s log is lost is not verified: nobody knows whether reads failed', async () => {
    const { target, plan, stateFolder } = await begin();
    await startDrill(target, plan);
    await rm(drillFolder(stateFolder, plan.drillId, plan.runId).diskServerLog);
    const outcome = await target.verifyBoot(plan, { limitMs });
    expect(outcome).toMatchObject({ verified: false, why: 'reads-unknown', marker: expect.stringContaining('vm-7') });
    expect(outcome.explanation).toContain('the log of the disk server is gone');
  });

  test('a marker of a machine whose QEMU was killed is not verified: its failed reads went with it', async () => {
    const made = await begin();
    const { target, plan } = made;
    await startDrill(target, plan);
    expect(await target.verifyBoot(plan, { limitMs })).toMatchObject({ verified: true });
    process.kill(await pidOf(made, 'machine'), 'SIGKILL');
    await until('it is dead', async () => (await target.drillState(plan)).machine.kind === 'dead');
    const outcome = await target.verifyBoot(plan, { limitMs });
    expect(outcome).toMatchObject({ verified: false, why: 'reads-unknown' });
  });

  test('a machine that was never started is not waited for', async () => {
    const { target, plan } = await begin();
    expect(await target.verifyBoot(plan, { limitMs })).toMatchObject({ kind: 'failed', why: 'not-running' });
  });
});

describe('without QEMU', () => {
  const missing = { qemuPath: '/nowhere/qemu-system-x86_64', qemuImgPath: '/nowhere/qemu-img' };

  test('the check says how to install it', async () => {
    const target = (await begin()).targetWith(missing);
    const error = await target.check().catch((thrown: unknown) => thrown);
    expect(error).toBeInstanceOf(OutageError);
    expect(error).toMatchObject({ nextStep: 'Install it with: apt-get install -y qemu-system-x86 qemu-utils' });
  });

  test('the disks can still be verified by reading all of them', async () => {
    const { plan, targetWith } = await begin();
    const outcome = await targetWith(missing).verifyWithoutBoot(plan);
    expect(outcome).toMatchObject({ kind: 'disks-read', verified: true });
    expect(outcome.explanation).toContain('No machine was booted');
  });

  test('a disk that cannot be read fails that too', async () => {
    const { plan, targetWith } = await begin();
    const openDisk = async () => {
      throw new OutageError('open disk: segment 3 is missing', { retryable: false });
    };
    const outcome = await targetWith({ ...missing, openDisk }).verifyWithoutBoot(plan);
    expect(outcome).toMatchObject({ kind: 'failed', verified: false, why: 'read-errors' });
    expect(outcome.explanation).toContain('segment 3 is missing');
  });

  test('UEFI firmware that is not installed is named with its package', async () => {
    const { target, plan } = await begin();
    const uefi = { ...plan, hardware: { ...plan.hardware, firmware: 'uefi' as const } };
    await target.prepareDrill(uefi);
    await target.startDiskServer(uefi);
    await target.createOverlays(uefi);
    const error = await target.startMachine(uefi).catch((thrown: unknown) => thrown);
    // Where the firmware is installed the machine starts; where it is not, the next step names the package.
    if (error instanceof OutageError) expect(error.nextStep).toContain('ovmf');
    else expect(error).toMatchObject({ accelerator: 'tcg' });
  });
});

describe('socket paths', () => {
  const drillId = idFromBytes('drill', Buffer.alloc(10, 3));

  test('are short even when the state folder is deep', async () => {
    const deep = path.join(os.tmpdir(), 'x'.repeat(100), 'y'.repeat(100));
    const paths = drillFolder(deep, drillId, idFromBytes('run', Buffer.alloc(10, 4)));
    expect(Buffer.byteLength(paths.diskSocket)).toBeLessThanOrEqual(socketPathBytesMax);
  });

  test('go to the next temporary folder when the first one is too deep', () => {
    expect(shortSocketFolder('/state', drillId, [`/tmp/${'x'.repeat(100)}`, '/tmp'])).toMatch(/^\/tmp\/lb-/);
  });

  test('that cannot be short are refused with a next step', () => {
    expect(() => shortSocketFolder('/state', drillId, [`/tmp/${'x'.repeat(100)}`])).toThrow(OutageError);
  });

  test('are never in a folder that somebody else can write', async () => {
    const { target, plan, stateFolder } = await begin();
    const { socketFolder } = drillFolder(stateFolder, plan.drillId, plan.runId);
    const { chmod, mkdir } = await import('node:fs/promises');
    await mkdir(socketFolder);
    await chmod(socketFolder, 0o777);
    await expect(target.prepareDrill(plan)).rejects.toThrow('it is not a private folder of our own');
  });
});

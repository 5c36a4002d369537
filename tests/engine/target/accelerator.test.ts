import { chmod, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { probeAccelerator } from '../../../engine/target/accelerator.ts';

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(path.join(os.tmpdir(), 'accelerator-test-'));
});
afterAll(() => rm(folder, { recursive: true, force: true }));

/** A stand-in for QEMU that says what the script says; the probe only listens to it. */
async function program(name: string, script: string): Promise<string> {
  const file = path.join(folder, name);
  await writeFile(file, `#!/bin/sh\n${script}\n`);
  await chmod(file, 0o755);
  return file;
}

test('the answer of this host is what a guest has shown, and it says why', async () => {
  const found = await probeAccelerator({ qemuPath: 'qemu-system-x86_64', cacheFolder: folder });
  expect(found.why).toMatch(/test boot under KVM|no \/dev\/kvm/);
  expect(found.kind).toBe(found.why.includes('took') ? 'kvm' : 'tcg');
});

test('a KVM that is there but runs no guest is not chosen', async () => {
  const hanging = await program('kvm-hangs', 'case "$*" in *kvm*) exec sleep 60;; esac; echo PROBE-OK');
  expect((await probeAccelerator({ qemuPath: hanging })).kind).toBe('tcg');
});

test('a KVM that boots the guest is chosen', async () => {
  const working = await program('kvm-works', 'echo PROBE-OK');
  const expected = await readFile('/dev/kvm').then(
    () => 'kvm',
    (error: NodeJS.ErrnoException) => (error.code === 'ENOENT' || error.code === 'EACCES' ? 'tcg' : 'kvm'),
  );
  expect((await probeAccelerator({ qemuPath: working })).kind).toBe(expected);
});

test('the answer is remembered for this boot of the host', async () => {
  const counting = await program('counts', `echo once >> ${folder}/count; echo PROBE-OK`);
  const cacheFolder = path.join(folder, 'cache');
  const first = await probeAccelerator({ qemuPath: counting, cacheFolder });
  const runs = await readFile(path.join(folder, 'count'), 'utf8');
  const remembered = JSON.parse(await readFile(path.join(cacheFolder, 'accelerator.json'), 'utf8'));
  expect(remembered).toMatchObject({ ...first, qemuPath: counting });
  expect(await probeAccelerator({ qemuPath: counting, cacheFolder })).toEqual(first);
  expect(await readFile(path.join(folder, 'count'), 'utf8')).toBe(runs);
});

test('a QEMU that is not there is an outage with the install command', async () => {
  await expect(probeAccelerator({ qemuPath: '/nowhere/qemu' })).rejects.toMatchObject({
    nextStep: 'Install it with: apt-get install -y qemu-system-x86 qemu-utils',
  });
});

test('a QEMU that runs no guest at all is an outage, not a slow accelerator', async () => {
  const broken = await program('broken', 'echo "cannot load firmware" >&2; exit 1');
  await expect(probeAccelerator({ qemuPath: broken })).rejects.toThrow('cannot load firmware');
});

import { spawn } from 'node:child_process';
import { constants } from 'node:fs';
import { access, mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { z } from 'zod';
import { OutageError } from '../../domain/outage.ts';
import { formatDuration } from '../../domain/units.ts';
import { isCode } from './process-search.ts';

/** With what machines are run here: the processor's own virtualisation, or QEMU's translator (slower, works everywhere). */
export type Accelerator = { readonly kind: 'kvm' | 'tcg'; readonly why: string };

export const qemuInstallCommand = 'apt-get install -y qemu-system-x86 qemu-utils';

/** Long enough for a loaded host; a working KVM answers within 0.2 s. */
const probeLimitMs = 5_000;

/**
 * 512 bytes that print PROBE-OK on COM1 in real mode and switch the machine off through isa-debug-exit at 0x501:
 *
 * ```
 *   cli; xor ax,ax; mov ds,ax; mov es,ax; mov ss,ax; mov sp,0x7c00; mov si,text
 * 1: lodsb; test al,al; jz 3f; mov ah,al; mov dx,0x3fd
 * 2: in al,dx; test al,0x20; jz 2b; mov dx,0x3f8; mov al,ah; out dx,al; jmp 1b
 * 3: mov dx,0x501; mov al,0x10; out dx,al
 * 4: hlt; jmp 4b
 * text: "PROBE-OK\r\n", 0
 * ```
 */
const probeCode =
  'fa31c08ed88ec08ed0bc007cbe2f7cac84c0741288c4bafd03eca82074fbbaf80388e0eeebe9ba0105b010eef4ebfd' +
  '50524f42452d4f4b0d0a00';
const probeMarker = 'PROBE-OK';

const probeCache = z.object({
  bootId: z.string(),
  qemuPath: z.string(),
  kind: z.enum(['kvm', 'tcg']),
  why: z.string(),
});
const probesUnderWay = new Map<string, Promise<Accelerator>>();

/**
 * Says which accelerator really runs a guest on this host. KVM only after a guest has printed its marker under it: /dev/kvm may
 * be there and hang every guest. Remembered per boot of the host, in memory and in `cacheFolder`. Source: REPLICATION 4
 */
export function probeAccelerator(options: { qemuPath: string; cacheFolder?: string }): Promise<Accelerator> {
  const known = probesUnderWay.get(options.qemuPath);
  if (known !== undefined) return known;
  const probe = probeOrRemember(options);
  probesUnderWay.set(options.qemuPath, probe);
  // A failed probe is tried anew the next time: QEMU may be installed in the meantime.
  probe.catch(() => probesUnderWay.delete(options.qemuPath));
  return probe;
}

async function probeOrRemember(options: { qemuPath: string; cacheFolder?: string }): Promise<Accelerator> {
  const bootId = (await readFile('/proc/sys/kernel/random/boot_id', 'utf8')).trim();
  const cacheFile = options.cacheFolder === undefined ? undefined : path.join(options.cacheFolder, 'accelerator.json');
  const remembered = cacheFile === undefined ? undefined : await readCache(cacheFile);
  const isCurrent = remembered?.bootId === bootId && remembered.qemuPath === options.qemuPath;
  if (remembered !== undefined && isCurrent) return { kind: remembered.kind, why: remembered.why };
  const found = await probe(options.qemuPath);
  if (cacheFile !== undefined) {
    await mkdir(path.dirname(cacheFile), { recursive: true, mode: 0o700 });
    await writeFile(cacheFile, JSON.stringify({ bootId, qemuPath: options.qemuPath, ...found }));
  }
  return found;
}

async function readCache(cacheFile: string): Promise<z.infer<typeof probeCache> | undefined> {
  try {
    return probeCache.parse(JSON.parse(await readFile(cacheFile, 'utf8')));
  } catch (error) {
    // A half-written or older file is no memory; the probe runs again.
    if (isCode(error, 'ENOENT') || error instanceof SyntaxError || error instanceof z.ZodError) return undefined;
    throw error;
  }
}

async function probe(qemuPath: string): Promise<Accelerator> {
  // Also finds out whether QEMU is there at all, before anything is said about accelerators.
  const translated = await bootProbe(qemuPath, 'tcg');
  if (translated.kind === 'silent') {
    throw new OutageError(`boot a test sector with ${qemuPath}: it printed nothing. ${translated.words}`, {
      retryable: true,
      nextStep: `Run \`${qemuPath} --version\`; install QEMU again with: ${qemuInstallCommand}`,
    });
  }
  try {
    await access('/dev/kvm', constants.R_OK | constants.W_OK);
  } catch (error) {
    if (!isCode(error, 'ENOENT', 'EACCES', 'EPERM')) throw error;
    return { kind: 'tcg', why: 'this host has no /dev/kvm that we may open' };
  }
  const outcome = await bootProbe(qemuPath, 'kvm');
  if (outcome.kind === 'booted')
    return { kind: 'kvm', why: `a test boot under KVM took ${formatDuration(outcome.tookMs)}` };
  return {
    kind: 'tcg',
    why: `/dev/kvm is there, but a test boot under KVM printed nothing within ${formatDuration(outcome.tookMs)}`,
  };
}

type ProbeOutcome = { kind: 'booted'; tookMs: number } | { kind: 'silent'; tookMs: number; words: string };

async function bootProbe(qemuPath: string, accelerator: 'kvm' | 'tcg'): Promise<ProbeOutcome> {
  const folder = await mkdtemp(path.join(os.tmpdir(), 'lb-probe-'));
  try {
    const disk = path.join(folder, 'probe.img');
    await writeFile(disk, probeSector());
    const startedMs = performance.now();
    const words = await runProbe(qemuPath, [
      ...['-accel', accelerator, '-m', '16', '-nodefaults', '-no-user-config', '-display', 'none', '-serial', 'stdio'],
      ...['-drive', `file=${disk.replaceAll(',', ',,')},format=raw,if=ide`, '-no-reboot'],
      ...['-device', 'isa-debug-exit,iobase=0x501,iosize=2'],
    ]);
    const tookMs = performance.now() - startedMs;
    return words.includes(probeMarker) ? { kind: 'booted', tookMs } : { kind: 'silent', tookMs, words };
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

function probeSector(): Buffer {
  const sector = Buffer.alloc(512);
  sector.write(probeCode, 'hex');
  sector.writeUInt16LE(0xaa55, 510);
  return sector;
}

/** Everything that QEMU and its guest said until it ended, said the marker, or the limit passed. */
function runProbe(qemuPath: string, words: readonly string[]): Promise<string> {
  return new Promise((resolve, reject) => {
    const child = spawn(qemuPath, words, { stdio: ['ignore', 'pipe', 'pipe'] });
    const timer = setTimeout(() => child.kill('SIGKILL'), probeLimitMs);
    let said = '';
    const listen = (chunk: Buffer) => {
      if (said.length < 10_000) said += chunk.toString('latin1');
      if (said.includes(probeMarker)) child.kill('SIGKILL');
    };
    child.stdout.on('data', listen);
    child.stderr.on('data', listen);
    child.once('error', (cause) => {
      clearTimeout(timer);
      reject(isCode(cause, 'ENOENT') ? qemuMissing(qemuPath, cause) : cause);
    });
    child.once('close', () => {
      clearTimeout(timer);
      resolve(said);
    });
  });
}

/** QEMU is not installed: the next step is the exact command. */
export function qemuMissing(program: string, cause: unknown): OutageError {
  return new OutageError(`run ${program}: it is not installed on this host`, {
    cause,
    retryable: false,
    nextStep: `Install it with: ${qemuInstallCommand}`,
  });
}

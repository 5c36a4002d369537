import { spawn, spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';

export const qemuInstallCommand = 'apt-get install -y qemu-system-x86 qemu-utils';

export type QemuOutcome =
  | { readonly kind: 'present' }
  | { readonly kind: 'installed' }
  /** The drill then checks the disks without booting them, and says so. */
  | { readonly kind: 'missing'; readonly why: string };

/** Makes sure that QEMU is there: installs it from the distribution where that is possible without asking anybody. */
export async function ensureQemu(say: (line: string) => void): Promise<QemuOutcome> {
  if (hasQemu()) return { kind: 'present' };
  const isRoot = process.getuid?.() === 0;
  if (!isRoot || !existsSync('/usr/bin/apt-get')) {
    const who = isRoot ? 'this system has no apt-get' : 'you are not root';
    return { kind: 'missing', why: `QEMU is not installed and ${who}. Install it with: sudo ${qemuInstallCommand}` };
  }
  say('Installing QEMU from the distribution (apt-get) …');
  const environment = { ...process.env, DEBIAN_FRONTEND: 'noninteractive' };
  await aptGet(['update', '-qq'], environment);
  const code = await aptGet(
    ['install', '-y', '-qq', '--no-install-recommends', 'qemu-system-x86', 'qemu-utils'],
    environment,
  );
  if (code === 0 && hasQemu()) return { kind: 'installed' };
  return {
    kind: 'missing',
    why: `apt-get could not install QEMU (it ended with ${code}). Try it by hand: ${qemuInstallCommand}`,
  };
}

export function hasQemu(): boolean {
  return ['qemu-system-x86_64', 'qemu-img'].every(
    (name) => spawnSync(name, ['--version'], { stdio: 'ignore' }).status === 0,
  );
}

function aptGet(words: readonly string[], environment: NodeJS.ProcessEnv): Promise<number | null> {
  return new Promise((resolve, reject) => {
    const child = spawn('apt-get', words, {
      stdio: ['ignore', 'ignore', 'inherit'],
      env: environment,
      timeout: 600_000,
    });
    child.once('error', reject);
    child.once('exit', resolve);
  });
}

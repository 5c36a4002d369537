import { copyFile, mkdir, readdir, symlink, truncate, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { mebibyte } from '../domain/units.ts';
import { isInstalled } from './installed.ts';
import { runCommand } from './measure.ts';

/** A bootable disk with a real Linux, or what is missing to make one. */
export type LinuxGuest =
  | { readonly kind: 'made'; readonly imagePath: string; readonly kernel: string }
  | { readonly kind: 'not-made'; readonly why: string };

/** What the guest prints on its serial port when it is up. */
export const bootMarker = 'LIFEBOAT-GUEST-IS-UP';

const programs = ['syslinux', 'mcopy', 'mkfs.vfat', 'mkfs.ext4', 'sfdisk', 'cpio', 'busybox', 'apt-get', 'dpkg-deb'];
const masterBootRecord = '/usr/lib/syslinux/mbr/mbr.bin';
const diskBytes = 256 * mebibyte;
const sectorBytes = 512;
const bootPart = { startSector: 2048, sectorCount: 131_072 };
const rootStartSector = bootPart.startSector + bootPart.sectorCount;
/** What the services of a small machine might read while they start. */
const readAtBootBytes = 32 * mebibyte;
const modules = [
  'drivers/virtio/virtio_ring',
  'drivers/virtio/virtio',
  'drivers/virtio/virtio_pci_modern_dev',
  'drivers/virtio/virtio_pci_legacy_dev',
  'drivers/virtio/virtio_pci',
  'drivers/block/virtio_blk',
];

/** Mounts the root file system, reads the files that services would read, and says that it is up. */
const initScript = `#!/bin/sh
mount -t devtmpfs d /dev; mount -t proc p /proc; mount -t sysfs s /sys
exec >/dev/ttyS0 2>&1 </dev/ttyS0
for m in ${modules.map((path) => path.split('/').at(-1)).join(' ')}; do insmod /modules/$m.ko; done
n=0; while [ ! -b /dev/vda2 ] && [ $n -lt 50 ]; do sleep 0.1; n=$((n+1)); done
mount -t ext4 -o ro /dev/vda2 /mnt && cat /mnt/services/* > /dev/null && echo ${bootMarker}
sleep 3600
`;
const bootMenu = `DEFAULT linux
PROMPT 0
TIMEOUT 0
LABEL linux
 KERNEL vmlinuz
 INITRD initrd
 APPEND console=ttyS0 quiet loglevel=3 panic=1 random.trust_cpu=on mitigations=off no_timer_check tsc=reliable nomodeset
`;

/**
 * Makes a BIOS-bootable disk with Debian's cloud kernel, without mounting anything.
 *
 * @param cacheFolder keeps the kernel's package, so that only the first run downloads it (27 MB, by apt-get)
 */
export async function makeLinuxGuest(folder: string, cacheFolder: string): Promise<LinuxGuest> {
  const missing = programs.filter((program) => !isInstalled(program));
  if (missing.length > 0) {
    return {
      kind: 'not-made',
      why: `${missing.join(', ')} not installed (apt-get install syslinux mtools busybox-static)`,
    };
  }
  const kernelFolder = join(folder, 'kernel');
  await runCommand(['dpkg-deb', '-x', await kernelPackage(cacheFolder), kernelFolder]);
  const [kernel = ''] = await readdir(join(kernelFolder, 'lib/modules'));
  await makeInitialRamDisk(folder, join(kernelFolder, 'lib/modules', kernel, 'kernel'));
  const imagePath = join(folder, 'linux.img');
  await makeDisk(imagePath, folder, join(kernelFolder, 'boot', `vmlinuz-${kernel}`));
  return { kind: 'made', imagePath, kernel };
}

async function kernelPackage(cacheFolder: string): Promise<string> {
  await mkdir(cacheFolder, { recursive: true });
  const cached = async () => (await readdir(cacheFolder)).find((name) => name.endsWith('.deb'));
  if ((await cached()) === undefined) {
    const said = await runCommand(['apt-cache', 'depends', '--important', 'linux-image-cloud-amd64']);
    const name = /Depends: (linux-image-\S+)/.exec(said)?.[1] ?? 'linux-image-cloud-amd64';
    await runCommand(['apt-get', 'download', name], { folder: cacheFolder });
  }
  return join(cacheFolder, (await cached()) ?? 'no package was downloaded');
}

async function makeInitialRamDisk(folder: string, moduleFolder: string): Promise<void> {
  const root = join(folder, 'initrd-root');
  for (const name of ['bin', 'modules', 'proc', 'sys', 'dev', 'mnt'])
    await mkdir(join(root, name), { recursive: true });
  await copyFile('/usr/bin/busybox', join(root, 'bin/busybox'));
  for (const name of ['sh', 'mount', 'insmod', 'cat', 'echo', 'sleep'])
    await symlink('busybox', join(root, 'bin', name));
  for (const path of modules) {
    await copyFile(join(moduleFolder, `${path}.ko`), join(root, 'modules', `${path.split('/').at(-1)}.ko`));
  }
  await writeFile(join(root, 'init'), initScript, { mode: 0o755 });
  await runCommand(['sh', '-c', 'cd initrd-root && find . | cpio -o -H newc --quiet | gzip -1 > ../initrd'], {
    folder,
  });
}

async function makeDisk(imagePath: string, folder: string, kernelPath: string): Promise<void> {
  const inFolder = (name: string) => join(folder, name);
  await copyFile(kernelPath, inFolder('vmlinuz'));
  await writeFile(inFolder('syslinux.cfg'), bootMenu);
  await emptyFile(inFolder('boot.fat'), bootPart.sectorCount * sectorBytes);
  await runCommand(['mkfs.vfat', '-F', '16', '-h', String(bootPart.startSector), inFolder('boot.fat')]);
  const files = ['vmlinuz', 'initrd', 'syslinux.cfg'].map(inFolder);
  await runCommand(['mcopy', '-i', inFolder('boot.fat'), ...files, '::/']);
  await runCommand(['syslinux', '--install', inFolder('boot.fat')]);
  await mkdir(inFolder('root/services'), { recursive: true });
  await fillServices(inFolder('root/services'));
  await emptyFile(inFolder('root.ext4'), diskBytes - rootStartSector * sectorBytes);
  await runCommand(['mkfs.ext4', '-q', '-F', '-d', inFolder('root'), inFolder('root.ext4')]);
  await emptyFile(imagePath, diskBytes);
  const table = `label: dos\nstart=${bootPart.startSector}, size=${bootPart.sectorCount}, type=6, bootable\nstart=${rootStartSector}, type=83\n`;
  await writeFile(inFolder('partitions'), table);
  await runCommand(['sh', '-c', `sfdisk -q ${imagePath} < partitions`], { folder });
  await copyInto(imagePath, masterBootRecord, { blockBytes: 440, startBlock: 0 });
  await copyInto(imagePath, inFolder('boot.fat'), { blockBytes: mebibyte, startBlock: 1 });
  await copyInto(imagePath, inFolder('root.ext4'), { blockBytes: mebibyte, startBlock: 65 });
}

/** Files of this machine, so that they compress as a real system does. */
async function fillServices(folder: string): Promise<void> {
  const part = readAtBootBytes / 2;
  await runCommand(
    ['sh', '-c', `head -c ${part} ${process.execPath} > code; head -c ${part} /usr/bin/qemu-system-x86_64 > more-code`],
    { folder },
  );
}

async function emptyFile(path: string, sizeBytes: number): Promise<void> {
  await writeFile(path, '');
  await truncate(path, sizeBytes);
}

async function copyInto(
  imagePath: string,
  part: string,
  at: { blockBytes: number; startBlock: number },
): Promise<void> {
  const position = [`bs=${at.blockBytes}`, `seek=${at.startBlock}`];
  await runCommand(['dd', `if=${part}`, `of=${imagePath}`, ...position, 'conv=notrunc,sparse', 'status=none']);
}

import { join } from 'node:path';
import type { Contender } from '../contender.ts';
import { versionOf } from '../installed.ts';
import { addCosts, measureCommand, storedBytes } from '../measure.ts';

const version = versionOf('qemu-img', '--version');

/** A compressed qcow2: a second copy is a full one again, so that it is measured once. */
export const qemuImgConvert: Contender = {
  name: 'qemu-img convert -c',
  settings: 'compressed qcow2; an increment is a full copy again; one round only, because it is by far the slowest',
  version,
  roundsMax: 1,
  async open({ folder, sourcePath }) {
    const copy = join(folder, 'copy.qcow2');
    return {
      initial: () => measureCommand(['qemu-img', 'convert', '-c', '-f', 'raw', '-O', 'qcow2', sourcePath, copy]),
      increment: undefined,
      restore: (path) => measureCommand(['qemu-img', 'convert', '-f', 'qcow2', '-O', 'raw', copy, path]),
      repositoryBytes: () => storedBytes(copy),
      close: async () => undefined,
    };
  },
};

/** A plain copy and a qcow2 with what differs from it: found by comparing both images, neither compressed nor encrypted. */
export const qemuImgRebase: Contender = {
  name: 'qemu-img rebase',
  settings: 'plain raw base and a qcow2 of the differences; not compressed, not encrypted',
  version,
  roundsMax: Number.POSITIVE_INFINITY,
  async open({ folder, sourcePath }) {
    const base = join(folder, 'base.img');
    const delta = join(folder, 'delta.qcow2');
    return {
      initial: () => measureCommand(['qemu-img', 'convert', '-f', 'raw', '-O', 'raw', sourcePath, base]),
      increment: async () => {
        const create = ['qemu-img', 'create', '-q', '-f', 'qcow2', '-F', 'raw', '-b', sourcePath, delta];
        const rebase = ['qemu-img', 'rebase', '-F', 'raw', '-b', base, delta];
        return addCosts(await measureCommand(create), await measureCommand(rebase));
      },
      restore: (path) => measureCommand(['qemu-img', 'convert', '-f', 'qcow2', '-O', 'raw', delta, path]),
      repositoryBytes: () => storedBytes(folder),
      close: async () => undefined,
    };
  },
};

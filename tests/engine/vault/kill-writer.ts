import { createHash } from 'node:crypto';
import { blockBytes } from '../../../domain/extent.ts';
import { isId } from '../../../domain/ids.ts';
import { invariant } from '../../../domain/invariant.ts';
import { openDirectoryStore } from '../../../engine/vault/directory-store.ts';
import { openVault } from '../../../engine/vault/open-vault.ts';
import { loadVaultKeys } from '../../../engine/vault/vault-keys.ts';
import { contentDigestOfWrites } from '../../../protocol/content-digest.ts';

/** Appends until it is killed, and tells each acknowledged position on standard output. Run by kill.test.ts. */
const [root, keysFolder, diskId] = process.argv.slice(2);
invariant(root && keysFolder && diskId && isId('disk', diskId), 'kill-writer <vault> <keys> <disk>');

const vault = await openVault({
  store: await openDirectoryStore(root),
  keys: await loadVaultKeys(keysFolder),
  segmentsPerMap: 8,
});
const blocks = 24;
while (true) {
  const previous = await vault.position(diskId);
  const next = previous.sequence + 1;
  // What batch n holds follows from n: the test knows it without being told.
  const writes = [next % blocks, (next + 7) % blocks]
    .sort((a, b) => a - b)
    .map((block) => {
      const seed = createHash('sha512').update(`${next} ${block}`).digest();
      return { offsetBytes: block * blockBytes, data: Buffer.alloc(blockBytes, seed) };
    });
  const contentDigest = contentDigestOfWrites(writes).toString('hex');
  const outcome = await vault.append(diskId, {
    epoch: 1,
    previous,
    diskSizeBytes: blocks * blockBytes,
    contentDigest,
    writes,
  });
  invariant(outcome.kind === 'appended', 'nobody else writes here');
  process.stdout.write(`${outcome.position.sequence} ${outcome.position.digest}\n`);
}

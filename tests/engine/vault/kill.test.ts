import { spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { blockBytes } from '../../../domain/extent.ts';
import { expectSameBytes, newDiskId, readImage, type VaultFixture, vaultFixture } from './vault-fixture.ts';

let fixture: VaultFixture;
beforeEach(async () => {
  fixture = await vaultFixture();
});
afterEach(() => fixture.remove());

const kills = 20;
const blocks = 24;

/** What kill-writer.ts has made of the disk after that many batches. */
function imageAfter(sequence: number): Buffer {
  const image = Buffer.alloc(blocks * blockBytes);
  for (let batch = 1; batch <= sequence; batch += 1) {
    for (const block of [batch % blocks, (batch + 7) % blocks]) {
      image.fill(
        createHash('sha512').update(`${batch} ${block}`).digest(),
        block * blockBytes,
        (block + 1) * blockBytes,
      );
    }
  }
  return image;
}

/** Starts the writer, lets it acknowledge some batches, kills it in the middle of one. @returns the acknowledged lines */
async function writeUntilKilled(diskId: string, acknowledgedMin: number): Promise<string[]> {
  const script = new URL('./kill-writer.ts', import.meta.url).pathname;
  const child = spawn(process.execPath, [script, fixture.root, fixture.keysFolder, diskId], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  let text = '';
  for await (const piece of child.stdout) {
    text += String(piece);
    if (child.killed || text.split('\n').length <= acknowledgedMin) continue;
    // Somewhere in the next batch: the moments of the kills are spread over it by chance.
    const delayMs = Math.random() * 15;
    setTimeout(() => child.kill('SIGKILL'), delayMs);
    await once(child, 'exit');
  }
  return text.split('\n').slice(0, -1);
}

it('has every acknowledged segment, bit for bit, after each of 20 kills of its writer', async () => {
  const diskId = newDiskId();
  let acknowledged = 0;
  for (let kill = 0; kill < kills; kill += 1) {
    const lines = await writeUntilKilled(diskId, 1 + (kill % 4));
    const [sequence, digest] = lines.at(-1)?.split(' ') ?? [];
    expect(Number(sequence)).toBeGreaterThan(acknowledged);
    acknowledged = Number(sequence);
    const vault = await fixture.reopen();
    const position = await vault.position(diskId);
    // One more may be durable whose acknowledgement the kill swallowed.
    expect([acknowledged, acknowledged + 1]).toContain(position.sequence);
    const known = { epoch: 1, sequence: acknowledged, digest: digest ?? '' };
    expectSameBytes(await readImage(vault, diskId, known), imageAfter(acknowledged));
    expectSameBytes(await readImage(vault, diskId, position), imageAfter(position.sequence));
    acknowledged = position.sequence;
  }
  expect((await fixture.vault.verifyAll({ newestPoints: [] })).findings).toEqual([]);
}, 120_000);

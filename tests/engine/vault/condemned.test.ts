import { hash } from 'node:crypto';
import { readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { blockBytes } from '../../../domain/extent.ts';
import type { DiskId } from '../../../domain/ids.ts';
import { OutageError } from '../../../domain/outage.ts';
import { type Position, startPosition } from '../../../domain/position.ts';
import type { BlobStore } from '../../../engine/vault/blob-store.ts';
import type { OpenVault } from '../../../engine/vault/open-vault.ts';
import {
  appended,
  type BlockFill,
  expectSameBytes,
  namesIn,
  newDiskId,
  OracleDisk,
  readImage,
  type VaultFixture,
  vaultFixture,
} from './vault-fixture.ts';

const sizeBytes = 6 * blockBytes + 123;
const noAnchors = { newestPoints: [] };

let fixture: VaultFixture;
let diskId: DiskId;
let oracle: OracleDisk;
/** Where the disk stood after each batch, from 1, and what it held. */
let history: { readonly position: Position; readonly image: Buffer }[];

beforeEach(async () => {
  fixture = await vaultFixture();
  diskId = newDiskId();
  oracle = new OracleDisk(sizeBytes);
  history = [];
});
afterEach(() => fixture.remove());

async function write(vault: OpenVault, fills: readonly BlockFill[]): Promise<Position> {
  const position = await appended(vault, diskId, oracle.batch(await vault.position(diskId), fills));
  history.push({ position, image: Buffer.from(oracle.image) });
  return position;
}

/** Six batches; the third writes zeros and a block that nobody writes later. */
async function sixBatches(vault: OpenVault): Promise<void> {
  await write(vault, [
    { block: 0, fill: 1 },
    { block: 1, fill: 2 },
    { block: 2, fill: 3 },
    { block: 6, fill: 4 },
  ]);
  await write(vault, [{ block: 3, fill: 5 }]);
  await write(vault, [
    { block: 1, fill: 0 },
    { block: 2, fill: 7 },
  ]);
  await write(vault, [{ block: 4, fill: 8 }]);
  await write(vault, [{ block: 0, fill: 9 }]);
  await write(vault, [{ block: 5, fill: 10 }]);
}

/** What an agent does: asks for position and digests, and ships what differs. Returns how many blocks it shipped. */
async function scan(vault: OpenVault): Promise<{ readonly position: Position; readonly shipped: number }> {
  const previous = await vault.position(diskId);
  const count = Math.ceil(sizeBytes / blockBytes);
  const digests = await vault.digests(diskId, 0, count);
  expect(digests).toHaveLength(count * 32);
  const writes = [];
  for (let block = 0; block < count; block += 1) {
    const data = oracle.image.subarray(block * blockBytes, (block + 1) * blockBytes);
    const isZero = data.every((byte) => byte === 0);
    const digest = isZero ? Buffer.alloc(32) : hash('sha256', data, 'buffer');
    if (!digest.equals(digests.subarray(block * 32, block * 32 + 32))) writes.push(block);
  }
  if (writes.length === 0) return { position: previous, shipped: 0 };
  const batch = new Rewrite(oracle.image).batchOf(previous, writes);
  return { position: await appended(vault, diskId, batch), shipped: writes.length };
}

/** A batch of blocks as they are, through the fixture's own batches. */
class Rewrite extends OracleDisk {
  readonly content: Buffer;
  constructor(content: Buffer) {
    super(content.length);
    this.content = content;
  }
  batchOf(previous: Position, blocks: readonly number[]) {
    const fills = blocks.map((block) => ({ block, fill: fillOf(this.content, block) }));
    return this.batch(previous, fills);
  }
}

function fillOf(image: Buffer, block: number): number {
  for (let fill = 0; fill < 40; fill += 1) {
    const probe = new OracleDisk(image.length);
    probe.batch(startPosition(1), [{ block, fill }]);
    const range = [block * blockBytes, (block + 1) * blockBytes] as const;
    if (probe.image.subarray(...range).equals(image.subarray(...range))) return fill;
  }
  throw new Error(`block ${block} has no fill`);
}

const segmentName = (sequence: number) => {
  const number = String(sequence).padStart(12, '0');
  return `v1/${fixture.vault.id}/${diskId}/log/000001/${number}-${number}.seg`;
};
const pathOf = (name: string) => join(fixture.root, name);

const damages: Record<string, (name: string) => Promise<void>> = {
  'a flipped bit of data': async (name) => flip(name, 400),
  'a flipped bit of the header': async (name) => flip(name, 140),
  truncation: async (name) => writeFile(pathOf(name), (await readFile(pathOf(name))).subarray(0, 300)),
  deletion: async (name) => rm(pathOf(name)),
  'another segment in its place': async (name) => writeFile(pathOf(name), await readFile(pathOf(segmentName(1)))),
};

async function flip(name: string, at: number): Promise<void> {
  const bytes = await readFile(pathOf(name));
  bytes.writeUInt8(bytes.readUInt8(at) ^ 1, at);
  await writeFile(pathOf(name), bytes);
}

/** Everything that must hold after a repair: before the loss and after the scan exact, in between refused. */
async function expectRepaired(lostFrom: number, repaired: Position): Promise<void> {
  const vault = await fixture.reopen();
  for (const [index, { position, image }] of history.entries()) {
    if (index + 1 < lostFrom) expectSameBytes(await readImage(vault, diskId, position), image);
    else await expect(vault.openDisk(diskId, position)).rejects.toThrow(OutageError);
  }
  expectSameBytes(await readImage(vault, diskId, repaired), oracle.image);
  expect(await vault.verifySegments(diskId, history[0]?.position ?? startPosition(1), repaired)).toEqual([]);
  expect(await vault.verifySegments(diskId, startPosition(1), repaired)).toEqual([]);
  const report = await vault.verifyAll(noAnchors);
  expect(report.findings).toEqual([]);
  expect(report.condemned).toHaveLength(1);
}

describe.each(Object.keys(damages))('%s', (kind) => {
  it.each([1, 3, 6])('of segment %i is condemned, and a comparison ships again what it held', async (sequence) => {
    if (sequence === 1 && kind === 'another segment in its place') return;
    await sixBatches(fixture.vault);
    await damages[kind]?.(segmentName(sequence));
    const upTo = history.at(-1)?.position ?? startPosition(1);
    const engine = await fixture.reopen();
    const findings = await engine.verifySegments(diskId, startPosition(1), upTo);
    expect(findings).not.toEqual([]);
    await engine.condemn(diskId, findings);
    await engine.condemn(diskId, findings);
    expect(await engine.condemned(diskId)).toMatchObject([{ firstSequence: sequence, lastSequence: sequence }]);
    expect(await engine.verifySegments(diskId, startPosition(1), upTo)).not.toEqual([]);
    // The process server has the disk in memory as it was; it must notice.
    const { position, shipped } = await scan(fixture.vault);
    expect(shipped).toBeGreaterThan(0);
    await expectRepaired(sequence, position);
    expect((await scan(await fixture.reopen())).shipped).toBe(0);
  });
});

it('a sender that was about to append is refused and must compare first', async () => {
  await sixBatches(fixture.vault);
  const before = await fixture.vault.position(diskId);
  await flip(segmentName(3), 400);
  const engine = await fixture.reopen();
  await engine.condemn(diskId, await engine.verifySegments(diskId, startPosition(1), before));
  const late = new OracleDisk(sizeBytes).batch(before, [{ block: 2, fill: 11 }]);
  expect(await fixture.vault.append(diskId, late)).toMatchObject({ kind: 'position-mismatch' });
});

it('the end of the log, damaged before any point named it, does not keep a new process server from going on', async () => {
  await sixBatches(fixture.vault);
  await flip(segmentName(6), 140);
  const fresh = await fixture.reopen();
  expect((await fresh.position(diskId)).sequence).toBe(7);
  const { position } = await scan(fresh);
  await expectRepaired(6, position);
});

it('a segment that cannot be followed does not keep a new process server from giving digests', async () => {
  await sixBatches(fixture.vault);
  await flip(segmentName(3), 140);
  await rm(pathOf(segmentName(4)));
  const fresh = await fixture.reopen();
  await expect(scan(fresh)).rejects.toThrow('not appended');
  const { position } = await scan(fresh);
  await expectRepaired(3, position);
});

it('a disk of which every segment is lost is filled anew', async () => {
  await sixBatches(fixture.vault);
  for (let sequence = 1; sequence <= 6; sequence += 1) await flip(segmentName(sequence), 140);
  const { position } = await scan(await fixture.reopen());
  await expectRepaired(1, position);
});

it('a stored map of after the loss is not used, also when it does not name the lost segment', async () => {
  const mapping = await fixture.reopen({ segmentsPerMap: 1 });
  await sixBatches(mapping);
  // The third segment's written block is overwritten, so that only its zeros are left in the maps.
  await write(mapping, [{ block: 2, fill: 12 }]);
  await write(mapping, [{ block: 5, fill: 13 }]);
  const maps = (await namesIn(fixture.store)).filter((name) => name.endsWith('.map'));
  expect(maps.length).toBeGreaterThan(3);
  await flip(segmentName(3), 400);
  const engine = await fixture.reopen();
  const upTo = history.at(-1)?.position ?? startPosition(1);
  await engine.condemn(diskId, await engine.verifySegments(diskId, startPosition(1), upTo));
  // What was zeros reads as the version before, over the maps as without them.
  expect(await scan(mapping)).toMatchObject({ shipped: 1 });
  await expectRepaired(3, await mapping.position(diskId));
});

it('sound segments are never condemned, nor anything when the disk’s key is missing', async () => {
  await sixBatches(fixture.vault);
  const claims = [3, 6].map((sequence) => ({
    blob: segmentName(sequence),
    problem: 'changed' as const,
    detail: 'somebody says so',
  }));
  await fixture.vault.condemn(diskId, claims);
  expect(await fixture.vault.condemned(diskId)).toEqual([]);
  expect((await fixture.vault.position(diskId)).sequence).toBe(6);
  await rm(pathOf(`v1/${fixture.vault.id}/${diskId}/key/k000001.key`));
  await expect((await fixture.reopen()).position(diskId)).rejects.toThrow('missing');
  expect((await namesIn(fixture.store)).filter((name) => name.includes('/condemned/'))).toEqual([]);
});

it('a compaction over a condemned segment changes nothing that can be restored', async () => {
  await sixBatches(fixture.vault);
  await flip(segmentName(3), 400);
  const engine = await fixture.reopen();
  const upTo = history.at(-1)?.position ?? startPosition(1);
  await engine.condemn(diskId, await engine.verifySegments(diskId, startPosition(1), upTo));
  const { position } = await scan(fixture.vault);
  for (let round = 0; round < 12; round += 1) await write(fixture.vault, [{ block: round % 7, fill: 14 + round }]);
  const newest = history.at(-1) ?? { position, image: oracle.image };
  await engine.compact(diskId, history[8]?.position ?? position);
  await engine.compact(diskId, history[8]?.position ?? position);
  const vault = await fixture.reopen();
  expectSameBytes(await readImage(vault, diskId, newest.position), newest.image);
  for (const later of history.slice(8)) {
    expectSameBytes(await readImage(vault, diskId, later.position), later.image);
  }
  expect((await vault.verifyAll(noAnchors)).findings).toEqual([]);
  expect((await namesIn(fixture.store)).includes(segmentName(3))).toBe(false);
});

/** A store whose process dies at its n-th write, before or after it. */
function dyingStore(store: BlobStore, deathAt: number): { readonly store: BlobStore; readonly died: () => boolean } {
  let moments = 0;
  const moment = () => {
    moments += 1;
    if (moments >= deathAt) throw new OutageError('this process is dead', { retryable: true });
  };
  const put: BlobStore['put'] = async (name, content) => {
    moment();
    const outcome = await store.put(name, content);
    moment();
    return outcome;
  };
  return { store: { ...store, put }, died: () => moments >= deathAt };
}

it('a condemnation that is killed at any write is finished by the next one; before that nothing counts as repaired', async () => {
  let deaths = 0;
  for (let deathAt = 1; deathAt < 20; deathAt += 1) {
    diskId = newDiskId();
    oracle = new OracleDisk(sizeBytes);
    history = [];
    await sixBatches(fixture.vault);
    await flip(segmentName(3), 400);
    const dying = dyingStore(fixture.store, deathAt);
    const upTo = history.at(-1)?.position ?? startPosition(1);
    const first = await fixture.reopen({ store: dying.store });
    const findings = await first.verifySegments(diskId, startPosition(1), upTo);
    await first.condemn(diskId, findings).catch((error: unknown) => expect(String(error)).toContain('dead'));
    // The agent goes on in between, whether or not it heard of anything.
    const between = await scan(fixture.vault);
    const engine = await fixture.reopen();
    const again = await engine.verifySegments(diskId, startPosition(1), between.position);
    if (again.length > 0) await engine.condemn(diskId, again);
    const { position } = await scan(fixture.vault);
    expectSameBytes(await readImage(await fixture.reopen(), diskId, position), oracle.image);
    expect(await engine.verifySegments(diskId, startPosition(1), position)).toEqual([]);
    if (again.length > 0 && between.position.sequence < position.sequence)
      await expect(engine.openDisk(diskId, between.position)).rejects.toThrow(OutageError);
    if (!dying.died()) break;
    deaths += 1;
  }
  // Note, empty segment, note of the repair; before and after each of them.
  expect(deaths).toBe(6);
});

it('a note that was changed is found, and stops everything that would have to guess', async () => {
  await sixBatches(fixture.vault);
  await flip(segmentName(3), 400);
  const upTo = history.at(-1)?.position ?? startPosition(1);
  await fixture.vault.condemn(diskId, await fixture.vault.verifySegments(diskId, startPosition(1), upTo));
  const { position } = await scan(fixture.vault);
  const notes = (await namesIn(fixture.store)).filter((name) => name.includes('/condemned/'));
  expect(notes).toHaveLength(2);
  for (const name of notes) {
    const original = await readFile(pathOf(name));
    const texts = [
      original.toString().replace('"changed"', '"missing"').replace(':7}', ':8}'),
      original.subarray(0, 20),
    ];
    for (const text of texts) {
      await writeFile(pathOf(name), text);
      expect((await fixture.vault.verifyAll(noAnchors)).findings).toContainEqual(
        expect.objectContaining({ blob: name }),
      );
      await expect((await fixture.reopen()).openDisk(diskId, position)).rejects.toThrow(/note of a lost segment/);
      await expect((await fixture.reopen()).position(diskId)).rejects.toThrow(OutageError);
    }
    await writeFile(pathOf(name), original);
  }
  await rm(pathOf(notes[0] ?? ''));
  await expect((await fixture.reopen()).openDisk(diskId, position)).rejects.toThrow(OutageError);
  // As the error says: without both notes the segment is condemned anew.
  await rm(pathOf(notes[1] ?? ''));
  const engine = await fixture.reopen();
  await engine.condemn(diskId, await engine.verifySegments(diskId, startPosition(1), position));
  await expectRepaired(3, (await scan(await fixture.reopen())).position);
});

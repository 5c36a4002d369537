import type { DiskId } from '../../domain/ids.ts';
import { type Position, samePosition } from '../../domain/position.ts';
import { DamagedBlobError } from '../../protocol/damaged-blob.ts';
import { decodeMapHeader, mapBodyBytesMax, openMap, sealMap } from '../../protocol/disk-map.ts';
import { decodeMapBody, encodeMapBody, type MapBody } from '../../protocol/disk-map-body.ts';
import { digestBytes } from '../../protocol/segment-footer.ts';
import { blocksPerFrame } from '../../protocol/segment-frame.ts';
import { diskNames, parseBlobName } from './blob-names.ts';
import { isLost } from './condemned.ts';
import { type DiskMap, dropUnusedSegments, emptyDiskMap } from './disk-map.ts';
import type { LogListing } from './log-listing.ts';
import { keysOfClaimed, naming, type SegmentReadDeps } from './segment-reads.ts';

/** The disk maps that were stored, as shortcuts: what they say follows from the segments' footers too. */
export type Checkpoints = {
  /** The map at exactly that position; undefined when there is none that can be used. */
  at(position: Position): Promise<DiskMap | undefined>;
};

/** @param listing a map that names a segment which is not in it any more is passed over */
export async function openCheckpoints(
  deps: SegmentReadDeps,
  diskId: DiskId,
  listing: LogListing,
): Promise<Checkpoints> {
  const names = diskNames(deps.vaultId, diskId);
  const known = new Set<string>();
  for await (const { name } of deps.store.list(names.mapFolder)) known.add(name);
  async function at(position: Position): Promise<DiskMap | undefined> {
    const name = names.map(position.epoch, position.sequence);
    if (!known.has(name)) return undefined;
    // It may hold zeros that a condemned segment wrote, without naming that segment.
    if (listing.condemned.some((each) => isLost(each, position))) return undefined;
    try {
      const map = await readMap(deps, diskId, name);
      const usable = map.segments.every((segment) => listing.has(names.segment(segment.range)));
      return usable && samePosition(map.position, position) ? map : undefined;
    } catch (error) {
      // A damaged map is only slower: the footers say the same. A full verification reports it.
      if (error instanceof DamagedBlobError) return undefined;
      throw error;
    }
  }
  return { at };
}

/** Stores the map as a shortcut for later readers. A map that is too large is not stored. */
export async function writeMap(deps: SegmentReadDeps, diskId: DiskId, map: DiskMap): Promise<void> {
  dropUnusedSegments(map);
  const body = encodeMapBody(bodyOf(map));
  if (body.length > mapBodyBytesMax) return;
  const { keyId, keys } = await deps.diskKeys.forWriting(diskId);
  const { position, diskSizeBytes } = map;
  const header = { vaultId: deps.vaultId, diskId, keyId, position, diskSizeBytes };
  // `exists`: another process server stored the same map.
  await deps.store.put(
    diskNames(deps.vaultId, diskId).map(position.epoch, position.sequence),
    sealMap(header, body, keys.map),
  );
}

/** Reads one map and checks it. @throws DamagedBlobError */
export async function readMap(deps: SegmentReadDeps, diskId: DiskId, name: string): Promise<DiskMap> {
  const blob = await deps.store.get(name);
  if (blob === undefined) throw new DamagedBlobError('missing', `read the disk map ${name}`);
  const claimed = naming(name, () => decodeMapHeader(blob));
  const keys = await keysOfClaimed(deps, claimed, { diskId, name });
  const { header, body } = naming(name, () => openMap(blob, keys.map));
  const parsed = parseBlobName(deps.vaultId, name);
  const same =
    parsed.kind === 'map' &&
    header.vaultId === deps.vaultId &&
    header.diskId === diskId &&
    parsed.epoch === header.position.epoch &&
    parsed.sequence === header.position.sequence;
  if (!same) throw new DamagedBlobError('swapped', `read ${name}: it is the map of another position`);
  return naming(name, () => mapOf(header, decodeMapBody(body)));
}

function bodyOf(map: DiskMap): MapBody {
  const allocated = map.segmentOf.reduce((sum, number) => (number === 0 ? sum : sum + 1), 0);
  const block = new Uint32Array(allocated);
  let filled = 0;
  map.segmentOf.forEach((number, each) => {
    if (number !== 0) block[filled++] = each;
  });
  const digests = Buffer.alloc(block.length * digestBytes);
  block.forEach((each, index) => {
    map.digests.copy(digests, index * digestBytes, each * digestBytes, (each + 1) * digestBytes);
  });
  return {
    segments: map.segments,
    block,
    // In bounds: these are the map's own block numbers.
    segmentNumber: block.map((each) => map.segmentOf[each]!),
    place: block.map((each) => map.placeOf[each]!),
    digests,
  };
}

function mapOf(header: { position: Position; diskSizeBytes: number }, body: MapBody): DiskMap {
  const map = emptyDiskMap(header.position, header.diskSizeBytes);
  map.segments = [...body.segments];
  body.block.forEach((block, index) => {
    // In bounds: the lists have one length.
    const [number, place] = [body.segmentNumber[index]!, body.place[index]!];
    const frames = map.segments[number - 1]?.frames.codec.length ?? 0;
    if (block >= map.segmentOf.length || Math.floor(place / blocksPerFrame) >= frames) {
      throw new DamagedBlobError('unreadable', `read a disk map: entry ${index} cannot be`);
    }
    map.segmentOf[block] = number;
    map.placeOf[block] = place;
    body.digests.copy(map.digests, block * digestBytes, index * digestBytes, (index + 1) * digestBytes);
  });
  return map;
}

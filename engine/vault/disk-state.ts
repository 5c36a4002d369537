import type { DiskId } from '../../domain/ids.ts';
import { invariant } from '../../domain/invariant.ts';
import { type Position, samePosition } from '../../domain/position.ts';
import { batchDigest } from './batch-digest.ts';
import { diskNames, parseBlobName } from './blob-names.ts';
import { condemnBroken } from './condemn.ts';
import { findStoredBatch, follow, type LogDeps, type LogTail, refreshTail, segmentAt } from './disk-log.ts';
import { applyNewer, type DiskMap, mapMemoryBytes } from './disk-map.ts';
import { loadDiskMap } from './disk-view.ts';
import { writeMap } from './map-checkpoint.ts';
import { isDamage, readSegment } from './segment-reads.ts';
import { type SegmentWriteDeps, writeBatch } from './segment-writer.ts';
import type { AppendOutcome, ChangeBatch } from './vault.ts';

export type DiskStateDeps = LogDeps &
  SegmentWriteDeps & { readonly mapBytesMax: number; readonly segmentsPerMap: number };

/** What this process knows of the vault's disks: each one's newest position and, when there is room, newest map. */
export type DiskStates = {
  position(diskId: DiskId): Promise<Position>;
  append(diskId: DiskId, batch: ChangeBatch): Promise<AppendOutcome>;
  /** The map at the newest position; only to be read, and not after the next `await`. */
  newestMap(diskId: DiskId): Promise<DiskMap>;
  /** The remembered map if it is at that position. */
  rememberedMap(diskId: DiskId, at: Position): DiskMap | undefined;
  /** Takes damaged segments out of use; `suspects` are names that were found damaged. */
  condemn(diskId: DiskId, suspects: ReadonlySet<string>): Promise<void>;
  forget(diskId: DiskId): void;
};

type DiskState = {
  tail: LogTail | undefined;
  map: DiskMap | undefined;
  /** Sequence of the newest stored map; undefined: not looked up yet. */
  mapSequence: number | undefined;
  /** The end of the queue of work on this disk: one thing after the other. */
  queue: Promise<unknown>;
};

/** Larger maps are stored more rarely: at most this many bytes of map for each segment, on average. */
const mapBytesPerSegment = 65_536;
/** Attempts when other process servers keep taking the next name. */
const appendAttemptsMax = 3;

export function createDiskStates(deps: DiskStateDeps): DiskStates {
  const states = new Map<DiskId, DiskState>();
  function stateOf(diskId: DiskId): DiskState {
    const state = states.get(diskId) ?? {
      tail: undefined,
      map: undefined,
      mapSequence: undefined,
      queue: Promise.resolve(),
    };
    // Last used last: the maps of disks at the front are given up first.
    states.delete(diskId);
    states.set(diskId, state);
    return state;
  }
  function inTurn<Result>(diskId: DiskId, action: (state: DiskState) => Promise<Result>): Promise<Result> {
    const state = stateOf(diskId);
    const result = state.queue.then(() => action(state));
    // The caller hears of a failure through `result`; the next in the queue starts all the same.
    state.queue = result.catch(() => undefined);
    return result;
  }
  const healed = <Result>(diskId: DiskId, action: (state: DiskState) => Promise<Result>): Promise<Result> =>
    inTurn(diskId, (state) => healing(deps, { diskId, state }, () => action(state)));
  return {
    position: (diskId) => healed(diskId, async (state) => (await refresh(deps, diskId, state)).position),
    append: (diskId, batch) => healed(diskId, (state) => append(deps, { diskId, state }, batch)),
    condemn: (diskId, suspects) =>
      inTurn(diskId, async (state) => {
        await condemnBroken(deps, diskId, suspects).finally(() => forgetState(state));
      }),
    newestMap: (diskId) =>
      healed(diskId, async (state) => {
        await refresh(deps, diskId, state);
        const map = await mapOf(deps, diskId, state);
        giveUpMaps(states, diskId, deps.mapBytesMax);
        return map;
      }),
    rememberedMap(diskId, at) {
      const map = states.get(diskId)?.map;
      return map !== undefined && samePosition(map.position, at) ? map : undefined;
    },
    forget(diskId) {
      const state = states.get(diskId);
      if (state !== undefined) forgetState(state);
    },
  };
}

function forgetState(state: DiskState): void {
  state.map = undefined;
  state.tail = undefined;
}

/**
 * Whoever appends or compares must get on even when a segment is damaged that no point has needed yet: nobody would read it back and
 * condemn it. A damage that condemning cannot help is thrown on.
 */
async function healing<Result>(
  deps: DiskStateDeps,
  { diskId, state }: Target,
  action: () => Promise<Result>,
): Promise<Result> {
  try {
    return await action();
  } catch (error) {
    if (!isDamage(error)) throw error;
    const outcome = await condemnBroken(deps, diskId, new Set()).finally(() => forgetState(state));
    if (outcome === 'nothing-broken') throw error;
    return action();
  }
}

async function refresh(deps: DiskStateDeps, diskId: DiskId, state: DiskState): Promise<LogTail> {
  const tail = await refreshTail(deps, diskId, state.tail);
  // A new listing may show that segments in the map were coalesced; building it again is rare and cheap enough.
  const relisted = state.tail !== undefined && tail.listedAtMs !== state.tail.listedAtMs;
  const moved = state.map !== undefined && !samePosition(state.map.position, tail.position);
  if (moved || relisted) state.map = undefined;
  state.tail = tail;
  return tail;
}

async function mapOf(deps: DiskStateDeps, diskId: DiskId, state: DiskState): Promise<DiskMap> {
  const at = state.tail?.position;
  invariant(at, 'the tail is read before the map');
  state.map ??= await loadDiskMap(deps, diskId, at);
  return state.map;
}

type Target = { readonly diskId: DiskId; readonly state: DiskState };

async function append(deps: DiskStateDeps, { diskId, state }: Target, batch: ChangeBatch): Promise<AppendOutcome> {
  for (let attempt = 0; attempt < appendAttemptsMax; attempt += 1) {
    const tail = await refresh(deps, diskId, state);
    if (!follow(tail.position, batch.previous) || batch.epoch < tail.position.epoch) {
      return answerElsewhere(deps, diskId, { batch, tail });
    }
    await storeMapWhenDue(deps, { diskId, state });
    const outcome = await writeBatch(deps, { diskId, tail: tail.position }, batch);
    if (outcome.kind === 'created') {
      await takeIn(deps, { diskId, state }, outcome.position, batchDigest(batch));
      return { kind: 'appended', position: outcome.position, storedBytes: outcome.storedBytes };
    }
    if (outcome.kind === 'content-mismatch') return outcome;
  }
  return { kind: 'position-mismatch', position: (await refresh(deps, diskId, state)).position };
}

async function answerElsewhere(
  deps: DiskStateDeps,
  diskId: DiskId,
  { batch, tail }: { batch: ChangeBatch; tail: LogTail },
): Promise<AppendOutcome> {
  const isTail =
    tail.position.epoch === batch.epoch &&
    tail.position.sequence === batch.previous.sequence + 1 &&
    tail.contentDigest === batchDigest(batch);
  if (isTail) return { kind: 'already-there', position: tail.position };
  const stored = await findStoredBatch(deps, diskId, batch);
  if (stored !== undefined && batch.epoch === tail.position.epoch) return { kind: 'already-there', position: stored };
  return { kind: 'position-mismatch', position: tail.position };
}

/** Only now, with the segment durable, does this process's memory move on. */
async function takeIn(
  deps: DiskStateDeps,
  { diskId, state }: Target,
  position: Position,
  contentDigest: string,
): Promise<void> {
  invariant(state.tail, 'the tail is read before a segment is added');
  state.tail = { ...state.tail, position, contentDigest };
  if (state.map === undefined) return;
  const map = state.map;
  // Should reading it back fail, the map is built anew when it is needed next.
  state.map = undefined;
  const segment = await segmentAt(deps, diskId, position);
  if (segment === undefined) return;
  applyNewer(map, await readSegment(deps, segment));
  state.map = map;
}

/** Before a segment rather than after it: when storing the map fails, the sender is told and tries again. */
async function storeMapWhenDue(deps: DiskStateDeps, { diskId, state }: Target): Promise<void> {
  const sequence = state.tail?.position.sequence ?? 0;
  if (sequence < deps.segmentsPerMap) return;
  state.mapSequence ??= await newestMapSequence(deps, diskId);
  if (sequence - state.mapSequence < deps.segmentsPerMap) return;
  const map = await mapOf(deps, diskId, state);
  if (sequence - state.mapSequence < mapMemoryBytes(map) / mapBytesPerSegment) return;
  await writeMap(deps, diskId, map);
  state.mapSequence = sequence;
}

async function newestMapSequence(deps: DiskStateDeps, diskId: DiskId): Promise<number> {
  let newest = 0;
  for await (const { name } of deps.store.list(diskNames(deps.vaultId, diskId).mapFolder)) {
    const parsed = parseBlobName(deps.vaultId, name);
    if (parsed.kind === 'map') newest = Math.max(newest, parsed.sequence);
  }
  return newest;
}

function giveUpMaps(states: Map<DiskId, DiskState>, keep: DiskId, bytesMax: number): void {
  let total = 0;
  for (const { map } of states.values()) total += map === undefined ? 0 : mapMemoryBytes(map);
  for (const [diskId, state] of states) {
    if (total <= bytesMax) return;
    if (diskId === keep || state.map === undefined) continue;
    total -= mapMemoryBytes(state.map);
    state.map = undefined;
  }
}

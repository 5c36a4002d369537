import { createHmac, hash, timingSafeEqual } from 'node:crypto';
import { z } from 'zod';
import type { DiskId } from '../../domain/ids.ts';
import type { Position } from '../../domain/position.ts';
import { DamagedBlobError } from '../../protocol/damaged-blob.ts';
import type { SegmentRange } from '../../protocol/disk-map-body.ts';
import { canonicalText, positionSchema } from '../../protocol/point-manifest.ts';
import { diskNames, parseBlobName } from './blob-names.ts';
import type { SegmentReadDeps, StoredSegment } from './segment-reads.ts';
import type { CondemnedSegments, VaultFinding } from './vault.ts';

const common = { keyId: z.string().regex(/^k\d{6}$/), mac: z.string().regex(/^[0-9a-f]{64}$/) };
const problems = ['missing', 'truncated', 'changed', 'swapped', 'rolled-back', 'unsigned', 'unreadable'] as const;
const badSchema = z.strictObject({
  format: z.literal('lifeboat-condemned/1'),
  previous: positionSchema,
  problem: z.enum(problems),
  ...common,
});
const endSchema = z.strictObject({
  format: z.literal('lifeboat-condemned-end/1'),
  repairedFrom: z.number().int().min(1),
  ...common,
});

/**
 * A note in the vault that a range of a disk's log is out of use. It stands in the range's place: the chain goes on at `previous`.
 *
 * Two blobs, written in this order: the note; then, after an empty segment has moved the disk's position on, where positions count again.
 * A sender that knows a position from there on got it at the start of a comparison for which the note was in force.
 */
export type Condemned = CondemnedSegments & {
  readonly previous: Position;
  /** What stands for the range's digest when the log ends with it: SHA-256 of the note. */
  readonly digest: string;
};

/** Every note of the disk. @throws DamagedBlobError: which segments count is never guessed */
export async function listCondemned(deps: SegmentReadDeps, diskId: DiskId): Promise<Condemned[]> {
  const names = diskNames(deps.vaultId, diskId);
  const notes: Condemned[] = [];
  const ends = new Set<string>();
  for await (const { name } of deps.store.list(names.condemnedFolder)) {
    const parsed = parseBlobName(deps.vaultId, name);
    if (parsed.kind === 'condemned-end') ends.add(name);
    if (parsed.kind === 'condemned') notes.push(await readNote(deps, diskId, { name, range: parsed }));
  }
  return Promise.all(
    notes.map(async (note) => {
      const name = names.condemned(note, 'end');
      if (!ends.delete(name)) return note;
      return { ...note, repairedFrom: (await readSigned(deps, { diskId, name }, endSchema)).note.repairedFrom };
    }),
  ).then((all) => {
    const [alone] = ends;
    if (alone !== undefined) throw damagedNote('missing', alone.replace(/end$/, 'bad'));
    return all;
  });
}

/** Writes the note. `exists`: the range was condemned before. */
export async function writeCondemned(
  deps: SegmentReadDeps,
  diskId: DiskId,
  condemned: { readonly range: SegmentRange; readonly previous: Position; readonly problem: VaultFinding['problem'] },
): Promise<void> {
  const { range, previous, problem } = condemned;
  const name = diskNames(deps.vaultId, diskId).condemned(range, 'bad');
  await writeSigned(deps, { diskId, name }, { format: 'lifeboat-condemned/1', previous, problem });
}

/** Writes from which position on the disk was compared without the range. `exists`: another process was faster. */
export async function writeRepairedFrom(
  deps: SegmentReadDeps,
  diskId: DiskId,
  order: { readonly range: SegmentRange; readonly repairedFrom: number },
): Promise<void> {
  const name = diskNames(deps.vaultId, diskId).condemned(order.range, 'end');
  const { repairedFrom } = order;
  await writeSigned(deps, { diskId, name }, { format: 'lifeboat-condemned-end/1', repairedFrom });
}

/** The note whose range a position lies in. */
export function condemnedAt(
  notes: readonly Condemned[],
  at: { readonly epoch: number; readonly sequence: number },
): Condemned | undefined {
  return notes.find(
    ({ epoch, firstSequence, lastSequence }) =>
      epoch === at.epoch && firstSequence <= at.sequence && at.sequence <= lastSequence,
  );
}

/** The nearest position at or before this one that no note covers. */
export function passOver(notes: readonly Condemned[], from: Position): Position {
  let position = from;
  let note = condemnedAt(notes, position);
  while (note !== undefined && position.sequence > 0) {
    position = note.previous;
    note = condemnedAt(notes, position);
  }
  return position;
}

/** True when what lies at the position may lack what was condemned: nobody compared the whole disk in between. */
export function isLost(
  { epoch, firstSequence, repairedFrom }: CondemnedSegments,
  at: { readonly epoch: number; readonly sequence: number },
): boolean {
  const after = epoch <= at.epoch && firstSequence <= at.sequence;
  return after && (repairedFrom === undefined || at.sequence < repairedFrom);
}

/** True when the segment lies inside a condemned range. */
export function isCondemned(notes: readonly Condemned[], segment: StoredSegment): boolean {
  return notes.some(
    ({ epoch, firstSequence, lastSequence }) =>
      epoch === segment.epoch && firstSequence <= segment.firstSequence && segment.lastSequence <= lastSequence,
  );
}

async function readNote(
  deps: SegmentReadDeps,
  diskId: DiskId,
  { name, range }: { name: string; range: SegmentRange },
): Promise<Condemned> {
  const { note, bytes } = await readSigned(deps, { diskId, name }, badSchema);
  const { previous, problem } = note;
  const { epoch, firstSequence, lastSequence } = range;
  if (previous.sequence >= firstSequence || previous.epoch > epoch) throw damagedNote('unreadable', name);
  const first = { epoch, firstSequence, lastSequence: firstSequence };
  return {
    blob: diskNames(deps.vaultId, diskId).segment(firstSequence === lastSequence ? range : first),
    epoch,
    firstSequence,
    lastSequence,
    problem,
    repairedFrom: undefined,
    previous,
    digest: hash('sha256', bytes, 'hex'),
  };
}

type Signed = { readonly keyId: string; readonly mac: string };
type Place = { readonly diskId: DiskId; readonly name: string };

async function writeSigned(deps: SegmentReadDeps, { diskId, name }: Place, body: object): Promise<void> {
  const { keyId, keys } = await deps.diskKeys.forWriting(diskId);
  const note = { ...body, keyId };
  const mac = macOf(keys.authentication, name, note).toString('hex');
  await deps.store.put(name, [Buffer.from(canonicalText({ ...note, mac }))]);
}

async function readSigned<Note extends Signed>(
  deps: SegmentReadDeps,
  { diskId, name }: Place,
  schema: z.ZodType<Note>,
): Promise<{ note: Note; bytes: Buffer }> {
  const bytes = await deps.store.get(name);
  if (bytes === undefined) throw damagedNote('missing', name);
  const note = parse(bytes, name, schema);
  const { mac, ...body } = note;
  const keys = await deps.diskKeys.forReading(diskId, note.keyId);
  if (!timingSafeEqual(Buffer.from(mac, 'hex'), macOf(keys.authentication, name, body)))
    throw damagedNote('changed', name);
  return { note, bytes };
}

function parse<Note extends Signed>(bytes: Buffer, name: string, schema: z.ZodType<Note>): Note {
  try {
    const note = schema.parse(JSON.parse(bytes.toString('utf8')));
    if (canonicalText(note) !== bytes.toString('utf8')) throw new Error('it is not in canonical form');
    return note;
  } catch (cause) {
    throw damagedNote(bytes.at(-1) === '}'.charCodeAt(0) ? 'changed' : 'truncated', name, cause);
  }
}

/** The segments' headers, which the same key authenticates, begin otherwise. */
function macOf(key: Buffer, name: string, body: object): Buffer {
  return createHmac('sha256', key)
    .update(`lifeboat-condemned\n${name}\n${canonicalText(body)}`)
    .digest();
}

function damagedNote(damage: 'missing' | 'truncated' | 'changed' | 'unreadable', name: string, cause?: unknown) {
  const other = name.endsWith('bad') ? name.replace(/bad$/, 'end') : name.replace(/end$/, 'bad');
  return new DamagedBlobError(damage, `read the note of a lost segment, ${name}`, {
    cause,
    blob: name,
    nextStep: `Delete this note and ${other}: the segment is then condemned and the disk compared anew.`,
  });
}

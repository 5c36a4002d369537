import { z } from 'zod';
import { DamagedBlobError } from '../../protocol/damaged-blob.ts';
import { canonicalText } from '../../protocol/point-manifest.ts';
import type { BlobStore } from './blob-store.ts';
import { trashNoteMac } from './key-wrap.ts';

const noteSchema = z.strictObject({
  format: z.literal('lifeboat-trash/1'),
  /** The segment that replaced the ones to be deleted. */
  replacedBy: z.string().max(512),
  deleteAfterMs: z.number().int().min(0),
  mac: z.string().regex(/^[0-9a-f]{64}$/),
});

/**
 * Says since when segments are replaced, so that their deletion can wait for open readers.
 *
 * It decides only the time: what is deleted is worked out anew, so a forged note deletes nothing that is needed.
 */
export type TrashNote = { readonly replacedBy: string; readonly deleteAfterMs: number };

export type TrashDeps = { readonly store: BlobStore; readonly keyEncryptionKey: Buffer };

export async function writeTrashNote(deps: TrashDeps, name: string, note: TrashNote): Promise<void> {
  const body = { format: 'lifeboat-trash/1', ...note };
  const mac = trashNoteMac(deps.keyEncryptionKey, `${name}\n${canonicalText(body)}`);
  // `exists`: an earlier compaction was stopped after it wrote the note.
  await deps.store.put(name, [Buffer.from(canonicalText({ ...body, mac }))]);
}

/** undefined when there is no note. @throws DamagedBlobError */
export async function readTrashNote(deps: TrashDeps, name: string): Promise<TrashNote | undefined> {
  const bytes = await deps.store.get(name);
  if (bytes === undefined) return undefined;
  try {
    const { mac, ...body } = noteSchema.parse(JSON.parse(bytes.toString('utf8')));
    const expected = trashNoteMac(deps.keyEncryptionKey, `${name}\n${canonicalText(body)}`);
    if (mac !== expected || canonicalText({ ...body, mac }) !== bytes.toString('utf8')) throw new Error('wrong MAC');
    return { replacedBy: body.replacedBy, deleteAfterMs: body.deleteAfterMs };
  } catch (cause) {
    throw new DamagedBlobError('changed', `read the trash note ${name}`, {
      cause,
      nextStep: 'Delete this note: the next compaction writes it anew.',
    });
  }
}

import { z } from 'zod';
import { DamagedBlobError } from '../../protocol/damaged-blob.ts';
import { canonicalText } from '../../protocol/point-manifest.ts';
import { auditAnchorName, auditFolder, parseBlobName } from './blob-names.ts';
import { checkSignature, type PointDeps, readSigned, signatureText, signText } from './point-store.ts';

const anchorSchema = z.strictObject({
  format: z.literal('lifeboat-audit-anchor/1'),
  vaultId: z.string(),
  number: z.number().int().min(1),
  digest: z.string().regex(/^[0-9a-f]{64}$/),
  atMs: z.number().int().min(0),
});
const anchorBlobSchema = z.strictObject({ anchor: anchorSchema, signature: signatureText });

/** How far the audit trail had come at a time, and its digest there. */
export type AuditAnchor = { readonly number: number; readonly digest: string; readonly atMs: number };

/** The audit trail's head, kept where the database cannot reach: a trail whose end was cut off cannot look whole. Source: RELIABILITY 2 */
export type AuditAnchors = {
  /** Signs and writes one anchor for each hour; `exists`: this hour has one, which stays. */
  putAuditAnchor(anchor: AuditAnchor): Promise<'created' | 'exists'>;
  /** Undefined when there is none yet. @throws DamagedBlobError when the newest one is not as it was signed */
  newestAuditAnchor(): Promise<AuditAnchor | undefined>;
};

export function createAuditAnchors(deps: PointDeps): AuditAnchors {
  const { store, vaultId } = deps;
  return {
    async putAuditAnchor({ number, digest, atMs }) {
      const anchor = anchorSchema.parse({ format: 'lifeboat-audit-anchor/1', vaultId, number, digest, atMs });
      const text = canonicalText({ anchor, signature: signText(deps, canonicalText(anchor)) });
      return store.put(auditAnchorName(vaultId, atMs), [Buffer.from(text)]);
    },
    async newestAuditAnchor() {
      let newest: string | undefined;
      for await (const { name } of store.list(auditFolder(vaultId))) {
        if (parseBlobName(vaultId, name).kind === 'audit-anchor') newest = name;
      }
      return newest === undefined ? undefined : readAuditAnchor(deps, newest);
    },
  };
}

/** Reads one anchor and checks signature, form and name. @throws DamagedBlobError */
export async function readAuditAnchor(deps: PointDeps, name: string): Promise<AuditAnchor> {
  const { anchor, signature } = await readSigned(deps, name, anchorBlobSchema);
  checkSignature(deps, name, { text: canonicalText(anchor), signature });
  if (auditAnchorName(anchor.vaultId, anchor.atMs) !== name) {
    throw new DamagedBlobError('swapped', `read ${name}: it is the anchor of another hour or vault`);
  }
  return { number: anchor.number, digest: anchor.digest, atMs: anchor.atMs };
}

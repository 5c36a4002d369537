import { z } from 'zod';
import { chatRoutes } from '../../protocol/chat-api.ts';
import { type AuditAnswer, auditAnswer } from '../../protocol/people-api.ts';
import { checkAuditTrail } from '../audit-anchor.ts';
import { auditHead, listAudit } from '../store/audit.ts';
import type { Database } from '../store/database.ts';
import type { AuditAnchor } from '../vault/audit-anchors.ts';
import type { ApiDeps } from './deps.ts';
import { answer, type Reply } from './reply.ts';
import type { Router } from './route.ts';

const auditQuery = z.object({
  /** An id, a machine or a person; everything if left out. */
  about: z.string().max(200).optional(),
  countMax: z.coerce.number().int().min(1).max(10_000).default(1000),
  /** `none`: the entries alone, for what is asked for again and again. */
  check: z.enum(['whole', 'none']).default('whole'),
});

/** A vault that does not answer must not hide the trail; that it was not compared stands in the log. */
export function anchorToCompare(deps: Pick<ApiDeps, 'auditAnchors' | 'onError'>): Promise<AuditAnchor | undefined> {
  return deps.auditAnchors.newestAuditAnchor().catch((error: unknown) => {
    deps.onError(error);
    return undefined;
  });
}

/** What was done, by whom; and whether the trail itself is as it was written. Source: CHAT 5.2 (8) */
export function addAuditRoutes(router: Router, deps: ApiDeps): void {
  router.add({
    method: 'GET',
    access: 'person',
    needs: 'audit',
    url: chatRoutes.audit,
    summary: 'The audit trail about an id, a machine or a person, newest first',
    query: auditQuery,
    answer: auditAnswer,
    async handle({ query }) {
      const about = query.about === '' ? undefined : query.about;
      if (query.check === 'none') return deps.store.read((db) => entriesAlone(db, { ...query, about }));
      const anchor = await anchorToCompare(deps);
      return deps.store.read(async (db) => {
        const entries = await listAudit(db, { about, countMax: query.countMax });
        const { head, problem } = await checkAuditTrail(db, anchor, 'whole');
        return answer({
          entries,
          isChainWhole: problem === undefined,
          headDigest: head.digest,
          problem: problem ?? null,
        });
      });
    },
  });
}

/** Says nothing of the chain: it was not followed. */
async function entriesAlone(
  db: Database,
  query: { readonly about: string | undefined; readonly countMax: number },
): Promise<Reply<AuditAnswer>> {
  const entries = await listAudit(db, query);
  const { digest } = await auditHead(db);
  return answer({ entries, isChainWhole: true, isUnchecked: true, headDigest: digest, problem: null });
}

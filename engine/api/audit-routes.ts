import { z } from 'zod';
import { chatRoutes } from '../../protocol/chat-api.ts';
import { auditAnswer } from '../../protocol/people-api.ts';
import { checkAuditTrail } from '../audit-anchor.ts';
import { listAudit } from '../store/audit.ts';
import type { AuditAnchor } from '../vault/audit-anchors.ts';
import type { ApiDeps } from './deps.ts';
import { answer } from './reply.ts';
import type { Router } from './route.ts';

const auditQuery = z.object({
  /** An id, a machine or a person; everything if left out. */
  about: z.string().max(200).optional(),
  countMax: z.coerce.number().int().min(1).max(10_000).default(1000),
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
      const anchor = await anchorToCompare(deps);
      return deps.store.read(async (db) => {
        const entries = await listAudit(db, { about, countMax: query.countMax });
        const { head, problem } = await checkAuditTrail(db, anchor);
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

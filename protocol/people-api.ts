import { z } from 'zod';
import { chatSurfaceName, personName } from './chat-api.ts';

/** What the control API answers about persons and their deeds: the audit trail, link codes, authenticators. Source: CHAT 5.2 (3), (4), (8) */
export const auditView = z.object({
  number: z.number().int(),
  atMs: z.number(),
  who: z.string(),
  via: z.string(),
  what: z.string(),
  target: z.string(),
  detail: z.string(),
  /** SHA-256 over this row and the previous row's digest, hex. */
  digest: z.string(),
});
export const auditAnswer = z.object({
  entries: z.array(auditView),
  isChainWhole: z.boolean(),
  /** The chain was not followed for this answer: `isChainWhole` then says nothing. */
  isUnchecked: z.literal(true).optional(),
  headDigest: z.string(),
  /** Why the trail cannot be trusted, for people; null when it is whole. */
  problem: z.string().nullable().default(null),
});

export const linkAnswer = z.discriminatedUnion('kind', [
  /** Type it on the other side (console, or chat) within its time. */
  z.object({
    kind: z.literal('code'),
    code: z.string(),
    expiresAtMs: z.number(),
    typeWhere: z.enum(['chat', 'terminal']),
  }),
  z.object({
    kind: z.literal('linked'),
    person: personName,
    surface: chatSurfaceName,
    /** How the chat user is called there: whoever typed the code sees whom they let in. */
    displayName: z.string().default(''),
  }),
]);
export const authenticatorAnswer = z.discriminatedUnion('kind', [
  z.object({ kind: z.literal('secret'), uri: z.string(), secret: z.string() }),
  z.object({ kind: z.literal('confirmed') }),
]);

export type AuditView = z.infer<typeof auditView>;
export type AuditAnswer = z.infer<typeof auditAnswer>;
export type LinkAnswer = z.infer<typeof linkAnswer>;
export type AuthenticatorAnswer = z.infer<typeof authenticatorAnswer>;

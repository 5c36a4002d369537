import { z } from 'zod';
import type { Position } from '../domain/position.ts';
import { positionSchema } from './point-manifest.ts';

/**
 * What an agent says to a process server over HTTPS 9443 with mutual TLS, and what it answers. Source: DESIGN 3, docs/formats/change-stream.md
 *
 * Every request carries the engine's grant (replication-grant.ts). A segment is one closed `.hrl` log as the body of a PUT; it is
 * acknowledged only when it is durable, and the same PUT may be sent again at any time.
 */
export const changeStreamRoutes = {
  position: (diskId: string) => `/v1/disks/${diskId}/position`,
  /** 32 bytes a block: SHA-256 of what the vault holds, zeros for a block of zeros. */
  digests: (diskId: string, firstBlock: number, count: number) =>
    `/v1/disks/${diskId}/digests?from=${firstBlock}&count=${count}`,
  segments: (diskId: string) => `/v1/disks/${diskId}/segments`,
  health: '/healthz',
} as const;

/** Matches the path of each route; the group is the disk id, still to be checked. */
export const diskRoutePattern = /^\/v1\/disks\/([^/]{1,40})\/(position|digests|segments)$/;

/** The position that the segment follows, as the agent knows it: `<epoch>.<sequence>.<digest>`. */
export const previousHeader = 'x-lifeboat-previous';
/** What the body changes (content-digest.ts): not the digest of its bytes, which RFC 9530 has another header for. */
export const contentDigestHeader = 'x-lifeboat-content-digest';

/** How much data one segment may carry, and how many blocks one digests request may ask for. */
export const segmentDataBytesMax = 64 * 1_048_576;
export const segmentBodyBytesMax = 72 * 1_048_576;
export const digestBlockCountMax = 65_536;

export const positionAnswer = z.object({ position: positionSchema });
export const segmentAnswer = z.object({ kind: z.enum(['appended', 'already-there']), position: positionSchema });

/**
 * Why a process server did not do it.
 *
 * 400 `bad-request`, 401 `unauthenticated`, 403 `grant-refused` (a newer grant may help) and `fenced` (a newer epoch owns the disk:
 * this agent must stop), 404 `unknown-route`, 409 `position-mismatch` (with the disk's position), 413 `too-large`, 422 `bad-content`,
 * 503 `busy` (with Retry-After) and `outage`, 507 `vault-full`.
 */
export const changeStreamProblem = z.discriminatedUnion('kind', [
  z.object({ kind: z.literal('position-mismatch'), message: z.string(), position: positionSchema }),
  z.object({
    kind: z.enum([
      'bad-request',
      'unauthenticated',
      'grant-refused',
      'fenced',
      'unknown-route',
      'too-large',
      'bad-content',
      'busy',
      'outage',
      'vault-full',
    ]),
    message: z.string(),
  }),
]);
export type ChangeStreamProblem = z.infer<typeof changeStreamProblem>;
export type SegmentAnswer = z.infer<typeof segmentAnswer>;

export function formatPosition(position: Position): string {
  return `${position.epoch}.${position.sequence}.${position.digest}`;
}

/** Undefined when the text is not a position. */
export function parsePosition(text: string): Position | undefined {
  const [epoch, sequence, digest, ...rest] = text.split('.');
  if (rest.length > 0 || !/^\d{1,15}$/.test(epoch ?? '') || !/^\d{1,15}$/.test(sequence ?? '')) return undefined;
  const parsed = positionSchema.safeParse({ epoch: Number(epoch), sequence: Number(sequence), digest });
  return parsed.success ? parsed.data : undefined;
}

/** The header's value for changes with this content digest. */
export function formatContentDigest(contentDigest: Buffer): string {
  return `sha-256=:${contentDigest.toString('base64')}:`;
}

/** The content digest in the header, or undefined when it holds none. */
export function parseContentDigest(text: string): Buffer | undefined {
  const base64 = /^sha-256=:([A-Za-z0-9+/]{43}=):$/.exec(text)?.[1];
  return base64 === undefined ? undefined : Buffer.from(base64, 'base64');
}

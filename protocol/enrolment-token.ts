import { createHash } from 'node:crypto';
import { z } from 'zod';

/**
 * What a new host needs to enrol: where the engine is, which certificate authority to expect there, and a secret that works once.
 * Wire form: `lbt_` + base64url(JSON). Source: RELIABILITY 2 (Teleport join, Kubernetes TLS bootstrap)
 */
export const enrolmentToken = z.object({
  engineUrl: z.url({ protocol: /^https$/ }).max(300),
  /** SHA-256 (hex) of the DER form of the installation's certificate authority. */
  caPinSha256: z.string().regex(/^[0-9a-f]{64}$/),
  /** 256 random bits, base64url. */
  secret: z.string().regex(/^[A-Za-z0-9_-]{43}$/),
  /** Epoch milliseconds by the engine's clock. The engine's record decides; this is for a clear message only. */
  expires: z.number().int().min(0),
});
export type EnrolmentToken = z.infer<typeof enrolmentToken>;

const prefix = 'lbt_';
const wireLengthMax = 2000;

export function formatEnrolmentToken(token: EnrolmentToken): string {
  return prefix + Buffer.from(JSON.stringify(token)).toString('base64url');
}

/** Reads a token as a person pasted it; undefined when it is not one, or not all of it. */
export function parseEnrolmentToken(wire: string): EnrolmentToken | undefined {
  const text = wire.trim();
  if (!text.startsWith(prefix) || text.length > wireLengthMax) return undefined;
  const parsed = enrolmentToken.safeParse(jsonOf(Buffer.from(text.slice(prefix.length), 'base64url').toString('utf8')));
  return parsed.success ? parsed.data : undefined;
}

/** SHA-256 (hex) of the secret: all that the engine stores of a token. */
export function tokenHash(token: EnrolmentToken): string {
  return createHash('sha256').update(token.secret).digest('hex');
}

function jsonOf(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    // Not JSON is not a token: the caller sees undefined, which the schema refuses.
    return undefined;
  }
}

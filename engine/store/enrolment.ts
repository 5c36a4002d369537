import { and, eq, isNull, sql } from 'drizzle-orm';
import { type AgentId, isId } from '../../domain/ids.ts';
import type { NewToken, TokenOutcome, TokenUse } from '../enrolment.ts';
import type { Database } from './database.ts';
import { appendEvent } from './events.ts';
import { agents, enrolmentTokens, guests, protectedMachines } from './schema.ts';

/** Keeps a token's hash; its life is counted by the database's clock. */
export async function insertToken(db: Database, token: NewToken): Promise<void> {
  await db.insert(enrolmentTokens).values({
    tokenHash: token.tokenHash,
    hostName: token.hostName,
    createdBy: token.createdBy,
    expiresAt: sql`now() + make_interval(secs => ${token.lifeMs / 1000})`,
  });
}

/**
 * Uses a token up for a new agent of its host, in one transaction. An older agent of the host is revoked and its
 * machines go over to
 * the new one. A token that cannot be used changes nothing, but people are told of the attempt.
 */
export async function consumeToken(db: Database, use: TokenUse): Promise<TokenOutcome> {
  const [token] = await db
    .select({
      hostName: enrolmentTokens.hostName,
      used: sql<boolean>`${enrolmentTokens.usedAt} is not null`,
      expired: sql<boolean>`${enrolmentTokens.expiresAt} <= now()`,
    })
    .from(enrolmentTokens)
    .where(eq(enrolmentTokens.tokenHash, use.tokenHash))
    .for('update');
  if (token === undefined) return refused(db, use, { kind: 'unknown' });
  if (token.used) return refused(db, use, { kind: 'used' });
  if (token.expired) return refused(db, use, { kind: 'expired' });
  if (token.hostName !== use.hostName) return refused(db, use, { kind: 'other-host', hostName: token.hostName });
  await replaceAgent(db, use);
  await db
    .update(enrolmentTokens)
    .set({ usedAt: sql`now()`, usedByAgentId: use.agentId })
    .where(eq(enrolmentTokens.tokenHash, use.tokenHash));
  await appendEvent(db, { kind: 'host-enrolled', text: `Host ${use.hostName} is enrolled (agent ${use.agentId}).` });
  return { kind: 'consumed' };
}

async function refused(db: Database, use: TokenUse, outcome: TokenOutcome): Promise<TokenOutcome> {
  const why = outcome.kind === 'other-host' ? `for ${outcome.hostName}` : outcome.kind;
  const text = `An enrolment of host ${use.hostName} was refused: the token is ${why}.`;
  await appendEvent(db, { kind: 'enrolment-refused', text });
  return outcome;
}

async function replaceAgent(db: Database, use: TokenUse): Promise<void> {
  const [old] = await db
    .update(agents)
    .set({ revokedAt: sql`now()` })
    .where(and(eq(agents.hostName, use.hostName), isNull(agents.revokedAt)))
    .returning({ id: agents.id });
  await db.insert(agents).values({
    id: use.agentId,
    hostName: use.hostName,
    certificateFingerprint: use.certificateFingerprint,
    certificateExpiresAt: new Date(use.certificateExpiresAtMs),
  });
  if (old === undefined) return;
  await db.update(protectedMachines).set({ agentId: use.agentId }).where(eq(protectedMachines.agentId, old.id));
  await db.update(guests).set({ agentId: use.agentId }).where(eq(guests.agentId, old.id));
}

/** Remembers an agent's new certificate; `refused` when the agent is revoked or unknown. */
export async function recordRenewal(
  db: Database,
  renewal: {
    readonly agentId: AgentId;
    readonly certificateFingerprint: string;
    readonly certificateExpiresAtMs: number;
  },
): Promise<{ readonly kind: 'recorded' } | { readonly kind: 'refused' }> {
  const changed = await db
    .update(agents)
    .set({
      certificateFingerprint: renewal.certificateFingerprint,
      certificateExpiresAt: new Date(renewal.certificateExpiresAtMs),
    })
    .where(and(eq(agents.id, renewal.agentId), isNull(agents.revokedAt)))
    .returning({ id: agents.id });
  return { kind: changed.length === 1 ? 'recorded' : 'refused' };
}

/** True when the agent exists and is not revoked: asked at every call of an agent. */
export async function isAgentWelcome(db: Database, agentId: string): Promise<boolean> {
  if (!isId('agent', agentId)) return false;
  const rows = await db
    .select({ id: agents.id })
    .from(agents)
    .where(and(eq(agents.id, agentId), isNull(agents.revokedAt)));
  return rows.length === 1;
}

import { and, eq, sql } from 'drizzle-orm';
import type { z } from 'zod';
import type { CredentialFacts } from '../../domain/alert-facts.ts';
import type { credentialReportBody } from '../../protocol/credential-api.ts';
import { botCredentials } from './alert-schema.ts';
import type { Database } from './database.ts';

type Report = z.output<typeof credentialReportBody> & { readonly botName: string };

/** Bots report every hour. One that was taken out of service, whose certificate has ended since, is forgotten. */
const reportedWithinDays = 8;

/** Keeps what a bot says of what it needs, in place of what it said before. Call it in a transaction. */
export async function saveBotCredentials(db: Database, { botName, host, credentials }: Report): Promise<void> {
  await db.delete(botCredentials).where(and(eq(botCredentials.botName, botName), eq(botCredentials.host, host)));
  if (credentials.length === 0) return;
  const rows = credentials.map(({ expiresAtMs, ...rest }) => ({
    ...{ botName, host },
    ...rest,
    expiresAt: new Date(expiresAtMs),
  }));
  await db.insert(botCredentials).values(rows).onConflictDoNothing();
}

/** What bots need to go on working, and until when it is good. */
export async function listBotCredentials(db: Database): Promise<CredentialFacts[]> {
  const rows = await db
    .select()
    .from(botCredentials)
    .where(sql`${botCredentials.reportedAt} > now() - make_interval(days => ${reportedWithinDays})`);
  return rows.map(({ name, host, expiresAt, isRenewedByItself, nextStep }) => ({
    name: `${name} on ${host}`,
    expiresAtMs: expiresAt.getTime(),
    isRenewedByItself,
    nextStep,
  }));
}

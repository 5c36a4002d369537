import { and, eq, isNotNull, isNull, lt, or, sql } from 'drizzle-orm';
import type { Database } from './database.ts';
import type { ChatUser } from './people.ts';
import { linkCodes } from './people-schema.ts';

/** Who made a code: it is redeemed by the other side. */
export type CodeMaker =
  | { readonly kind: 'person'; readonly person: string }
  | ({ readonly kind: 'chat'; readonly displayName: string } & ChatUser);

export type FoundCode =
  /** `isSetUp`: the engine made it for its first admin. */
  | { readonly kind: 'good'; readonly maker: CodeMaker; readonly isSetUp: boolean }
  | { readonly kind: 'unknown' }
  | { readonly kind: 'used' }
  | { readonly kind: 'expired' };

/** Keeps a code's hash; its life is counted by the database's clock. An older code of the same maker is good no more. */
export async function insertLinkCode(
  db: Database,
  code: { readonly codeHash: string; readonly maker: CodeMaker; readonly lifeMs: number; readonly isSetUp?: boolean },
): Promise<{ readonly expiresAtMs: number }> {
  const { maker } = code;
  await db.delete(linkCodes).where(and(isNull(linkCodes.usedAt), isOf(maker)));
  // That a set-up code was used is remembered for ever.
  const isForgotten = lt(linkCodes.expiresAt, sql`now() - interval '7 days'`);
  await db.delete(linkCodes).where(and(isForgotten, or(isNull(linkCodes.usedAt), eq(linkCodes.isSetUp, false))));
  const side =
    maker.kind === 'person'
      ? { person: maker.person }
      : { surface: maker.surface, tenant: maker.tenant, user: maker.user, displayName: maker.displayName };
  const [row] = await db
    .insert(linkCodes)
    .values({
      ...side,
      codeHash: code.codeHash,
      isSetUp: code.isSetUp ?? false,
      expiresAt: sql`now() + make_interval(secs => ${code.lifeMs / 1000})`,
    })
    .returning({ expiresAt: linkCodes.expiresAt });
  return { expiresAtMs: row?.expiresAt.getTime() ?? 0 };
}

/** Looks a code up and holds it until the transaction ends, so that two cannot use it. */
export async function lockLinkCode(db: Database, codeHash: string): Promise<FoundCode> {
  const [row] = await db
    .select({
      code: linkCodes,
      isExpired: sql<boolean>`${linkCodes.expiresAt} <= now()`,
    })
    .from(linkCodes)
    .where(eq(linkCodes.codeHash, codeHash))
    .for('update');
  if (row === undefined) return { kind: 'unknown' };
  if (row.code.usedAt !== null) return { kind: 'used' };
  if (row.isExpired) return { kind: 'expired' };
  const { person, surface, tenant, user, displayName, isSetUp } = row.code;
  if (person !== null) return { kind: 'good', maker: { kind: 'person', person }, isSetUp };
  // The table's CHECKs: a code without a person has all three of these.
  if ((surface !== 'slack' && surface !== 'teams') || tenant === null || user === null) return { kind: 'unknown' };
  return { kind: 'good', maker: { kind: 'chat', surface, tenant, user, displayName }, isSetUp };
}

/** Whether a set-up code of the first admin was ever used, in chat or at the web console. */
export async function wasSetUpCodeUsed(db: Database): Promise<boolean> {
  return (await db.$count(linkCodes, and(eq(linkCodes.isSetUp, true), isNotNull(linkCodes.usedAt)))) > 0;
}

export async function burnLinkCode(db: Database, codeHash: string): Promise<void> {
  await db.update(linkCodes).set({ usedAt: sql`now()` }).where(eq(linkCodes.codeHash, codeHash));
}

function isOf(maker: CodeMaker) {
  if (maker.kind === 'person') return eq(linkCodes.person, maker.person);
  const { surface, tenant, user } = maker;
  return and(eq(linkCodes.surface, surface), eq(linkCodes.tenant, tenant), eq(linkCodes.user, user));
}

import { and, asc, eq, inArray } from 'drizzle-orm';
import type { Database } from './database.ts';
import { machineTags } from './people-schema.ts';

/** The tags of these machines, by machine; one without tags is left out. */
export async function tagsOfMachines(db: Database, names: readonly string[]): Promise<Map<string, string[]>> {
  const tags = new Map<string, string[]>();
  if (names.length === 0) return tags;
  const rows = await db
    .select()
    .from(machineTags)
    .where(inArray(machineTags.machineName, [...names]))
    .orderBy(asc(machineTags.tag));
  for (const { machineName, tag } of rows) tags.set(machineName, [...(tags.get(machineName) ?? []), tag]);
  return tags;
}

/** The machine's tags, in order. */
export async function tagsOf(db: Database, machineName: string): Promise<readonly string[]> {
  return (await tagsOfMachines(db, [machineName])).get(machineName) ?? [];
}

export async function changeTags(
  db: Database,
  change: {
    readonly machineName: string;
    readonly add: readonly string[];
    readonly remove: readonly string[];
    readonly by: string;
  },
): Promise<void> {
  const { machineName, add, remove, by } = change;
  if (remove.length > 0) {
    await db
      .delete(machineTags)
      .where(and(eq(machineTags.machineName, machineName), inArray(machineTags.tag, [...remove])));
  }
  if (add.length === 0) return;
  const rows = add.map((tag) => ({ machineName, tag, taggedBy: by }));
  await db.insert(machineTags).values(rows).onConflictDoNothing();
}

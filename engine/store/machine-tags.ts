import { and, eq, inArray, type SQL, sql } from 'drizzle-orm';
import type { Database } from './database.ts';
import { machineTags } from './people-schema.ts';

/** The tags of these machines, by machine; one without tags is left out. */
export async function tagsOfMachines(db: Database, names: readonly string[]): Promise<Map<string, string[]>> {
  if (names.length === 0) return new Map();
  return tagsWhere(db, inArray(machineTags.machineName, [...names]));
}

/** All tags that there are, by machine. */
export function allMachineTags(db: Database): Promise<Map<string, string[]>> {
  return tagsWhere(db, undefined);
}

async function tagsWhere(db: Database, condition: SQL | undefined): Promise<Map<string, string[]>> {
  const rows = await db
    .select({
      name: machineTags.machineName,
      tags: sql<string[]>`json_agg(${machineTags.tag} order by ${machineTags.tag})`,
    })
    .from(machineTags)
    .where(condition)
    .groupBy(machineTags.machineName);
  return new Map(rows.map(({ name, tags }) => [name, tags]));
}

/** The machine's tags, in order. */
export async function tagsOf(db: Database, machineName: string): Promise<readonly string[]> {
  return (await tagsOfMachines(db, [machineName])).get(machineName) ?? [];
}

/** The machines that carry one of these tags, by name. */
export async function machinesTagged(db: Database, tags: readonly string[]): Promise<string[]> {
  if (tags.length === 0) return [];
  const rows = await db
    .selectDistinct({ name: machineTags.machineName })
    .from(machineTags)
    .where(inArray(machineTags.tag, [...tags]))
    .orderBy(machineTags.machineName);
  return rows.map(({ name }) => name);
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

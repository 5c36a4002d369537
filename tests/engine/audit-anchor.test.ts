import { readdir, readFile, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { sql } from 'drizzle-orm';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { hourMs } from '../../domain/units.ts';
import { anchorAudit, beginTrailAnew, checkAuditTrail } from '../../engine/audit-anchor.ts';
import { auditProblem } from '../../engine/store/alert-audit.ts';
import { appendAudit, auditHead } from '../../engine/store/audit.ts';
import { listEvents } from '../../engine/store/events.ts';
import type { Store } from '../../engine/store/open.ts';
import { startTestPostgres, type TestPostgres } from '../fixtures/postgres.ts';
import { makeTestVault, type TestVault } from './point-fixture.ts';

let postgres: TestPostgres;
let vault: TestVault;

beforeAll(async () => {
  postgres = await startTestPostgres();
  vault = await makeTestVault();
});
afterAll(async () => {
  await vault.remove();
  await postgres.stop();
});

const add = (store: Store, target: string) =>
  store.write((db) => appendAudit(db, { who: 'ana', via: 'certificate', what: 'pause', target, detail: '' }));
const cutTo = (store: Store, number: number) =>
  store.write(async (db) => {
    await db.execute(sql`set local session_replication_role = replica`);
    await db.execute(sql`delete from audit_chain where number > ${number}`);
    await db.execute(sql`delete from audit_entries where id not in (select entry_id from audit_chain)`);
  });
const problemOf = async (store: Store) => {
  const anchor = await vault.vault.newestAuditAnchor();
  return (await store.read((db) => checkAuditTrail(db, anchor))).problem;
};

test('the vault holds the head once an hour; a cut-off end, a trail that was rewritten, and a lost one are told apart', async () => {
  const store = await postgres.freshStore();
  const told = new Set<string>();
  const anchor = () => anchorAudit({ store, auditAnchors: vault.vault, told });
  expect(await anchor()).toBe('empty');
  // As if the hour before: the anchor of this hour is still to come.
  await add(store, 'vm-1');
  const first = await store.read(auditHead);
  await vault.vault.putAuditAnchor({ ...first, atMs: (await store.nowMs()) - hourMs });
  await add(store, 'vm-2');
  await add(store, 'vm-3');
  expect(await anchor()).toBe('anchored');
  expect(await anchor()).toBe('done-before');
  expect(await vault.vault.newestAuditAnchor()).toMatchObject(await store.read(auditHead));
  expect(await problemOf(store)).toBeUndefined();
  expect((await vault.vault.verifyAll({ newestPoints: [] })).findings).toEqual([]);

  await cutTo(store, 2);
  expect(await problemOf(store)).toContain('has 2 entries, and had 3');
  await add(store, 'vm-4');
  expect(await problemOf(store)).toContain('entry 3 is not the one');

  const lost = await postgres.freshStore();
  expect(await problemOf(lost)).toContain('has 0 entries, and had 3');
  const newest = await vault.vault.newestAuditAnchor();
  expect(await lost.write((db) => beginTrailAnew(db, newest, 'ada'))).toBe(true);
  expect(await lost.write((db) => beginTrailAnew(db, newest, 'ada'))).toBe(false);
  expect(await problemOf(lost)).toBeUndefined();
});

test('a trail that was tampered with is not anchored: the newest anchor goes on to say so, and people are told once', async () => {
  const own = await makeTestVault();
  const store = await postgres.freshStore();
  await add(store, 'vm-1');
  await add(store, 'vm-2');
  await own.vault.putAuditAnchor({ ...(await store.read(auditHead)), atMs: (await store.nowMs()) - hourMs });
  await cutTo(store, 1);
  const told = new Set<string>();
  for (let time = 0; time < 2; time += 1) {
    await expect(anchorAudit({ store, auditAnchors: own.vault, told })).rejects.toThrow('was removed');
  }
  expect(await own.vault.newestAuditAnchor()).toMatchObject({ number: 2 });
  expect(await store.read(auditProblem)).toContain('was removed');
  expect((await store.read((db) => listEvents(db, 0))).map(({ kind }) => kind)).toEqual(['audit-tampered']);
  await own.remove();
});

test('an anchor that was changed, or is of another hour, is a finding and is not believed', async () => {
  const own = await makeTestVault();
  await own.vault.putAuditAnchor({ number: 7, digest: 'a'.repeat(64), atMs: Date.UTC(2026, 10, 22, 3) });
  expect(
    await own.vault.putAuditAnchor({ number: 9, digest: 'b'.repeat(64), atMs: Date.UTC(2026, 10, 22, 3, 59) }),
  ).toBe('exists');
  const names = (await readdir(own.folder, { recursive: true })).filter((name) =>
    name.includes(`${path.sep}audit${path.sep}`),
  );
  expect(names.map((name) => path.basename(name))).toEqual(['2026112203.json']);
  const file = path.join(own.folder, names[0] ?? '');
  const text = await readFile(file, 'utf8');
  const problems = async () => {
    const { findings } = await (await own.reopen()).verifyAll({ newestPoints: [] });
    return findings.map(({ problem }) => problem);
  };
  expect(await problems()).toEqual([]);
  await writeFile(file, text.replace('"number":7', '"number":6'));
  expect(await problems()).toEqual(['unsigned']);
  await expect(own.vault.newestAuditAnchor()).rejects.toThrow('signature');
  await writeFile(file, text.slice(0, -3));
  expect(await problems()).toEqual(['truncated']);
  await writeFile(file, text);
  await writeFile(path.join(path.dirname(file), '2026112204.json'), text);
  expect(await problems()).toEqual(['swapped']);
  await own.remove();
});

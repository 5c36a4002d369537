import { sql } from 'drizzle-orm';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import type { Grant, Role } from '../../../domain/access.ts';
import { decideVote } from '../../../domain/approval.ts';
import { invariant } from '../../../domain/invariant.ts';
import { hourMs } from '../../../domain/units.ts';
import { approvalViewOf } from '../../../engine/approvals/approval-view.ts';
import { changeRoles } from '../../../engine/approvals/change-roles.ts';
import { changeMachineTags } from '../../../engine/approvals/change-tags.ts';
import { approvalRecheck } from '../../../engine/approvals/recheck.ts';
import { listAudit } from '../../../engine/store/audit.ts';
import { beginAuthenticator, confirmAuthenticator } from '../../../engine/store/authenticators.ts';
import { subscribe } from '../../../engine/store/chat-places.ts';
import { changeTags, tagsOf } from '../../../engine/store/machine-tags.ts';
import { addPerson, setDisabled, setGrants } from '../../../engine/store/people.ts';
import { startTestPostgres, type TestPostgres } from '../../fixtures/postgres.ts';
import { type ApprovalSite, approvalSite, asNature, idOf, runCount, speaker } from './approval-site.ts';

let postgres: TestPostgres;
let site: ApprovalSite;
let recheck: () => Promise<void>;

beforeAll(async () => {
  postgres = await startTestPostgres();
  site = await approvalSite(await postgres.freshStore());
  recheck = approvalRecheck(site.deps);
});
afterAll(() => postgres.stop());

const everything = { kind: 'everything' } as const;
const byTag = (tag: string) => ({ kind: 'tag', tag }) as const;
const grant = (role: Role, scope: Grant['scope'] = everything): Grant => ({ role, scope });
const sealed = `${'0'.repeat(24)}.00.${'0'.repeat(32)}`;

/** ana asks, ben approves; tess only by the tag web, ada and eva are the admins. */
const cast = {
  ana: grant('operator'),
  ben: grant('approver'),
  carla: grant('approver'),
  tess: grant('approver', byTag('web')),
  ada: grant('admin'),
  eva: grant('admin'),
} as const;

beforeEach(async () => {
  await asNature(
    site.store,
    sql`update approvals set state = 'cancelled', decided_by = 'x', decided_at = now() where state in ('pending', 'approved')`,
  );
  await site.store.write(async (db) => {
    await db.execute(sql`with grant_rows as (delete from grants) delete from machine_tags`);
    for (const [name, held] of Object.entries(cast)) {
      await addPerson(db, name, 'the test');
      await setGrants(db, name, [held], 'the test');
      await setDisabled(db, name, false);
      await beginAuthenticator(db, name, sealed);
      await confirmAuthenticator(db, name);
    }
  });
});

const roles = (name: string, ...held: Grant[]) => site.store.write((db) => setGrants(db, name, held, 'root'));
/** Past what people may do. */
const nowTagged = (machineName: string, add: string[], remove: string[] = []) =>
  site.store.write((db) => changeTags(db, { machineName, add, remove, by: 'root' }));
const tags = (name: string) => site.store.read((db) => tagsOf(db, name));
const stateOf = async (id: string) => (await site.approval(id)).state;
async function pending(more: Parameters<ApprovalSite['request']>[2] = {}) {
  const machine = await site.machine();
  return { machine, id: idOf(await site.request('ana', machine.id, more)) };
}
const tag = (by: string, machineName: string, add: string[], remove: string[] = []) =>
  changeMachineTags(site.deps, { machineName, add, remove, reason: 'a new team', speaker: speaker(by) });

describe('a request of somebody who may not ask for it any more', () => {
  const losses: [string, (machineName: string) => readonly Grant[]][] = [
    ['a viewer', () => [grant('viewer')]],
    ['without any role', () => []],
    ['operator of another machine only', () => [grant('operator', { kind: 'machine', name: 'vm-other' })]],
    ['admin by a tag that the machine has not', () => [grant('admin', byTag('db'))]],
  ];
  test.each(losses)('is replaced at the vote; now they are: %s', async (_name, left) => {
    const { machine, id } = await pending();
    await roles('ana', ...left(machine.name));
    expect(await site.vote('ben', id)).toMatchObject({
      kind: 'refused',
      message: expect.stringContaining('ana, who asked for it, may not ask for it any more'),
    });
    expect(await stateOf(id)).toBe('superseded');
    expect(await runCount(site.store, machine.id)).toBe(0);
  });

  test('stays when another role of theirs is left for the machine', async () => {
    const { machine, id } = await pending();
    await roles('ana', grant('operator', { kind: 'machine', name: machine.name }));
    expect(await site.vote('ben', id)).toMatchObject({ kind: 'done' });
  });

  test('would run where the rule is left out: the test sees it', async () => {
    const blind = await approvalSite(site.store, {
      decideVote: (facts, vote) => decideVote({ ...facts, mayRequesterAsk: true }, vote),
    });
    await roles('ana', grant('operator'));
    const { machine, id } = await pending();
    await roles('ana', grant('viewer'));
    await blind.vote('ben', id);
    expect(await runCount(site.store, machine.id)).toBe(1);
  });
});

describe('what waits is looked at again', () => {
  const drawn = async (id: string) => {
    const { rows } = await site.store.read((db) =>
      db.execute<{ wanted: number }>(
        sql`select wanted_revision::int as wanted from messages where topic = ${`approval:${id}`} and kind = 'copy'`,
      ),
    );
    return rows[0]?.wanted ?? 0;
  };

  test('and ends, with its messages, when what was asked for is not what would be done', async () => {
    const place = { surface: 'slack' as const, tenant: 'T1', place: 'C1' };
    await site.store.write((db) => subscribe(db, { place, severityMin: 'warning', person: 'ana' }));
    const [changed, same] = [await pending(), await pending()];
    await recheck();
    expect(await stateOf(changed.id)).toBe('pending');
    const before = await drawn(changed.id);
    await asNature(site.store, sql`update protected_machines set epoch = epoch + 1 where id = ${changed.machine.id}`);
    await recheck();
    expect(await site.approval(changed.id)).toMatchObject({
      state: 'superseded',
      decidedBy: 'engine',
      decisionReason: expect.stringContaining('epoch: 1, now 2'),
    });
    expect(await drawn(changed.id)).toBeGreaterThan(before);
    expect(await stateOf(same.id)).toBe('pending');
    const trail = await site.store.read((db) => listAudit(db, { about: changed.id, countMax: 5 }));
    expect(trail.map(({ who, what }) => `${who}: ${what}`)).toContain('engine: approval superseded');
  });

  test('and goes on waiting when it merely cannot be done at this moment', async () => {
    const { id } = await pending();
    await asNature(site.store, sql`update agents set last_seen_at = now() - interval '1 hour'`);
    await recheck();
    await asNature(site.store, sql`update agents set last_seen_at = now() + interval '1 day'`);
    expect(await stateOf(id)).toBe('pending');
  });

  test('and ends before its time when who asked, or who approved, may not any more', async () => {
    const later = { notBeforeMs: Date.now() + hourMs };
    const [first, second] = [await pending(later), await pending(later)];
    await site.vote('ben', first.id);
    await site.vote('carla', second.id);
    await recheck();
    expect([await stateOf(first.id), await stateOf(second.id)]).toEqual(['approved', 'approved']);
    await roles('ben', grant('operator'));
    await recheck();
    expect([await stateOf(first.id), await stateOf(second.id)]).toEqual(['superseded', 'approved']);
    await roles('ana', grant('viewer'));
    await recheck();
    expect(await site.approval(second.id)).toMatchObject({
      state: 'superseded',
      decisionReason: expect.stringContaining('may not ask for it any more'),
    });
  });
});

describe('tags and what waits', () => {
  test('nobody becomes approver of what waits by a tag that comes later: it is replaced, before anybody clicks', async () => {
    const { machine, id } = await pending();
    await nowTagged(machine.name, ['web']);
    expect(await site.vote('tess', id)).toMatchObject({ kind: 'refused' });
    expect(await site.vote('ben', id)).toMatchObject({
      kind: 'refused',
      message: expect.stringContaining('was replaced'),
    });
    expect(await site.approval(id)).toMatchObject({
      state: 'superseded',
      decisionReason: expect.stringContaining('deciding tags: none, now web'),
    });
    const other = await pending();
    await nowTagged(other.machine.name, ['web']);
    await recheck();
    expect(await stateOf(other.id)).toBe('superseded');
    expect(await runCount(site.store, machine.id)).toBe(0);
  });

  test('a tag by which nobody decides changes nothing, and with its tag from the beginning tess decides', async () => {
    const { machine, id } = await pending();
    await nowTagged(machine.name, ['wave:2']);
    await recheck();
    expect(await site.vote('ben', id)).toMatchObject({ kind: 'done', runId: expect.any(String) });
    const tagged = await site.machine();
    await nowTagged(tagged.name, ['web']);
    const asked = idOf(await site.request('ana', tagged.id));
    expect(await site.vote('tess', asked)).toMatchObject({ kind: 'done', runId: expect.any(String) });
  });
});

describe('a change of tags', () => {
  test('by which nobody decides is made at once', async () => {
    expect(await tag('ada', 'vm-t', ['wave:2', 'tier:0'])).toMatchObject({ kind: 'changed' });
    expect(await tags('vm-t')).toEqual(['tier:0', 'wave:2']);
    expect(await tag('ada', 'vm-t', ['wave:2'])).toMatchObject({ message: expect.stringContaining('Nothing changes') });
  });

  test.each<[string, string[], string[], string[]]>([
    ['takes tier:0 away', ['tier:0'], [], ['tier:0']],
    ['makes somebody approver', [], ['web'], []],
    ['makes somebody no approver', ['web'], [], ['web']],
  ])('that %s waits for another admin', async (_name, before, add, remove) => {
    await nowTagged('vm-w', before);
    const id = idOf((await tag('ada', 'vm-w', add, remove)) as Parameters<typeof idOf>[0]);
    expect(await tags('vm-w')).toEqual(before);
    const view = await site.store.read((db) => approvalViewOf(db, id));
    expect(view).toMatchObject({
      operation: 'change-approvers',
      machineNames: ['vm-w'],
      tagChange: expect.stringContaining('→'),
      eligible: ['eva'],
      neededCount: 1,
    });
    expect(await site.vote('ada', id)).toMatchObject({ kind: 'refused', message: expect.stringContaining('own') });
    expect(await site.vote('ben', id)).toMatchObject({
      kind: 'refused',
      message: expect.stringContaining('not an admin'),
    });
    expect(await tags('vm-w')).toEqual(before);
    expect(await site.vote('eva', id)).toMatchObject({
      kind: 'done',
      message: expect.stringContaining('holds from now'),
    });
    expect(await tags('vm-w')).toEqual(add);
    const trail = await site.store.read((db) => listAudit(db, { about: 'vm-w', countMax: 5 }));
    expect(trail[0]).toMatchObject({ who: 'eva', what: 'tags changed', detail: expect.stringContaining(id) });
  });

  test('is made alone by the only admin who has codes, and the trail says why', async () => {
    await nowTagged('vm-s', ['tier:0']);
    await roles('eva', grant('operator'));
    expect(await tag('ada', 'vm-s', [], ['tier:0'])).toMatchObject({
      kind: 'changed',
      message: expect.stringContaining('No approval was asked for'),
    });
    expect(await tags('vm-s')).toEqual([]);
    const trail = await site.store.read((db) => listAudit(db, { about: 'vm-s', countMax: 5 }));
    expect(trail[0]).toMatchObject({ who: 'ada', what: 'tags without approval' });
  });

  const changes: [string, (name: string) => Promise<unknown>, string][] = [
    ['the tags have changed', (name) => nowTagged(name, ['db']), 'have changed meanwhile'],
    ['somebody else decides by the tag', () => roles('ben', grant('admin', byTag('web'))), 'deciders changed'],
    ['who asked is no admin', () => roles('ada', grant('approver')), 'is not an admin of everything any more'],
  ];
  test.each(changes)('is dead when %s meanwhile', async (_name, meanwhile, words) => {
    const { name } = await site.machine();
    const id = idOf((await tag('ada', name, ['web'])) as Parameters<typeof idOf>[0]);
    await meanwhile(name);
    expect(await site.vote('eva', id)).toMatchObject({ kind: 'refused', message: expect.stringContaining(words) });
    expect(await stateOf(id)).toBe('superseded');
    expect(await tags(name)).not.toContain('web');
  });

  test('is replaced by another one of the same machine, and ended by one that is made at once', async () => {
    const first = idOf((await tag('ada', 'vm-r', ['web'])) as Parameters<typeof idOf>[0]);
    const second = idOf((await tag('eva', 'vm-r', ['web', 'db'])) as Parameters<typeof idOf>[0]);
    expect([await stateOf(first), await stateOf(second)]).toEqual(['superseded', 'pending']);
    await tag('ada', 'vm-r', ['wave:1']);
    expect(await stateOf(second)).toBe('superseded');
    expect(await tags('vm-r')).toEqual(['wave:1']);
  });

  test('by which nobody decides yet ends the request to let somebody decide by it: the approver read which machines it is about', async () => {
    const wanted = { role: { scope: byTag('db'), role: 'approver' as const } };
    const asked = await changeRoles(site.deps, { person: 'ana', wanted, speaker: speaker('ada'), reason: 'r' });
    invariant(asked.kind === 'done', 'it waits for approval');
    await tag('ada', 'vm-db', ['db']);
    expect(await site.vote('eva', asked.approvalId)).toMatchObject({
      kind: 'refused',
      message: expect.stringContaining('tagged machines'),
    });
    const again = await changeRoles(site.deps, { person: 'ana', wanted, speaker: speaker('ada'), reason: 'r' });
    invariant(again.kind === 'done', 'it waits for approval');
    expect((await site.approval(again.approvalId)).shown.impact.join(' ')).toContain('vm-db');
    expect(await site.vote('eva', again.approvalId)).toMatchObject({ kind: 'done' });
  });
});

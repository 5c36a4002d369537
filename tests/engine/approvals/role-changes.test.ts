import { sql } from 'drizzle-orm';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import type { Grant, Role } from '../../../domain/access.ts';
import { invariant } from '../../../domain/invariant.ts';
import { approvalViewOf } from '../../../engine/approvals/approval-view.ts';
import { changeRoles, type RoleChangeOrder, type RoleChangeOutcome } from '../../../engine/approvals/change-roles.ts';
import { settleDueApprovals } from '../../../engine/approvals/due.ts';
import { proposalDigest } from '../../../engine/approvals/proposal.ts';
import { withdraw } from '../../../engine/approvals/withdraw.ts';
import { listAudit } from '../../../engine/store/audit.ts';
import { beginAuthenticator, confirmAuthenticator, findAuthenticator } from '../../../engine/store/authenticators.ts';
import { subscribe } from '../../../engine/store/chat-places.ts';
import { brokenConstraint } from '../../../engine/store/database.ts';
import { listEvents } from '../../../engine/store/events.ts';
import { listCopies } from '../../../engine/store/messages.ts';
import { addPerson, findPerson, linkUser, setDisabled, setGrants, siteAdmins } from '../../../engine/store/people.ts';
import { startTestPostgres, type TestPostgres } from '../../fixtures/postgres.ts';
import { type ApprovalSite, approvalSite, asNature, letExpire, speaker } from './approval-site.ts';

let postgres: TestPostgres;
let site: ApprovalSite;

beforeAll(async () => {
  postgres = await startTestPostgres();
  site = await approvalSite(await postgres.freshStore());
});
afterAll(() => postgres.stop());

const everything = { kind: 'everything' } as const;
const vm7 = { kind: 'machine', name: 'vm-7' } as const;
const grant = (role: Role, scope: Grant['scope'] = everything): Grant => ({ role, scope });
const sealed = `${'0'.repeat(24)}.00.${'0'.repeat(32)}`;

/** Two admins who can decide, one who is told of everything and has no telephone, and people below them. */
const cast: Readonly<Record<string, readonly Grant[]>> = {
  ada: [grant('admin')],
  eva: [grant('admin')],
  nia: [grant('admin', vm7)],
  ben: [grant('operator')],
  carla: [grant('approver')],
};
const telephones = ['ada', 'eva', 'nia', 'ben', 'carla'];

beforeEach(async () => {
  await asNature(
    site.store,
    sql`update approvals set state = 'cancelled', decided_by = 'x', decided_at = now() where state = 'pending'`,
  );
  await site.store.write(async (db) => {
    await db.execute(sql`delete from grants`);
    for (const [name, grants] of Object.entries(cast)) {
      await addPerson(db, name, 'the test');
      await setGrants(db, name, grants, 'the test');
      await setDisabled(db, name, false);
    }
    for (const name of telephones) await giveTelephone(db, name);
  });
});

type Db = Parameters<typeof findPerson>[0];
async function giveTelephone(db: Db, name: string): Promise<void> {
  await beginAuthenticator(db, name, sealed);
  await confirmAuthenticator(db, name);
}
const promote = (name: string, ...grants: Grant[]) =>
  site.store.write(async (db) => {
    await addPerson(db, name, 'the test');
    await setGrants(db, name, grants, 'the test');
    await giveTelephone(db, name);
  });

function change(by: string, person: string, wanted: RoleChangeOrder['wanted'], reason = 'the team changed') {
  return changeRoles(site.deps, { person, wanted, speaker: speaker(by), reason });
}
const role = (name: Role | undefined, scope: Grant['scope'] = everything) => ({ role: { scope, role: name } });
function idOf(outcome: RoleChangeOutcome): string {
  invariant(outcome.kind === 'done', `a request, not: ${'message' in outcome ? outcome.message : ''}`);
  return outcome.approvalId;
}
const grantsOf = async (name: string) => (await site.store.read((db) => findPerson(db, name)))?.grants;
const trail = (about: string) => site.store.read((db) => listAudit(db, { about, countMax: 50 }));
const says = (words: string) => ({ kind: 'refused', message: expect.stringContaining(words) });

describe('who may approve', () => {
  test('changes when another admin has approved exactly that, once, and the trail says who asked and who agreed', async () => {
    const id = idOf(await change('ada', 'ben', role('approver', vm7)));
    expect(await grantsOf('ben')).toEqual([grant('operator')]);
    expect(await site.store.read((db) => approvalViewOf(db, id))).toMatchObject({
      operation: 'change-approvers',
      machineNames: [],
      subject: { person: 'ben', change: 'operator → operator, approver for vm-7' },
      neededCount: 1,
      eligible: ['eva'],
      facts: [
        { label: 'Roles now', value: 'operator' },
        { label: 'Roles after it', value: 'operator, approver for vm-7' },
      ],
    });
    const { digest, params } = await site.approval(id);
    expect(digest).toBe(proposalDigest(params as object));
    expect(await site.vote('eva', id, { via: 'slack' })).toMatchObject({
      kind: 'done',
      message: 'eva approved the role change of ben: operator → operator, approver for vm-7. It holds from now on.',
    });
    expect(await grantsOf('ben')).toEqual(expect.arrayContaining([grant('operator'), grant('approver', vm7)]));
    expect(await site.approval(id)).toMatchObject({ state: 'succeeded', decidedBy: 'eva' });
    const entries = (await trail(id)).map(({ who, what, target }) => `${who}: ${what} ${target}`).reverse();
    expect(entries).toEqual([
      `ada: approval requested ${id}`,
      `eva: vote approve ${id}`,
      `eva: approval executing ${id}`,
      'eva: person changed ben',
    ]);
    expect(await site.vote('eva', id)).toMatchObject(says('Already decided'));
  });

  test.each<[string, RoleChangeOrder['wanted'], string]>([
    ['is disabled', { isDisabled: true }, 'disabled'],
    ['loses the role', role(undefined), 'approver → no role'],
    ['sets up new codes', { resetAuthenticator: true }, 'without an authenticator'],
    [
      'is operator only, unlinked and disabled',
      { grants: [grant('operator')], isDisabled: true, unlink: ['slack'] },
      'approver → operator; disabled; unlinked from slack',
    ],
  ])('changes too when an approver %s', async (_what, wanted, words) => {
    const before = await site.store.read((db) => findPerson(db, 'carla'));
    const id = idOf(await change('ada', 'carla', wanted));
    expect((await site.store.read((db) => approvalViewOf(db, id)))?.subject?.change).toBe(words);
    expect(await site.store.read((db) => findPerson(db, 'carla'))).toEqual(before);
    expect(await site.store.read((db) => findAuthenticator(db, 'carla'))).toBeDefined();
    expect(await site.vote('eva', id)).toMatchObject({ kind: 'done' });
    const after = await site.store.read((db) => findPerson(db, 'carla'));
    expect(after?.isDisabled).toBe(wanted.isDisabled ?? false);
    if (wanted.resetAuthenticator === true) {
      expect(await site.store.read((db) => findAuthenticator(db, 'carla'))).toBeUndefined();
    }
  });

  test('a new person with the role is there only when it was approved', async () => {
    const wanted = { grants: [grant('approver')] };
    const first = idOf(await change('ada', 'newcomer', wanted));
    expect(await site.vote('eva', first, { decision: 'reject', reason: 'who is that?' })).toMatchObject({
      kind: 'done',
    });
    expect(await grantsOf('newcomer')).toBeUndefined();
    const second = idOf(await change('ada', 'newcomer', wanted));
    await site.vote('eva', second);
    expect(await grantsOf('newcomer')).toEqual([grant('approver')]);
  });

  test('what changes no approver is immediate', async () => {
    expect(await change('ada', 'ben', role('viewer', vm7))).toEqual({
      kind: 'changed',
      message: 'ada changed ben: operator → operator, viewer for vm-7.',
    });
    expect(await change('ada', 'ben', role('viewer', vm7))).toMatchObject({
      message: expect.stringContaining('Nothing changes'),
    });
    expect(await change('ada', 'ben', { isDisabled: true })).toMatchObject({ message: 'ada changed ben: disabled.' });
  });
});

describe('who decides about it', () => {
  test('neither who asks, nor the person whom it is about, nor whoever is not an admin of everything', async () => {
    const id = idOf(await change('ada', 'carla', role('admin', vm7)));
    expect(await site.vote('ada', id)).toMatchObject(says('own request'));
    expect(await site.vote('carla', id)).toMatchObject(says('own rights'));
    expect(await site.vote('ben', id)).toMatchObject(says('not an admin of everything'));
    expect(await site.vote('nia', id)).toMatchObject(says('not an admin of everything. Who may: eva'));
    expect(await site.vote('eva', id, { code: undefined })).toMatchObject({ kind: 'refused', why: 'step-up' });
    expect(await site.vote('eva', id, { code: '000000' })).toMatchObject({ kind: 'refused', why: 'step-up' });
    expect(await grantsOf('carla')).toEqual([grant('approver')]);
  });

  test('an admin whom it is about does not, whether giving or taking', async () => {
    await promote('max', grant('admin'));
    const id = idOf(await change('ada', 'eva', role('operator')));
    expect((await site.store.read((db) => approvalViewOf(db, id)))?.eligible).toEqual(['max']);
    expect(await site.vote('eva', id)).toMatchObject(says('own rights'));
    expect(await site.vote('eva', id, { decision: 'reject', reason: 'no' })).toMatchObject(says('own rights'));
    expect(await site.vote('max', id)).toMatchObject({ kind: 'done' });
    expect(await grantsOf('eva')).toEqual([grant('operator')]);
  });

  test('two of them for admin of everything, where there are two', async () => {
    await promote('max', grant('admin'));
    const id = idOf(await change('ada', 'ben', role('admin')));
    expect(await site.vote('max', id)).toMatchObject({ kind: 'done', message: expect.stringContaining('1 more') });
    expect(await site.vote('max', id)).toMatchObject(says('approved this already'));
    expect(await grantsOf('ben')).toEqual([grant('operator')]);
    expect(await site.vote('eva', id)).toMatchObject({ kind: 'done' });
    expect(await grantsOf('ben')).toEqual([grant('admin')]);
  });

  test('nobody when nobody could: it is done at once, and the trail says why', async () => {
    await site.store.write((db) => db.execute(sql`delete from authenticators where person = 'eva'`));
    const outcome = await change('ada', 'ben', role('approver'));
    expect(outcome).toMatchObject({
      kind: 'changed',
      message: expect.stringContaining('No approval was asked for: nobody else'),
    });
    expect(await grantsOf('ben')).toEqual([grant('approver')]);
    expect((await trail('ben')).find(({ what }) => what === 'person without approval')).toMatchObject({
      who: 'ada',
      detail: expect.stringContaining('operator → approver; no approval was asked for: nobody else is active'),
    });
  });

  test('of two admins neither gets rid of the other alone', async () => {
    for (const wanted of [{ isDisabled: true }, { resetAuthenticator: true }, role(undefined)]) {
      expect(await change('ada', 'eva', wanted)).toMatchObject(says('the only one who could is eva'));
    }
  });
});

describe('a request for it', () => {
  test('is the same when asked again, is not asked twice, and is replaced by another one', async () => {
    await promote('max', grant('admin'));
    const id = idOf(await change('ada', 'ben', role('approver')));
    expect(idOf(await change('ada', 'ben', role('approver')))).toBe(id);
    expect(await change('eva', 'ben', role('approver'))).toMatchObject(says(`ada has asked for exactly this: ${id}`));
    const other = idOf(await change('ada', 'ben', role('approver', vm7)));
    expect(await site.approval(id)).toMatchObject({ state: 'superseded' });
    expect(await site.vote('eva', id)).toMatchObject(says('was replaced'));
    expect(await withdraw(site.deps, { approvalId: other, speaker: speaker('ada') })).toMatchObject({ kind: 'done' });
    expect(await site.vote('eva', other)).toMatchObject(says('ada has withdrawn'));
    expect(await grantsOf('ben')).toEqual([grant('operator')]);
  });

  test('is dead when the person’s roles change meanwhile, by the host or by an admin', async () => {
    const first = idOf(await change('ada', 'ben', role('approver', vm7)));
    await site.store.write((db) => setGrants(db, 'ben', [grant('viewer')], 'administrator on the engine host'));
    expect(await site.vote('eva', first)).toMatchObject(says('it was operator, it is viewer'));
    expect(await site.approval(first)).toMatchObject({ state: 'superseded' });
    const second = idOf(await change('ada', 'ben', role('approver', vm7)));
    expect(await change('eva', 'ben', role('operator'))).toMatchObject({ kind: 'changed' });
    expect(await site.approval(second)).toMatchObject({
      state: 'superseded',
      decisionReason: expect.stringContaining('eva changed ben meanwhile: viewer → operator'),
    });
    expect(await grantsOf('ben')).toEqual([grant('operator')]);
  });

  test('is dead when two must agree from now on', async () => {
    const id = idOf(await change('ada', 'ben', role('admin')));
    await promote('max', grant('admin'));
    expect(await site.vote('eva', id)).toMatchObject(says('needed count: 1, now 2'));
    expect(await grantsOf('ben')).toEqual([grant('operator')]);
  });

  test('is dead when who asked is no admin any more', async () => {
    const id = idOf(await change('ada', 'ben', role('approver')));
    await site.store.write((db) => setGrants(db, 'ada', [grant('approver')], 'administrator on the engine host'));
    expect(await site.vote('eva', id)).toMatchObject(says('ada, who asked for it, is not an admin'));
    expect(await site.approval(id)).toMatchObject({ state: 'superseded' });
    expect(await grantsOf('ben')).toEqual([grant('operator')]);
  });

  test('is dead when who asked is disabled', async () => {
    const id = idOf(await change('ada', 'ben', role('approver')));
    await site.store.write((db) => setDisabled(db, 'ada', true));
    expect(await site.vote('eva', id)).toMatchObject({ kind: 'refused' });
    expect(await site.approval(id)).toMatchObject({ state: 'superseded' });
    expect(await grantsOf('ben')).toEqual([grant('operator')]);
  });

  test('expires after a day, by the duty and by a vote', async () => {
    const ids = [
      idOf(await change('ada', 'ben', role('approver'))),
      idOf(await change('ada', 'carla', role('operator'))),
    ];
    for (const id of ids) {
      const { expiresAtMs, requestedAtMs } = await site.approval(id);
      expect(Math.round((expiresAtMs - requestedAtMs) / 3_600_000)).toBe(24);
      await letExpire(site.store, id);
    }
    expect(await site.vote('eva', ids[0] ?? '')).toMatchObject({ kind: 'refused' });
    await settleDueApprovals(site.deps);
    for (const id of ids) expect(await site.approval(id)).toMatchObject({ state: 'expired' });
    expect([await grantsOf('ben'), await grantsOf('carla')]).toEqual([[grant('operator')], [grant('approver')]]);
  });

  test('is shown to the admins who may decide and in the subscribed channels', async () => {
    const place = { surface: 'slack', tenant: 'T1' } as const;
    await site.store.write(async (db) => {
      await subscribe(db, { place: { ...place, place: 'C-DR' }, severityMin: 'info', person: 'ada' });
      for (const name of ['ada', 'eva', 'nia', 'ben']) {
        await linkUser(db, { ...place, user: `U-${name}`, person: name, displayName: name });
      }
    });
    const id = idOf(await change('ada', 'ben', role('approver')));
    const copies = await site.store.read((db) => listCopies(db, `approval:${id}`));
    expect(copies.map((copy) => copy.place).sort()).toEqual(['C-DR', 'user:U-eva']);
    await site.vote('eva', id);
    const { rows } = await site.store.read((db) =>
      db.execute<{ place: string; subject: string }>(
        sql`select place, content ->> 'title' as subject from messages where content ->> 'title' like 'What you may do%'`,
      ),
    );
    expect(rows).toEqual([{ place: 'user:U-ben', subject: 'What you may do has changed' }]);
  });
});

describe('at the same moment', () => {
  const done = (outcomes: readonly { readonly kind: string }[]) =>
    outcomes.filter(({ kind }) => kind === 'done').length;

  test('two admins click: it is done once', async () => {
    await promote('max', grant('admin'));
    const after = (await site.store.read((db) => listEvents(db, 0))).at(-1)?.number ?? 0;
    const id = idOf(await change('ada', 'ben', role('approver')));
    const clicks = Array.from({ length: 10 }, (_, index) => site.vote(index % 2 === 0 ? 'eva' : 'max', id));
    expect(done(await Promise.all(clicks))).toBe(1);
    expect((await trail(id)).filter(({ what }) => what === 'person changed')).toHaveLength(1);
    const events = await site.store.read((db) => listEvents(db, after));
    expect(events.filter(({ kind }) => kind === 'approval-succeeded')).toHaveLength(1);
    expect(await grantsOf('ben')).toEqual([grant('approver')]);
  });

  test('twenty requests for one person leave one that is open', async () => {
    const ask = (index: number) => change(index % 2 === 0 ? 'ada' : 'eva', 'ben', role('approver'));
    await Promise.all(Array.from({ length: 20 }, (_, index) => ask(index)));
    const { rows } = await site.store.read((db) =>
      db.execute(sql`select 1 from approvals where concerns = 'ben' and state = 'pending'`),
    );
    expect(rows).toHaveLength(1);
  });

  test('two admins who both want to leave, each approved by the other: one stays', async () => {
    for (let round = 0; round < 5; round += 1) {
      await site.store.write(async (db) => {
        for (const name of ['ada', 'eva']) await setGrants(db, name, [grant('admin')], 'the test');
      });
      const first = idOf(await change('ada', 'ada', role('operator')));
      const second = idOf(await change('eva', 'eva', role('operator')));
      const outcomes = await Promise.all([site.vote('eva', first), site.vote('ada', second)]);
      expect(done(outcomes)).toBe(1);
      expect(await site.store.read(siteAdmins)).toHaveLength(1);
      await asNature(
        site.store,
        sql`update approvals set state = 'cancelled', decided_by = 'x', decided_at = now() where state = 'pending'`,
      );
    }
  });

  test('a vote and an immediate change of the same person: the roles are those of one of them, in one order', async () => {
    const id = idOf(await change('ada', 'ben', role('approver', vm7)));
    await Promise.all([site.vote('eva', id), change('ada', 'ben', role('viewer'))]);
    const { state } = await site.approval(id);
    const grants = await grantsOf('ben');
    if (state === 'superseded') expect(grants).toEqual([grant('viewer')]);
    else expect(grants).toEqual(expect.arrayContaining([grant('viewer'), grant('approver', vm7)]));
    expect(['superseded', 'succeeded']).toContain(state);
  });
});

describe('the database refuses, also when our own code is wrong', () => {
  const tried = (statement: ReturnType<typeof sql>) =>
    site.store
      .write((db) => db.execute(statement))
      .then(
        () => undefined,
        (error: unknown) => brokenConstraint(error),
      );

  test('another person in a request, and a vote about one’s own rights', async () => {
    const id = idOf(await change('ada', 'carla', role('admin')));
    expect(await tried(sql`update approvals set concerns = 'ben', revision = revision + 1 where id = ${id}`)).toBe(
      'approvals_fixed',
    );
    const vote = (person: string) =>
      sql`insert into approval_votes (approval_id, person, decision, via, reason, step_up) values (${id}, ${person}, 'approve', 'x', '', 'totp')`;
    expect(await tried(vote('carla'))).toBe('approval_votes_own_rights');
    expect(await tried(vote('ada'))).toBe('approval_votes_own_request');
    expect(
      await tried(
        sql`update approvals set state = 'executing', revision = revision + 1, decided_by = 'x', decided_at = now() where id = ${id}`,
      ),
    ).toBe('approvals_quorum');
  });

  test('a request about nothing, about two things, and a break-glass about a person', async () => {
    const insert = (operation: string, concerns: string | null) =>
      sql`insert into approvals (id, operation, concerns, digest, params, needed_count, reason, requested_by, requested_via, expires_at, shown)
        values ('apr_0000000001', ${operation}, ${concerns}, ${'0'.repeat(64)}, '{}', 1, 'x', 'ada', 'x', now() + interval '1 day', '{}')`;
    expect(await tried(insert('change-approvers', null))).toBe('approvals_about');
    expect(await tried(insert('planned-failover', 'ben'))).toBe('approvals_about');
    expect(await tried(insert('change-approvers', 'Not A Name'))).toBe('approvals_concerns');
    const id = idOf(await change('ada', 'ben', role('approver')));
    expect(
      await tried(
        sql`update approvals set is_break_glass = true, review_due_at = now(), state = 'executing', decided_by = 'x', decided_at = now(), revision = revision + 1 where id = ${id}`,
      ),
    ).toBe('approvals_break_glass_machine');
  });
});

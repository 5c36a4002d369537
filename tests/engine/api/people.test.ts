import { sql } from 'drizzle-orm';
import { Secret, TOTP } from 'otpauth';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { Grant, Role } from '../../../domain/access.ts';
import { invariant } from '../../../domain/invariant.ts';
import type { Workflow } from '../../../engine/api/deps.ts';
import { auditHead, listAudit } from '../../../engine/store/audit.ts';
import { listEvents } from '../../../engine/store/events.ts';
import { changeTags } from '../../../engine/store/machine-tags.ts';
import { findMachineByName, markProtected } from '../../../engine/store/machines.ts';
import { addPerson, linkUser, setDisabled, setGrants } from '../../../engine/store/people.ts';
import { actorHeader, type ChatActor, chatRoutes, personView } from '../../../protocol/chat-api.ts';
import { routes, whoamiView } from '../../../protocol/control-api.ts';
import { auditAnswer, authenticatorAnswer, linkAnswer } from '../../../protocol/people-api.ts';
import { startTestPostgres, type TestPostgres } from '../../fixtures/postgres.ts';
import { type Caller, guestReport, heartbeatOf, startTestApi, type TestApi } from './api-fixture.ts';

let postgres: TestPostgres;
let api: TestApi;
let ada: Caller;
const workflow: Workflow = {
  planTestFailover: async () => ({ kind: 'refused', message: 'nothing to plan' }),
  startTestFailover: async () => ({ kind: 'started', runId: 'run_0000000001' }),
  startCleanup: async () => ({ kind: 'refused', message: 'no drill' }),
};

beforeAll(async () => {
  postgres = await startTestPostgres();
  api = await startTestApi(await postgres.freshStore(), { workflow });
  ada = await api.as({ kind: 'person', name: 'ada' });
  const agent = (await api.enrol('host-1')).caller;
  await agent.post(routes.heartbeat, heartbeatOf(['vm-7', 'vm-8', 'vm-9'].map((name) => guestReport(name))));
  for (const machine of ['vm-7', 'vm-8']) {
    expect((await ada.post(routes.enable, { machine })).status).toBe(200);
    await api.store.write(async (db) => {
      const found = await findMachineByName(db, machine);
      invariant(found, 'it is enabled');
      await markProtected(db, found.id);
    });
  }
});
afterAll(async () => {
  await Promise.allSettled([Promise.resolve().then(() => api.stop())]);
  await postgres.stop();
});

const everywhere = (role: Role): Grant => ({ role, scope: { kind: 'everything' } });
const on = (role: Role, name: string): Grant => ({ role, scope: { kind: 'machine', name } });
async function addAs(name: string, ...grants: Grant[]): Promise<Caller> {
  await api.store.write(async (db) => {
    await addPerson(db, name, 'the test');
    await setGrants(db, name, grants, 'the test');
  });
  return api.as({ kind: 'person', name });
}
const linkTo = (person: string, user: string, more: Partial<ChatActor> = {}) =>
  api.store.write((db) => linkUser(db, { surface: 'slack', tenant: 'T1', user, displayName: user, ...more, person }));
const trail = (about?: string) => api.store.read((db) => listAudit(db, { about, countMax: 100 }));
const pause = (caller: Caller, machine = 'vm-7') => caller.post(routes.pause, { machine, forMs: 60_000, reason: 'x' });

describe('who speaks', () => {
  test('a linked member of the chat is the person, with their roles', async () => {
    await addAs('lena', everywhere('operator'));
    await linkTo('lena', 'U-lena');
    const lena = await api.inChat('U-lena');
    const who = whoamiView.parse((await lena.get(routes.whoami)).body);
    expect(who).toMatchObject({
      name: 'lena',
      roles: ['operator'],
      via: 'slack',
      isLinked: true,
      hasAuthenticator: false,
    });
    expect((await pause(lena)).body).toMatchObject({ kind: 'done', message: expect.stringContaining('lena paused') });
    await lena.post(routes.resume, { machine: 'vm-7' });
  });

  test('somebody in chat who is linked to nobody may ask who they are and link, and hears why nothing else', async () => {
    const stranger = await api.inChat('U-new', { displayName: 'New Person' });
    expect(whoamiView.parse((await stranger.get(routes.whoami)).body)).toMatchObject({
      name: 'New Person',
      roles: [],
      isLinked: false,
    });
    const refusal = {
      status: 403,
      body: {
        kind: 'not-linked',
        message: expect.stringContaining('linked to no person'),
        nextStep: expect.stringContaining('link'),
      },
    };
    expect(await stranger.get(routes.machines)).toMatchObject(refusal);
    expect(await pause(stranger)).toMatchObject(refusal);
  });

  const strangers: [ChatActor['kind'], string][] = [
    ['guest', 'Guests'],
    ['external', 'another organisation'],
    ['bot', 'only people decide'],
  ];
  test.each(strangers)(
    'a %s of the workspace is refused everywhere with the reason, also when the user is linked',
    async (kind, reason) => {
      await addAs('gina', everywhere('admin'));
      await linkTo('gina', `U-${kind}`);
      const caller = await api.inChat(`U-${kind}`, { kind });
      const refusal = {
        status: 403,
        body: { kind: 'forbidden', message: expect.stringContaining(reason), nextStep: expect.any(String) },
      };
      expect(await caller.get(routes.whoami)).toMatchObject(refusal);
      expect(await caller.post(chatRoutes.link, {})).toMatchObject(refusal);
      expect(await pause(caller)).toMatchObject(refusal);
      // The same user as a member is let in: it is the kind that decides.
      expect((await (await api.inChat(`U-${kind}`)).get(routes.whoami)).status).toBe(200);
    },
  );

  test('the same user of another tenant or surface is nobody here', async () => {
    await addAs('tina', everywhere('admin'));
    await linkTo('tina', 'U-tina');
    for (const more of [{ tenant: 'T2' }, { surface: 'teams' as const }]) {
      const other = await api.inChat('U-tina', { ...more, displayName: 'tina' });
      expect(await other.get(routes.machines)).toMatchObject({ status: 403, body: { kind: 'not-linked' } });
    }
  });

  test('a bot says for whom it speaks, a person speaks for nobody else, and a header that is not ours is refused', async () => {
    const bot = await api.as({ kind: 'bot', name: 'bot-1' });
    expect(await bot.get(routes.machines)).toMatchObject({
      status: 403,
      body: { message: expect.stringContaining(actorHeader) },
    });
    const actor = { surface: 'slack', tenant: 'T1', user: 'U-lena', kind: 'member' };
    const text = encodeURIComponent(JSON.stringify(actor));
    const posing = await api.as({ kind: 'person', name: 'vera' }, Date.now(), { [actorHeader]: text });
    expect(await posing.get(routes.whoami)).toMatchObject({
      status: 403,
      body: { message: expect.stringContaining('Only a bot') },
    });
    const forged = [
      '%',
      '{}',
      'null',
      encodeURIComponent('{"surface":"irc"}'),
      encodeURIComponent(JSON.stringify({ ...actor, user: '' })),
    ];
    for (const header of [...forged, encodeURIComponent(JSON.stringify({ ...actor, kind: 'admin' }))]) {
      const caller = await api.as({ kind: 'bot', name: 'bot-1' }, Date.now(), { [actorHeader]: header });
      expect([header, (await caller.get(routes.whoami)).status]).toEqual([header, 422]);
    }
  });

  test('a certificate of nobody, of another spelling, or of a disabled person opens nothing', async () => {
    for (const name of ['mallory', 'Ada']) {
      const caller = await api.as({ kind: 'person', name });
      expect(await caller.get(routes.machines)).toMatchObject({
        status: 403,
        body: { message: expect.stringContaining('no person') },
      });
    }
    const dora = await addAs('dora', everywhere('admin'));
    await linkTo('dora', 'U-dora');
    expect((await dora.get(routes.machines)).status).toBe(200);
    await api.store.write((db) => setDisabled(db, 'dora', true));
    for (const caller of [dora, await api.inChat('U-dora')]) {
      expect(await caller.get(routes.whoami)).toMatchObject({
        status: 403,
        body: { message: expect.stringContaining('disabled') },
      });
    }
  });
});

describe('roles that count for some machines', () => {
  test('every command on a machine asks for the role on that machine: the whole matrix', async () => {
    const tagged: Grant = { role: 'operator', scope: { kind: 'tag', tag: 'web' } };
    await api.store.write((db) => changeTags(db, { machineName: 'vm-8', add: ['web'], remove: [], by: 'the test' }));
    const callers: [Caller, string[]][] = [
      [await addAs('olga', on('operator', 'vm-7')), ['vm-7']],
      [await addAs('otto', tagged), ['vm-8']],
      [await addAs('ove', on('operator', 'vm-7'), tagged), ['vm-7', 'vm-8']],
      [await addAs('viktor', everywhere('viewer'), on('operator', 'vm-9')), ['vm-9']],
      [await addAs('oscar', everywhere('operator')), ['vm-7', 'vm-8', 'vm-9']],
    ];
    const commands: [string, object][] = [
      [routes.enable, {}],
      [routes.pause, { forMs: 60_000, reason: 'x' }],
      [routes.resume, {}],
      [routes.resync, {}],
      [routes.bookmark, { reason: 'x' }],
      [routes.testFailover, { dryRun: true }],
      [routes.cleanup, {}],
    ];
    for (const [caller, machines] of callers) {
      for (const [url, body] of commands) {
        for (const machine of ['vm-7', 'vm:vm-8', 'vm-9']) {
          const name = machine.replace('vm:', '');
          const { status } = await caller.post(url, { ...body, machine });
          expect([url, name, machines, status !== 403]).toEqual([url, name, machines, machines.includes(name)]);
        }
      }
    }
  });

  test('who mistypes a name hears that, and a role that was taken away is gone at the next call', async () => {
    const olaf = await addAs('olaf', on('operator', 'vm-7'));
    expect(await pause(olaf, 'vm7')).toMatchObject({
      status: 404,
      body: { candidates: expect.arrayContaining(['vm-7']) },
    });
    expect((await pause(olaf)).status).toBe(200);
    expect((await ada.post(chatRoutes.person, { name: 'olaf', grants: [on('viewer', 'vm-7')] })).status).toBe(200);
    expect(await pause(olaf)).toMatchObject({ status: 403, body: { message: expect.stringContaining('operator') } });
  });

  test('one role is given and taken with others left as they are, by whichever name the person goes', async () => {
    const lea = await addAs('lea', on('operator', 'vm-7'));
    await linkTo('lea', 'U-lea');
    await linkTo('ada', 'U-ada-2');
    const inChat = await api.inChat('U-ada-2');
    const scope = { kind: 'machine', name: 'vm-8' };
    const given = await inChat.post(chatRoutes.role, { person: '<@U-lea|lea>', role: 'operator', scope });
    expect(given.body).toMatchObject({
      message: 'ada changed lea: operator for vm-7 → operator for vm-7, operator for vm-8.',
    });
    expect((await pause(lea, 'vm-8')).status).toBe(200);
    const taken = await ada.post(chatRoutes.role, { person: 'lea', role: 'none', scope });
    expect(taken.body).toMatchObject({ message: expect.stringContaining('→ operator for vm-7.') });
    expect((await pause(lea, 'vm-8')).status).toBe(403);
    expect(await ada.post(chatRoutes.role, { person: 'leo', role: 'operator', scope })).toMatchObject({
      status: 404,
      body: { candidates: expect.arrayContaining(['lea']) },
    });
    expect((await lea.post(chatRoutes.role, { person: 'lea', role: 'admin', scope })).status).toBe(403);
    expect((await trail('lea')).map(({ what, target }) => [what, target])).toContainEqual(['role', 'lea']);
  });

  test('an admin of one machine changes no tags, by which roles are given, and makes nobody admin of everything', async () => {
    const small = await addAs('small', on('admin', 'vm-7'));
    expect(await small.post(chatRoutes.tag, { machine: 'vm-7', add: ['tier:0'] })).toMatchObject({
      status: 403,
      body: { message: expect.stringContaining('needs the role admin for everything') },
    });
    expect((await ada.post(chatRoutes.tag, { machine: 'vm-7', add: ['tier:0'] })).status).toBe(200);
    expect((await small.post(chatRoutes.person, { name: 'small', grants: [everywhere('admin')] })).status).toBe(403);
    expect((await small.post(chatRoutes.onCall, { persons: ['small'] })).status).toBe(403);
  });
});

describe('setting people up', () => {
  const linked = (answer: { body: unknown }) => linkAnswer.parse(answer.body);

  test('from the terminal to chat, and from chat to the terminal', async () => {
    const nina = await addAs('nina', everywhere('viewer'));
    const inSlack = await api.inChat('U-nina', { displayName: 'Nina' });
    const first = linked(await nina.post(chatRoutes.link, {}));
    invariant(first.kind === 'code', 'a code');
    expect(first.typeWhere).toBe('chat');
    expect(linked(await inSlack.post(chatRoutes.link, { code: first.code }))).toMatchObject({
      kind: 'linked',
      person: 'nina',
    });
    expect((await inSlack.get(routes.machines)).status).toBe(200);
    const inTeams = await api.inChat('aad-nina', { surface: 'teams', tenant: 'M1', displayName: 'Nina (Teams)' });
    const second = linked(await inTeams.post(chatRoutes.link, {}));
    invariant(second.kind === 'code', 'a code');
    expect(second.typeWhere).toBe('terminal');
    expect(linked(await nina.post(chatRoutes.link, { code: second.code }))).toMatchObject({
      displayName: 'Nina (Teams)',
    });
    expect(whoamiView.parse((await inTeams.get(routes.whoami)).body)).toMatchObject({ name: 'nina', via: 'teams' });
    expect((await inTeams.post(chatRoutes.link, { code: second.code })).status).toBe(409);
    const { body } = await ada.post(chatRoutes.person, { name: 'nina', unlink: ['teams'] });
    expect(body).toMatchObject({ message: 'ada changed nina: unlinked from teams.' });
    expect((await inTeams.get(routes.machines)).status).toBe(403);
    expect((await inSlack.get(routes.machines)).status).toBe(200);
  });

  test('six-digit codes are set up and proved; neither code nor secret stands in the trail or in a kept answer', async () => {
    const tom = await addAs('tom', everywhere('approver'));
    const begun = authenticatorAnswer.parse((await tom.post(chatRoutes.authenticator, {})).body);
    invariant(begun.kind === 'secret', 'a secret');
    const totp = new TOTP({ secret: Secret.fromBase32(begun.secret) });
    const code = totp.generate({ timestamp: await api.store.nowMs() });
    expect(await tom.post(chatRoutes.authenticator, { code: '000 00' })).toMatchObject({
      status: 403,
      body: { kind: 'step-up' },
    });
    expect((await tom.post(chatRoutes.authenticator, { code })).body).toEqual({ kind: 'confirmed' });
    expect(whoamiView.parse((await tom.get(routes.whoami)).body).hasAuthenticator).toBe(true);
    expect(await tom.post(chatRoutes.authenticator, {})).toMatchObject({ status: 409 });
    const kept = await api.store.read((db) => db.execute(sql`select answer::text from command_answers`));
    const everything = JSON.stringify([await trail(), kept.rows]);
    expect(everything).not.toContain(begun.secret);
    expect((await trail('tom')).map(({ detail }) => detail).join()).not.toContain(code);
    await ada.post(chatRoutes.person, { name: 'tom', resetAuthenticator: true });
    expect((await tom.post(chatRoutes.authenticator, {})).status).toBe(200);
  });

  test('people are listed with roles, chat users and on-call place; on-call takes persons and chat users of one’s own tenant', async () => {
    await addAs('piet', everywhere('operator'));
    await linkTo('piet', 'U-piet');
    await linkTo('ada', 'U-ada');
    const inChat = await api.inChat('U-ada');
    const set = await inChat.post(chatRoutes.onCall, { persons: ['<@U-piet|piet>', 'ada', 'U-piet'] });
    expect(set.body).toMatchObject({
      message: expect.stringMatching(
        /^ada set the on-call list: piet, then ada\. You put yourself on it: .* only after 24 h, from 20..-..-.. ..:..Z, unless another admin/,
      ),
    });
    const people = personView.array().parse((await ada.get(chatRoutes.people)).body);
    expect(people.find(({ name }) => name === 'piet')).toMatchObject({
      isOnCall: true,
      onCallPosition: 0,
      links: [{ surface: 'slack', tenant: 'T1', user: 'U-piet' }],
      grants: [everywhere('operator')],
    });
    expect(await ada.post(chatRoutes.onCall, { persons: ['U-piet'] })).toMatchObject({ status: 404 });
    expect(await inChat.post(chatRoutes.onCall, { persons: ['pete'] })).toMatchObject({
      status: 404,
      body: { candidates: ['piet'] },
    });
    expect((await ada.post(chatRoutes.onCall, { persons: [] })).status).toBe(200);
  });

  test('the last admin can neither be disabled nor lose the role, and tags have a form', async () => {
    const fresh = await startTestApi(await postgres.freshStore());
    const only = await fresh.as({ kind: 'person', name: 'ada' });
    for (const change of [{ isDisabled: true }, { grants: [] }, { grants: [on('admin', 'vm-7')] }]) {
      expect(await only.post(chatRoutes.person, { name: 'ada', ...change })).toMatchObject({
        status: 409,
        body: { message: expect.stringContaining('only admin') },
      });
    }
    await only.post(chatRoutes.person, { name: 'eva', grants: [everywhere('admin')] });
    expect((await only.post(chatRoutes.person, { name: 'ada', isDisabled: true })).status).toBe(200);
    await fresh.stop();
    expect(await ada.post(chatRoutes.tag, { machine: 'vm-7', add: ['No Tag'] })).toMatchObject({ status: 422 });
    expect(await ada.post(chatRoutes.tag, { machine: 'vm-6', add: ['web'] })).toMatchObject({ status: 404 });
  });
});

describe('the audit trail of commands', () => {
  test('what was ordered, refused and denied stands in it, with who, by which chat user, and about what', async () => {
    await addAs('will', everywhere('viewer'), on('operator', 'vm-8'));
    await linkTo('will', 'U-will');
    const will = await api.inChat('U-will', { envelope: 'E-1' });
    await pause(will, 'vm-8');
    await will.post(routes.bookmark, { machine: 'vm-8', reason: 'x', applicationConsistent: true });
    await pause(will, 'vm-7');
    await will.post(routes.testFailover, { machine: 'vm-8' });
    await will.post(chatRoutes.onCall, { persons: ['will'] });
    const mine = (await trail('will')).reverse();
    expect(mine.map(({ what, target }) => [what, target])).toEqual([
      ['pause', 'vm-8'],
      ['bookmark', 'vm-8'],
      ['bookmark refused', 'vm-8'],
      ['pause', 'vm-7'],
      ['pause refused', 'vm-7'],
      ['test-failover', 'vm-8'],
      ['test-failover started', 'vm-8'],
      ['on-call denied', ''],
    ]);
    expect(mine[0]).toMatchObject({
      who: 'will',
      via: 'slack:T1:U-will',
      detail: expect.stringContaining('"envelope":"E-1"'),
    });
    expect(mine[6]).toMatchObject({ detail: 'started: run_0000000001' });
    const stranger = await api.inChat('U-unknown', { displayName: 'Unknown' });
    await pause(stranger, 'vm-7');
    expect(await trail('Unknown')).toMatchObject([
      {
        what: 'pause denied',
        target: 'vm-7',
        via: 'slack:T1:U-unknown',
        detail: expect.stringContaining('linked to no person'),
      },
    ]);
    expect((await trail('run_0000000001')).length).toBeGreaterThan(0);
  });

  test('a command that is sent again stands in it once, and questions do not', async () => {
    const { number } = await api.store.read(auditHead);
    for (let time = 0; time < 3; time += 1) {
      await ada.post(routes.resume, { machine: 'vm-8' }, 'the-same-key');
    }
    await ada.get(routes.machines);
    expect((await api.store.read(auditHead)).number).toBe(number + 1);
  });

  test('what cannot be written down is not done; as soon as it can, it is', async () => {
    const events = async () => (await api.store.read((db) => listEvents(db, 0))).length;
    const before = await events();
    await api.store.write((db) =>
      db.execute(sql`alter table audit_entries add constraint full_disk check (id < 0) not valid`),
    );
    expect((await pause(ada, 'vm-8')).status).toBe(500);
    expect((await ada.post(chatRoutes.link, {})).status).toBe(500);
    expect(await events()).toBe(before);
    await api.store.write((db) => db.execute(sql`alter table audit_entries drop constraint full_disk`));
    expect((await pause(ada, 'vm-8')).status).toBe(200);
    expect(await events()).toBe(before + 1);
  });

  test('`audit` answers newest first about one thing, and says when the end was cut off', async () => {
    const ask = async (about: string) => auditAnswer.parse((await ada.get(`${chatRoutes.audit}?about=${about}`)).body);
    await ada.post(routes.resume, { machine: 'vm-8' });
    const whole = await ask('vm-8');
    expect(whole).toMatchObject({ isChainWhole: true, problem: null });
    expect(whole.entries[0]).toMatchObject({ what: 'resume', target: 'vm-8', who: 'ada', via: 'certificate' });
    const head = await api.store.read(auditHead);
    expect(whole.headDigest).toBe(head.digest);
    await api.vault.putAuditAnchor({ ...head, atMs: Date.now() });
    expect((await ask('')).isChainWhole).toBe(true);
    await api.store.write(async (db) => {
      await db.execute(sql`set local session_replication_role = replica`);
      await db.execute(sql`delete from audit_chain where number = ${head.number}`);
      await db.execute(sql`delete from audit_entries where id not in (select entry_id from audit_chain)`);
    });
    expect(await ask('vm-8')).toMatchObject({
      isChainWhole: false,
      problem: expect.stringContaining(`it has ${head.number - 1} entries, and had ${head.number}`),
    });
  });
});

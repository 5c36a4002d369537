import { sql } from 'drizzle-orm';
import { chatRoutes } from '../../protocol/chat-api.ts';
import type { Attack, Scene } from './attack.ts';
import { elsewhere, type PersonName } from './attack-site.ts';
import { approvalIn, type Heard } from './voice.ts';

const everything = { kind: 'everything' } as const;

/** ada asks that somebody may do something else; carla is the other admin, so that she must agree. */
async function asked(scene: Scene, person: PersonName, more: Readonly<Record<string, unknown>> = {}) {
  await scene.role('carla', [{ role: 'admin', scope: everything }]);
  const ada = await scene.person('ada');
  const body = { person, role: 'approver', scope: everything, reason: 'night shift', ...more };
  return approvalIn(await ada.certificate.post(chatRoutes.role, body));
}

/** What was heard, and what the person may do after it: `[olaf: operator]`. */
async function withRoles(scene: Scene, person: PersonName, heard: Heard): Promise<Heard> {
  const { rows } = await scene.store.read((db) =>
    db.execute<{ role: string }>(sql`select role from grants where person = ${person} order by role`),
  );
  return { ...heard, words: `${heard.words} [${person}: ${rows.map(({ role }) => role).join(', ')}]` };
}

/** Who may approve is not changed by one admin alone, and never by whom it is about. Source: CHAT 5.2 */
export const roleAttacks: readonly Attack[] = [
  {
    name: 'an admin makes an accomplice approver, and the accomplice approves it',
    hears: /own rights: somebody else must decide.* \[dora: approver\]$/,
    attack: async (scene) => {
      const request = await asked(scene, 'dora', { role: 'admin', scope: { kind: 'machine', name: elsewhere } });
      return withRoles(scene, 'dora', await (await scene.person('dora')).slack.approve(request));
    },
  },
  {
    name: 'an admin approves the approver whom they asked for, as a chat user of theirs',
    hears: /own request.* \[olaf: operator\]$/,
    attack: async (scene) => {
      const request = await asked(scene, 'olaf');
      await scene.site.link('ada', 'slack', 'T1', 'U2ADA');
      const ada = await scene.person('ada');
      const inChat = await scene.site.inChat('U2ADA', {}, ada.code);
      const heard = await inChat.approve(request);
      return withRoles(scene, 'olaf', { ...heard, by: { who: 'ada', via: 'slack:T1:U2ADA' } });
    },
  },
  {
    name: 'an approver of failovers makes somebody admin of everything',
    hears: /not an admin of everything.* \[olaf: operator\]$/,
    attack: async (scene) => {
      const request = await asked(scene, 'olaf', { role: 'admin' });
      return withRoles(scene, 'olaf', await (await scene.person('ben')).slack.approve(request));
    },
  },
  {
    name: 'an approver uses the role before anybody has agreed to it',
    hears: /needs the role approver|not an approver/,
    attack: async (scene) => {
      const failover = await scene.pending();
      await asked(scene, 'olaf');
      return (await scene.person('olaf')).slack.approve(failover);
    },
  },
  {
    name: 'one of two admins gets rid of the other one',
    hears: /the only one who could is carla.* \[carla: admin\]$/,
    attack: async (scene) => {
      await scene.role('carla', [{ role: 'admin', scope: everything }]);
      const ada = await scene.person('ada');
      return withRoles(
        scene,
        'carla',
        await ada.certificate.post(chatRoutes.person, { name: 'carla', isDisabled: true, grants: [] }),
      );
    },
  },
  {
    name: 'an admin takes the telephone of an approver away, to set up one of their own',
    hears: /You have an authenticator already/,
    attack: async (scene) => {
      await scene.role('carla', [{ role: 'admin', scope: everything }]);
      const ada = await scene.person('ada');
      await ada.certificate.post(chatRoutes.person, { name: 'ben', resetAuthenticator: true });
      return (await scene.person('ben')).slack.post(chatRoutes.authenticator, {});
    },
  },
  {
    name: 'a role change that was asked for when the person could do less',
    hears: /it was operator, it is operator, approver for vm-elsewhere.* \[olaf: approver, operator\]$/,
    attack: async (scene) => {
      const request = await asked(scene, 'olaf', { scope: { kind: 'tag', tag: 'web' } });
      await scene.role('olaf', [
        { role: 'operator', scope: everything },
        { role: 'approver', scope: { kind: 'machine', name: elsewhere } },
      ]);
      return withRoles(scene, 'olaf', await (await scene.person('carla')).slack.approve(request));
    },
  },
  {
    name: 'a role for a machine whose name is a sentence',
    hears: /1 to 63 letters, digits, dots, dashes/,
    attack: async (scene) => {
      const ada = await scene.person('ada');
      const scope = { kind: 'machine', name: 'vm-1 (for the drill only); nothing' };
      return ada.certificate.post(chatRoutes.person, { name: 'olaf', grants: [{ role: 'approver', scope }] });
    },
    trail: 'not-asked',
  },
];

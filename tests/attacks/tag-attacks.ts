import { openAlert } from '../../engine/store/alerts.ts';
import { tagsOf } from '../../engine/store/machine-tags.ts';
import { chatRoutes } from '../../protocol/chat-api.ts';
import type { Attack, Scene } from './attack.ts';
import { elsewhere } from './attack-site.ts';
import { approvalIn, type Heard } from './voice.ts';

const everything = { kind: 'everything' } as const;

/** ada wants other tags; carla is the other admin, so that she must agree. */
async function wanted(scene: Scene, change: { readonly add?: readonly string[]; readonly remove?: readonly string[] }) {
  await scene.role('carla', [{ role: 'admin', scope: everything }]);
  const ada = await scene.person('ada');
  return ada.certificate.post(chatRoutes.tag, { machine: scene.machine.name, reason: 'a new team', ...change });
}

/** What was heard, and the tags after it: `[tags: web]`. */
async function withTags({ store, machine }: Scene, heard: Heard): Promise<Heard> {
  const tags = await store.read((db) => tagsOf(db, machine.name));
  return { ...heard, words: `${heard.words} [tags: ${tags.join(', ')}]` };
}

/** Roles count by tag, and tier:0 asks for two persons: one admin alone changes neither. Source: CHAT 5.2 */
export const tagAttacks: readonly Attack[] = [
  {
    name: 'an admin takes tier:0 away, so that one approval is enough',
    hears: /1 more must agree.* \[tags: tier:0\]$/,
    attack: async (scene) => {
      await scene.tag(['tier:0']);
      await wanted(scene, { remove: ['tier:0'] });
      const asked = approvalIn(await (await scene.person('ana')).slack.request(scene.machine.name));
      return withTags(scene, await (await scene.person('ben')).slack.approve(asked));
    },
  },
  {
    name: 'an admin tags a machine, so that an accomplice decides about it',
    hears: /not an approver for.* \[tags: \]$/,
    attack: async (scene) => {
      const asked = await scene.pending();
      await wanted(scene, { add: ['web'] });
      return withTags(scene, await (await scene.person('tess')).slack.approve(asked));
    },
  },
  {
    name: 'an admin approves their own change of tags',
    hears: /own request.* \[tags: \]$/,
    attack: async (scene) => {
      const asked = approvalIn(await wanted(scene, { add: ['web'] }));
      return withTags(scene, await (await scene.person('ada')).certificate.approve(asked));
    },
  },
  {
    name: 'the one who becomes approver by a tag agrees to it',
    hears: /not an admin of everything.* \[tags: \]$/,
    attack: async (scene) => {
      const asked = approvalIn(await wanted(scene, { add: ['web'] }));
      return withTags(scene, await (await scene.person('tess')).slack.approve(asked));
    },
  },
  {
    name: 'a change of tags that was asked for when the machine had others',
    hears: /have changed meanwhile: they were no tags, they are db.* \[tags: db\]$/,
    attack: async (scene) => {
      const asked = approvalIn(await wanted(scene, { add: ['web'] }));
      await scene.tag(['db']);
      return withTags(scene, await (await scene.person('carla')).slack.approve(asked));
    },
  },
  {
    name: 'an admin of one machine changes its tags',
    hears: /needs the role admin for everything/,
    attack: async ({ person }) =>
      (await person('max')).slack.post(chatRoutes.tag, { machine: elsewhere, add: ['anything'] }),
  },
];

/** What is about no machine in particular needs a role for everything. */
export const scopeAttacks: readonly Attack[] = (['mute', 'snooze', 'ack', 'escalate'] as const).map((order) => ({
  name: `an approver of one machine tries \`${order}\` on an alert of the whole site`,
  hears: /needs the role operator for everything.* \[olaf: 200\]$/,
  attack: async ({ store, person }) => {
    const words = {
      title: 'The vault is away',
      text: 'x',
      nextStep: 'y',
      machineNames: [],
      members: [],
      step: 0,
      mutedWhy: null,
    };
    const alert = { rule: 'vault-unreachable', severity: 'critical', host: null, groupScope: null, ...words } as const;
    const { id } = await store.write((db) => openAlert(db, { ...alert, scope: `vault ${order}` }));
    const body = { alert: id, reason: 'noise', forMs: 3_600_000 };
    const heard = await (await person('dora')).slack.post(chatRoutes[order], body);
    const { status } = await (await person('olaf')).slack.post(chatRoutes[order], body);
    return { ...heard, words: `${heard.words} [olaf: ${status}]` };
  },
}));

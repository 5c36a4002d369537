import { sql } from 'drizzle-orm';
import { approvalView, chatRoutes } from '../../protocol/chat-api.ts';
import type { Attack, Scene } from './attack.ts';
import { halfAMinutePasses } from './attack-site.ts';
import type { Heard } from './voice.ts';

/** Everything that was heard, with how often something was done. */
function summed(heard: readonly Heard[]): Heard {
  const [first] = heard;
  if (first === undefined) throw new RangeError('nobody said anything');
  const doneCount = heard.filter(({ status }) => status === 200).length;
  const by = { who: first.by?.who, via: undefined };
  return {
    ...first,
    by,
    words: `${doneCount} of ${heard.length} done: ${heard.map(({ words }) => words).join(' | ')}`,
  };
}

const clicks = (
  count: number,
  more: (index: number) => { readonly key?: string },
): ((scene: Scene) => Promise<Heard>) => {
  return async ({ person, pending }) => {
    const approval = await pending();
    const ben = await person('ben');
    const code = ben.code();
    const way = (index: number) => (['slack', 'teams', 'certificate'] as const)[index % 3] ?? 'slack';
    const click = (index: number) => ben[way(index)].approve(approval, { code }, more(index).key);
    return summed(await Promise.all(Array.from({ length: count }, (_, index) => click(index))));
  };
};

/** Things that happen at the same moment have one outcome. */
export const races: readonly Attack[] = [
  {
    name: 'twenty clicks of one approver at once, by three ways: one run',
    runs: 1,
    hears: /^1 of 20 done/,
    attack: clicks(20, () => ({})),
  },
  {
    name: 'twenty deliveries of one click at once: one run, and everybody is told the same',
    runs: 1,
    hears: /^20 of 20 done/,
    attack: clicks(20, () => ({ key: 'slack:the-same-click' })),
  },
  {
    name: 'twenty clicks of one approver at once, where two persons are needed: no run',
    hears: /^1 of 20 done/,
    attack: async (scene) => {
      await scene.twoAreNeeded();
      return clicks(20, () => ({}))(scene);
    },
  },
  {
    name: 'ten requests of two persons at once: one of them waits',
    hears: /\d of 10 done/,
    attack: async ({ person, machine }) => {
      const [ana, ben] = [await person('ana'), await person('ben')];
      const ask = (index: number) => (index % 2 === 0 ? ana.slack : ben.teams).request(machine.name);
      return summed(await Promise.all(Array.from({ length: 10 }, (_, index) => ask(index))));
    },
  },
];

type Rival = (scene: Scene) => Promise<() => Promise<Heard>>;
/** What may happen at the moment of ben’s click. `isAfter`: what was approved a moment before may go on. */
export const rivals: readonly (readonly [string, Rival])[] = [
  [
    'carla rejects',
    async ({ person, store }) => {
      const carla = await person('carla');
      return async () => carla.teams.reject(await newest(store));
    },
  ],
  [
    'ana withdraws',
    async ({ person, store }) => {
      const ana = await person('ana');
      return async () => ana.slack.withdraw(await newest(store));
    },
  ],
  [
    'ada takes the role of ben away',
    async ({ person }) => {
      const ada = await person('ada');
      return () => ada.certificate.post(chatRoutes.person, { name: 'ben', grants: [] });
    },
  ],
  [
    'ada disables ana, who asked',
    async ({ person }) => {
      const ada = await person('ada');
      return () => ada.certificate.post(chatRoutes.person, { name: 'ana', isDisabled: true });
    },
  ],
];

async function newest(store: Scene['store']) {
  const { rows } = await store.read((db) =>
    db.execute<{ id: string; revision: number; digest: string }>(
      sql`select id, revision, digest from approvals order by requested_at desc, id limit 1`,
    ),
  );
  const [row] = rows;
  if (row === undefined) throw new RangeError('nobody has asked for anything');
  return { ...row, id: approvalView.shape.id.parse(row.id) };
}

/** How a round ended: whether ben’s click counted, whether the other thing was done, and how many runs there are. */
export type Round = { readonly isApproved: boolean; readonly isRivalDone: boolean; readonly runCount: number };

/** ben clicks and something else happens, in whichever order they arrive. */
export async function race(scene: Scene, rival: Rival, isRivalFirst: boolean): Promise<Round> {
  const { store, person, pending } = scene;
  const approval = await pending();
  const [ben, other] = [await person('ben'), await rival(scene)];
  const click = () => ben.slack.approve(approval);
  const [first, second] = isRivalFirst ? [other, click] : [click, other];
  const heard = await Promise.all([first(), second()]);
  const [clicked, rivalled] = isRivalFirst ? [heard[1], heard[0]] : heard;
  const { rows } = await store.read((db) =>
    db.execute<{ count: string }>(sql`select count(*)::text as count from runs where approval_id = ${approval.id}`),
  );
  await halfAMinutePasses(store);
  return {
    isApproved: clicked.status === 200,
    isRivalDone: rivalled.status === 200,
    runCount: Number(rows[0]?.count),
  };
}

import { sql } from 'drizzle-orm';
import { chatRoutes } from '../../protocol/chat-api.ts';
import type { LinkAnswer } from '../../protocol/people-api.ts';
import type { Attack, Scene } from './attack.ts';
import { halfAMinutePasses } from './attack-site.ts';
import { buttonOf, type Heard, type Voice } from './voice.ts';

const approver = [{ role: 'approver', scope: { kind: 'everything' } }] as const;
const withCode =
  (code: (scene: Scene) => string | undefined | Promise<string | undefined>): Attack['attack'] =>
  async (scene) => {
    const ben = await scene.person('ben');
    const approval = await scene.pending();
    return ben.slack.post(chatRoutes.approve, { ...buttonOf(approval), code: await code(scene) });
  };

/** The six-digit code says that the person is there, and not only their chat session. */
export const stepUpAttacks: readonly Attack[] = [
  { name: 'no six-digit code', hears: /needs the six-digit code/, attack: withCode(() => undefined) },
  { name: 'an empty six-digit code', hears: /code/, attack: withCode(() => '') },
  { name: 'a wrong six-digit code', hears: /code is wrong/, attack: withCode(() => '000000') },
  {
    name: 'the six-digit code of another person',
    hears: /code is wrong/,
    attack: withCode(async ({ person }) => (await person('carla')).code()),
  },
  {
    name: 'a six-digit code of two minutes ago',
    hears: /code is wrong/,
    attack: withCode(async ({ person }) => (await person('ben')).code(4)),
  },
  {
    name: 'a six-digit code of two minutes ahead',
    hears: /code is wrong/,
    attack: withCode(async ({ person }) => (await person('ben')).code(-4)),
  },
  {
    name: 'digits of another script, a sign and a wildcard',
    hears: /code is wrong/,
    attack: async ({ person, pending }) => {
      const ben = await person('ben');
      const approval = await pending();
      const fullWidth = ben.code().replace(/\d/g, (digit) => String.fromCodePoint(0xff10 + Number(digit)));
      await ben.slack.approve(approval, { code: fullWidth });
      await ben.slack.approve(approval, { code: `+${ben.code().slice(1)}` });
      return ben.slack.approve(approval, { code: '______' });
    },
  },
  {
    name: 'a six-digit code that was used for another request',
    hears: /used already/,
    attack: async ({ person, pending, twoAreNeeded }) => {
      const ben = await person('ben');
      const code = ben.code();
      await twoAreNeeded();
      await ben.slack.approve(await pending(), { code });
      return ben.teams.approve(await pending({ more: { reason: 'another one' } }), { code });
    },
  },
  {
    name: 'five guesses, and then the right six-digit code, by another way',
    hears: /Too many wrong codes/,
    attack: async ({ person, pending }) => {
      const ben = await person('ben');
      const approval = await pending();
      for (const code of ['000001', '000002', '000003', '000004', '000005'])
        await ben.slack.approve(approval, { code });
      return ben.certificate.approve(approval);
    },
  },
  {
    name: 'a dozen guesses at the same moment, and then the right six-digit code',
    hears: /Too many wrong codes/,
    attack: async ({ person, pending }) => {
      const ben = await person('ben');
      const approval = await pending();
      const guess = (index: number) => ben.slack.approve(approval, { code: `${100_000 + index}` });
      await Promise.all(Array.from({ length: 12 }, (_, index) => guess(index)));
      return ben.slack.approve(approval);
    },
  },
  {
    name: 'an approver who has no authenticator',
    hears: /no authenticator yet/,
    attack: async ({ person, pending, role }) => {
      await role('ned', approver);
      return (await person('ned')).slack.approve(await pending());
    },
  },
  {
    name: 'an authenticator that was begun and never proved',
    hears: /no authenticator yet/,
    attack: async ({ store, person, pending, role }) => {
      await role('ned', approver);
      const ned = await person('ned');
      await ned.slack.post(chatRoutes.authenticator, {});
      const heard = await ned.slack.approve(await pending());
      await store.write((db) => db.execute(sql`delete from authenticators where person = 'ned'`));
      return heard;
    },
  },
  {
    name: 'a second authenticator, by whoever has the chat session',
    hears: /have an authenticator already/,
    attack: async ({ person }) => (await person('ben')).slack.post(chatRoutes.authenticator, {}),
  },
  {
    name: 'the authenticator of another person, copied in the database',
    hears: /not sealed for them/,
    attack: async ({ store, person, pending, role }) => {
      await role('ned', approver);
      await store.write((db) =>
        db.execute(sql`insert into authenticators (person, sealed_secret, confirmed_at)
          select 'ned', sealed_secret, now() from authenticators where person = 'ana'`),
      );
      const code = (await person('ana')).code();
      const heard = await (await person('ned')).slack.approve(await pending(), { code });
      await store.write((db) => db.execute(sql`delete from authenticators where person = 'ned'`));
      return heard;
    },
  },
];

const stranger = (scene: Scene, user: string) => scene.site.inChat(user, { displayName: 'M.' });
const via = (user: string) => ({ who: undefined, via: `slack:T1:${user}` });
async function codeFrom(voice: Voice): Promise<string> {
  const { answer } = await voice.post(chatRoutes.link, {});
  return (answer as Extract<LinkAnswer, { kind: 'code' }>).code;
}
async function redeem(voice: Voice, code: string, by?: Heard['by']): Promise<Heard> {
  const heard = await voice.post(chatRoutes.link, { code });
  return by === undefined ? heard : { ...heard, by };
}

/** Who a chat user is says a one-time code alone, typed by both sides. */
export const linkAttacks: readonly Attack[] = [
  {
    name: 'a link code that has expired',
    hears: /has expired/,
    attack: async (scene) => {
      const code = await codeFrom((await scene.person('ben')).certificate);
      await scene.store.write((db) =>
        db.execute(
          sql`update link_codes set created_at = now() - interval '1 hour', expires_at = now() - interval '1 second'`,
        ),
      );
      return redeem(await stranger(scene, 'U9A'), code, via('U9A'));
    },
  },
  {
    name: 'a link code that was used',
    hears: /used already/,
    attack: async (scene) => {
      const code = await codeFrom((await scene.person('ben')).certificate);
      await redeem(await stranger(scene, 'U9A'), code);
      return redeem(await stranger(scene, 'U9B'), code, via('U9B'));
    },
  },
  {
    name: 'a link code that a newer one has replaced',
    hears: /not a code of this installation/,
    attack: async (scene) => {
      const { certificate } = await scene.person('ben');
      const code = await codeFrom(certificate);
      await codeFrom(certificate);
      return redeem(await stranger(scene, 'U9A'), code, via('U9A'));
    },
  },
  {
    name: 'guessed link codes, and then the right one',
    hears: /Five codes were wrong/,
    attack: async (scene) => {
      const code = await codeFrom((await scene.person('ben')).certificate);
      const mallory = await stranger(scene, 'U9A');
      const guesses = ['0000-0000-0000', '1111-1111-1111', '', '%', `' or 1=1 --`];
      for (const guess of guesses) await redeem(mallory, guess);
      return redeem(mallory, code, via('U9A'));
    },
  },
  {
    name: 'a link code of one’s own side',
    hears: /made in chat and is typed on the other side/,
    attack: async (scene) => {
      const code = await codeFrom(await stranger(scene, 'U9A'));
      return redeem(await stranger(scene, 'U9B'), code, via('U9B'));
    },
  },
  {
    name: 'a chat user of one person, taken over by another one',
    hears: /linked to ana already/,
    attack: async (scene) => {
      const code = await codeFrom((await scene.person('ben')).certificate);
      return redeem((await scene.person('ana')).slack, code);
    },
  },
  {
    name: 'the link code of a person who was disabled',
    hears: /not a code of this installation|disabled/,
    attack: async (scene) => {
      const code = await codeFrom((await scene.person('ben')).certificate);
      await scene.disable('ben');
      return redeem(await stranger(scene, 'U9A'), code, via('U9A'));
    },
  },
  {
    name: 'a guest with a good link code',
    hears: /Guests of this workspace/,
    attack: async (scene) => {
      const code = await codeFrom((await scene.person('ben')).certificate);
      return redeem(await scene.site.inChat('U9G', { kind: 'guest', displayName: 'G.' }), code, via('U9G'));
    },
  },
  {
    name: 'two chat users with one link code at the same moment: the slower one',
    hears: /used already|not a code/,
    attack: async (scene) => {
      const code = await codeFrom((await scene.person('ben')).certificate);
      const users = ['U9A', 'U9B'];
      const heard = await Promise.all(users.map(async (user) => redeem(await stranger(scene, user), code, via(user))));
      const refused = heard.filter(({ status }) => status !== 200);
      return refused[0] !== undefined && refused.length === 1 ? refused[0] : { ...via('U9A'), ...joined(heard) };
    },
  },
];

function joined(heard: readonly Heard[]): Heard {
  const [first, ...rest] = heard;
  if (first === undefined) throw new RangeError('nothing was heard');
  return { ...first, words: [first, ...rest].map(({ words }) => words).join(' | ') };
}

type Glass = { readonly by?: 'ana' | 'ben' | 'olaf'; readonly isOnCall?: boolean; readonly more?: object };
const breaks =
  ({ by = 'ana', isOnCall = true, more = {} }: Glass): Attack['attack'] =>
  async (scene) => {
    const ada = await scene.person('ada');
    if (isOnCall) await ada.certificate.post(chatRoutes.onCall, { persons: [by] });
    const person = await scene.person(by);
    const order = { breakGlass: { typedName: scene.machine.name }, code: person.code(), ...more };
    return person.slack.request(scene.machine.name, order);
  };
const reviews =
  (name: 'ana' | 'olaf' | 'carla', before?: 'ben'): Attack['attack'] =>
  async (scene) => {
    const { answer } = await breaks({})(scene);
    const approval = (answer as { approval: { id: string } }).approval.id;
    await scene.site.reset();
    const review = async (who: 'ana' | 'olaf' | 'carla' | 'ben') =>
      (await scene.person(who)).teams.post(chatRoutes.review, { approval, note: 'looked at it' });
    if (before !== undefined) await review(before);
    return review(name);
  };

/** The way without an approval is for who is on call, with name, reason and code; and another person looks at it afterwards. */
export const breakGlassAttacks: readonly Attack[] = [
  {
    name: 'break-glass by somebody who is not on call',
    hears: /Only somebody on call/,
    attack: breaks({ isOnCall: false }),
  },
  {
    name: 'break-glass by an admin who put themselves on call just now',
    hears: /You put yourself on the on-call list/,
    attack: async (scene) => {
      const ada = await scene.person('ada');
      await ada.certificate.post(chatRoutes.onCall, { persons: ['ada'] });
      const order = { breakGlass: { typedName: scene.machine.name }, code: ada.code() };
      return ada.certificate.request(scene.machine.name, order);
    },
  },
  {
    name: 'break-glass with another name typed',
    hears: /You typed vm-elsewhere/,
    attack: breaks({ more: { breakGlass: { typedName: 'vm-elsewhere' } } }),
  },
  {
    name: 'break-glass with the name in other letters',
    hears: /You typed VM-/,
    attack: async (scene) => breaks({ more: { breakGlass: { typedName: scene.machine.name.toUpperCase() } } })(scene),
  },
  { name: 'break-glass without a reason', hears: /needs a reason/, attack: breaks({ more: { reason: '   ' } }) },
  {
    name: 'break-glass too early, without the name',
    hears: /Somebody may still decide/,
    attack: async (scene) => {
      await scene.pending();
      return breaks({ more: { breakGlass: { typedName: '' } } })(scene);
    },
  },
  {
    name: 'break-glass by who waited for somebody else’s request',
    hears: /ask for the approval first/,
    attack: async (scene) => {
      const { id } = await scene.pending({ by: 'ben' });
      await scene.nature(sql`update approvals set requested_at = now() - interval '20 minutes' where id = ${id}`);
      return breaks({ more: { breakGlass: { typedName: '' } } })(scene);
    },
  },
  {
    name: 'break-glass after a wait in which somebody has voted',
    hears: /ask for the approval first/,
    attack: async (scene) => {
      await scene.twoAreNeeded();
      const approval = await scene.pending();
      await (await scene.person('ben')).slack.approve(approval);
      await scene.nature(
        sql`update approvals set requested_at = now() - interval '20 minutes' where id = ${approval.id}`,
      );
      return breaks({ more: { breakGlass: { typedName: '' } } })(scene);
    },
  },
  { name: 'break-glass with a wrong code', hears: /code is wrong/, attack: breaks({ more: { code: '000000' } }) },
  {
    name: 'break-glass without a code',
    hears: /needs the six-digit code/,
    attack: breaks({ more: { code: undefined } }),
  },
  {
    name: 'break-glass with a code that was used',
    hears: /used already/,
    attack: async (scene) => {
      await scene.twoAreNeeded();
      const ana = await scene.person('ana');
      await ana.slack.approve(await scene.pending({ by: 'ben' }));
      return breaks({})(scene);
    },
  },
  {
    name: 'break-glass that is put off',
    hears: /cannot be put off/,
    attack: breaks({ more: { atMs: Date.now() + 3_600_000 } }),
  },
  {
    name: 'the one who broke the glass reviews it',
    hears: /another person must review/,
    runs: 1,
    attack: reviews('ana'),
  },
  { name: 'an operator reviews a break-glass', hears: /needs the role approver/, runs: 1, attack: reviews('olaf') },
  { name: 'a second review of a break-glass', hears: /ben has reviewed/, runs: 1, attack: reviews('carla', 'ben') },
  {
    name: 'a review of what was approved properly',
    hears: /nothing to review/,
    attack: async ({ person, pending }) =>
      (await person('ben')).slack.post(chatRoutes.review, { approval: (await pending()).id, note: 'fine' }),
  },
  {
    name: 'break-glass in the name of who is on call, by a bot without their telephone',
    hears: /six-digit code/,
    attack: async (scene) => {
      await (await scene.person('ada')).certificate.post(chatRoutes.onCall, { persons: ['ben'] });
      await halfAMinutePasses(scene.store);
      const voice = await scene.site.inChat('U-ben');
      return voice.request(scene.machine.name, { breakGlass: { typedName: scene.machine.name } });
    },
  },
];

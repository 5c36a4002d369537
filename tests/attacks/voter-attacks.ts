import { chatRoutes } from '../../protocol/chat-api.ts';
import type { Attack } from './attack.ts';
import { elsewhere } from './attack-site.ts';
import { approvalIn } from './voice.ts';

const everything = { kind: 'everything' } as const;

/** Whoever asks must never be who decides, whichever way they come. */
export const selfApprovals: readonly Attack[] = (
  [
    ['slack', 'slack'],
    ['slack', 'teams'],
    ['slack', 'certificate'],
    ['teams', 'slack'],
    ['certificate', 'slack'],
    ['certificate', 'certificate'],
  ] as const
).map(([asks, decides]) => ({
  name: `self approval: asked by ${asks}, approved by ${decides}`,
  hears: /own request/,
  attack: async ({ person, pending }) => (await person('ana'))[decides].approve(await pending({ way: asks })),
}));

/** One human is one vote, and every vote is by somebody who may vote at this moment. */
export const voterAttacks: readonly Attack[] = [
  {
    name: 'self approval by a second Slack account of the same person',
    hears: /own request/,
    attack: async ({ site, person, pending }) => {
      await site.link('ana', 'slack', 'T1', 'U2ANA');
      const ana = await person('ana');
      const second = await site.inChat('U2ANA', {}, ana.code);
      return { ...(await second.approve(await pending())), by: { who: 'ana', via: 'slack:T1:U2ANA' } };
    },
  },
  ...(['slack', 'certificate'] as const).map(
    (way): Attack => ({
      name: `a quorum of two by one person, in Teams and by ${way}`,
      hears: /You have approved this already; 1 more/,
      attack: async ({ person, pending, twoAreNeeded }) => {
        await twoAreNeeded();
        const approval = await pending();
        const ben = await person('ben');
        await ben.teams.approve(approval);
        return ben[way].approve(approval);
      },
    }),
  ),
  {
    name: 'a quorum of two by who asked and one other',
    hears: /own request/,
    attack: async ({ person, pending, twoAreNeeded }) => {
      await twoAreNeeded();
      const approval = await pending();
      await (await person('ben')).slack.approve(approval);
      return (await person('ana')).teams.approve(approval);
    },
  },
  {
    name: 'the first of two approvers loses the role before the second one approves',
    hears: /1 more must agree/,
    attack: async ({ person, pending, twoAreNeeded, role }) => {
      await twoAreNeeded();
      const approval = await pending();
      await (await person('ben')).slack.approve(approval);
      await role('ben', [{ role: 'operator', scope: everything }]);
      return (await person('carla')).slack.approve(approval);
    },
  },
  {
    name: 'the role is taken away between the request and the click',
    hears: /not an approver for vm-/,
    attack: async ({ person, pending }) => {
      const approval = await pending();
      const grants = [{ role: 'operator', scope: everything }];
      await (await person('ada')).certificate.post(chatRoutes.person, { name: 'ben', grants });
      return (await person('ben')).slack.approve(approval);
    },
  },
  {
    name: 'the role is narrowed to another machine between the request and the click',
    hears: /not an approver for vm-/,
    attack: async ({ person, pending, role }) => {
      const approval = await pending();
      await role('ben', [{ role: 'approver', scope: { kind: 'machine', name: elsewhere } }]);
      return (await person('ben')).teams.approve(approval);
    },
  },
  ...(['slack', 'certificate'] as const).map(
    (way): Attack => ({
      name: `an approver who was disabled, by ${way}`,
      hears: /ben is disabled/,
      attack: async ({ person, pending, disable }) => {
        const approval = await pending();
        await disable('ben');
        return (await person('ben'))[way].approve(approval);
      },
    }),
  ),
  {
    name: 'the request of somebody who was disabled meanwhile',
    hears: /ana, who asked for it, is disabled/,
    attack: async ({ person, pending, disable }) => {
      const approval = await pending();
      await disable('ana');
      return (await person('ben')).slack.approve(approval);
    },
  },
  ...(
    [
      ['made a viewer', [{ role: 'viewer', scope: everything }]],
      ['narrowed to another machine', [{ role: 'approver', scope: { kind: 'machine', name: elsewhere } }]],
      ['without any role', []],
    ] as const
  ).map(
    ([what, grants]): Attack => ({
      name: `the request of somebody who was ${what} meanwhile`,
      hears: /ana, who asked for it, may not ask for it any more/,
      attack: async ({ person, pending, role }) => {
        const approval = await pending();
        await role('ana', grants);
        return (await person('ben')).slack.approve(approval);
      },
    }),
  ),
  ...(
    [
      ['dora', 'an approver of another machine', /not an approver for/],
      ['tess', 'an approver of a tag that the machine has not', /not an approver for/],
      ['max', 'an admin of another machine', /not an approver for/],
      ['vera', 'a viewer', /not an approver for/],
      ['olaf', 'an operator', /not an approver for/],
      ['nils', 'somebody without a role', /you have no role/],
    ] as const
  ).map(
    ([name, who, hears]): Attack => ({
      name: `${who} approves`,
      hears,
      attack: async ({ person, pending }) => (await person(name)).slack.approve(await pending()),
    }),
  ),
  {
    name: 'a tag that makes somebody an approver of what waits',
    hears: /deciding tags: none, now web/,
    attack: async ({ person, pending, tag }) => {
      const approval = await pending();
      await tag(['web']);
      return (await person('tess')).slack.approve(approval);
    },
  },
  {
    name: 'a tag that made somebody an approver is taken away before the click',
    hears: /not an approver for/,
    attack: async ({ person, pending, tag }) => {
      await tag(['web']);
      const approval = await pending();
      await tag([], ['web']);
      return (await person('tess')).slack.approve(approval);
    },
  },
  {
    name: 'an approver of failovers approves weaker alerts, which needs an admin',
    hears: /not an admin for/,
    attack: async ({ person, machine }) => {
      const ada = await person('ada');
      const asked = await ada.certificate.post(chatRoutes.threshold, {
        machine: machine.name,
        ...{ warnMs: 86_400_000, criticalMs: 172_800_000 },
      });
      return (await person('ben')).slack.approve(approvalIn(asked));
    },
  },
  {
    name: 'an admin of another machine weakens the alerts of this one',
    hears: /needs the role admin for vm-/,
    attack: async ({ person, machine }) =>
      (await person('max')).slack.post(chatRoutes.threshold, {
        machine: machine.name,
        ...{ warnMs: 86_400_000, criticalMs: 172_800_000 },
      }),
  },
  {
    name: 'a stranger withdraws a request, so that their own can take its place',
    hears: /only they can withdraw it/,
    attack: async ({ person, pending }) => (await person('olaf')).slack.withdraw(await pending()),
  },
  {
    name: 'a rejection without a reason',
    hears: /reason/,
    attack: async ({ person, pending }) => (await person('ben')).slack.reject(await pending(), { reason: '  ' }),
  },
];

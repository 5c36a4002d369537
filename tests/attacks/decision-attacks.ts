import { sql } from 'drizzle-orm';
import { settleDueApprovals } from '../../engine/approvals/due.ts';
import { proposalDigest } from '../../engine/approvals/proposal.ts';
import { chatRoutes } from '../../protocol/chat-api.ts';
import type { Attack, Scene } from './attack.ts';
import { elsewhere } from './attack-site.ts';

/** A button says what was seen; it decides about nothing else, and only as long as it waits. */
export const staleAttacks: readonly Attack[] = [
  {
    name: 'a click that is sent five times with one key, where two persons are needed',
    hears: /1 more must agree/,
    attack: async ({ person, pending, twoAreNeeded }) => {
      await twoAreNeeded();
      const approval = await pending();
      const ben = await person('ben');
      const body = { code: ben.code() };
      for (let count = 0; count < 4; count += 1) await ben.slack.approve(approval, body, 'slack:one-click-of-ben');
      return ben.slack.approve(approval, body, 'slack:one-click-of-ben');
    },
  },
  {
    name: 'the key of somebody else’s click',
    hears: /used for another request/,
    attack: async ({ person, pending, twoAreNeeded }) => {
      await twoAreNeeded();
      const approval = await pending();
      await (await person('ben')).slack.approve(approval, {}, 'slack:the-click-of-ben');
      return (await person('carla')).slack.approve(approval, {}, 'slack:the-click-of-ben');
    },
  },
  {
    name: 'a revision that there is not yet',
    hears: /stale or was tampered with/,
    attack: async ({ person, pending }) => (await person('ben')).slack.approve({ ...(await pending()), revision: 99 }),
  },
  {
    name: 'another digest in the button',
    hears: /stale or was tampered with/,
    attack: async ({ person, pending }) =>
      (await person('ben')).slack.approve({ ...(await pending()), digest: 'ffffffff' }),
  },
  {
    name: 'the id of another machine’s request in the button',
    hears: /stale or was tampered with/,
    attack: async ({ person, pending }) => {
      const seen = await pending();
      const other = await pending({ machine: elsewhere });
      return (await person('ben')).slack.approve({ ...seen, id: other.id });
    },
  },
  {
    name: 'a digest that is no digest',
    hears: /digest8/,
    attack: async ({ person, pending }) =>
      (await person('ben')).slack.approve({ ...(await pending()), digest: `' or '1` }),
    trail: 'not-asked',
  },
  ...['apr_0000000000', `' or 1=1 --`, 'apr_\u0000', 'run_0000000000', '__proto__', '../apr_0000000000'].map(
    (approval): Attack => ({
      name: `the id ${JSON.stringify(approval)}`,
      hears: /There is no approval/,
      attack: async ({ person, pending }) => {
        await pending();
        const ben = await person('ben');
        return ben.slack.post(chatRoutes.approve, { approval, code: ben.code() });
      },
    }),
  ),
  {
    name: 'an expired request',
    hears: /Nobody decided about apr_\w+ in time/,
    attack: async ({ person, pending, expire }) => {
      const approval = await pending();
      await expire(approval);
      return (await person('ben')).slack.approve(approval);
    },
  },
  {
    name: 'a withdrawn request',
    hears: /ana has withdrawn/,
    attack: async ({ person, pending }) => {
      const approval = await pending();
      await (await person('ana')).slack.withdraw(approval);
      return (await person('ben')).slack.approve(approval);
    },
  },
  {
    name: 'the button of a request that was asked anew',
    hears: /was replaced/,
    attack: async ({ person, pending }) => {
      const old = await pending();
      await pending({ more: { reason: 'another reason' } });
      return (await person('ben')).slack.approve(old);
    },
  },
  {
    name: 'a rejected request that somebody else approves',
    hears: /ben rejected/,
    attack: async ({ person, pending }) => {
      const approval = await pending();
      await (await person('ben')).slack.reject(approval);
      return (await person('carla')).slack.approve(approval);
    },
  },
  {
    name: 'a rejected request that one of two has approved before',
    hears: /carla rejected/,
    attack: async ({ person, pending, twoAreNeeded }) => {
      await twoAreNeeded();
      const approval = await pending();
      await (await person('ben')).slack.approve(approval);
      await (await person('carla')).slack.reject(approval);
      return (await person('ada')).certificate.approve(approval);
    },
  },
  {
    name: 'an approval that is used for a second run',
    hears: /it is at work/,
    runs: 1,
    attack: async ({ person, pending }) => {
      const approval = await pending();
      await (await person('ben')).slack.approve(approval);
      return (await person('carla')).slack.approve(approval);
    },
  },
  {
    name: 'an approval that is used again after its run has ended',
    hears: /tried and failed/,
    runs: 1,
    attack: async ({ site, person, pending }) => {
      const approval = await pending();
      await (await person('ben')).slack.approve(approval);
      await site.reset();
      return (await person('carla')).slack.approve(approval);
    },
  },
];

const planChanges: readonly (readonly [string, (machineId: string) => ReturnType<typeof sql>, RegExp])[] = [
  [
    'its epoch',
    (id) => sql`with points as (update recovery_points set epoch = epoch + 1 where machine_id = ${id})
      update protected_machines set epoch = epoch + 1 where id = ${id}`,
    /epoch: 1, now 2/,
  ],
  [
    'the figures of its policy, under the same name',
    () => sql`update replication_policies set retention_ms = retention_ms + 1000`,
    /policy retention ms/,
  ],
  [
    'a disk that is added',
    (id) => sql`with guest as (update guests set disks = disks || '[{"key": "disk9", "sizeBytes": 65536}]')
      insert into disks (id, machine_id, key, boot_order, size_bytes) values ('dsk_0000000001', ${id}, 'disk9', 9, 65536)`,
    /plan disks changed/,
  ],
  [
    'the size of a disk',
    (id) => sql`with guest as (update guests set disks = '[{"key": "disk0", "sizeBytes": 131072}]')
      update disks set size_bytes = 131072 where machine_id = ${id}`,
    /plan disks changed/,
  ],
  [
    'its hardware',
    (id) => sql`update protected_machines set hardware = jsonb_set(hardware, '{cpuCount}', '64') where id = ${id}`,
    /cpu count: 1, now 64/,
  ],
  [
    'what was approved, in the row itself',
    (id) => sql`update approvals set digest = repeat('0', 64) where machine_id = ${id} and state = 'pending'`,
    /has changed since/,
  ],
];

/** What is approved is what was shown: anything else that would be done is asked for again. */
export const changedPlans: readonly Attack[] = [
  ...planChanges.map(
    ([what, change, hears]): Attack => ({
      name: `changed between the request and the click: ${what}`,
      hears,
      attack: async ({ person, machine, pending, nature }) => {
        const { id } = await pending();
        await nature(change(machine.id));
        const ben = await person('ben');
        return ben.slack.post(chatRoutes.approve, { approval: id, code: ben.code() });
      },
    }),
  ),
  {
    name: 'changed between the request and the click: a tag that makes two persons necessary',
    hears: /needed count: 1, now 2/,
    attack: async ({ person, pending, tag }) => {
      const approval = await pending();
      await tag(['tier:0']);
      return (await person('ben')).slack.approve(approval);
    },
  },
  {
    name: 'changed between the request and the click: an admin takes the tag away that makes two necessary',
    hears: /needed count: 2, now 1/,
    attack: async ({ person, pending, twoAreNeeded, tag }) => {
      await twoAreNeeded();
      const approval = await pending();
      await tag([], ['tier:0']);
      return (await person('ben')).slack.approve(approval);
    },
  },
  {
    name: 'changed between the approval and its time: the epoch',
    hears: /epoch: 1, now 2/,
    attack: atItsTime(({ machine, nature }) =>
      nature(sql`update protected_machines set epoch = epoch + 1 where id = ${machine.id}`),
    ),
  },
  {
    name: 'changed between the approval and its time: the approver’s role',
    hears: /Not everybody who approved it may decide/,
    attack: atItsTime(({ role }) => role('ben', [])),
  },
  {
    name: 'changed between the approval and its time: who asked is disabled',
    hears: /who asked for it, is disabled/,
    attack: atItsTime(({ disable }) => disable('ana')),
  },
  {
    name: 'changed between the approval and its time: the role of who asked',
    hears: /may not ask for it any more/,
    attack: atItsTime(({ role }) => role('ana', [])),
  },
  {
    name: 'changed between the approval and its time: a tag by which others decide',
    hears: /deciding tags: none, now web/,
    attack: atItsTime(({ tag }) => tag(['web'])),
  },
  {
    name: 'changed between the approval and its time: its time, in the row itself',
    hears: /not before ms/,
    attack: atItsTime(async () => undefined, 'in the row alone'),
  },
];

/** ben approves what ana wants later; then something changes, and then its time has come. */
function atItsTime(
  change: (scene: Scene) => Promise<void>,
  how: 'as asked for' | 'in the row alone' = 'as asked for',
): Attack['attack'] {
  return async (scene) => {
    const { site, store, person, pending, nature } = scene;
    const approval = await pending({ more: { atMs: (await store.nowMs()) + 600_000 } });
    const heard = await (await person('ben')).slack.approve(approval);
    await change(scene);
    const { id } = approval;
    await nature(
      sql`update approvals set not_before = now() - interval '1 second', requested_at = now() - interval '1 hour' where id = ${id}`,
    );
    // As if it had been asked for an hour ago: the parameters and their digest name the same time as the row.
    if (how === 'as asked for') await nature(await earlier(scene, id));
    await settleDueApprovals(site.approvals);
    const vera = await person('vera');
    const { answer } = await vera.slack.get(chatRoutes.approval.replace(':id', id));
    return { ...heard, words: JSON.stringify(answer) };
  };
}

async function earlier({ store }: Scene, id: string) {
  const { rows } = await store.read((db) =>
    db.execute<{ params: object; ms: string }>(
      sql`select params, (extract(epoch from not_before) * 1000)::bigint::text as ms from approvals where id = ${id}`,
    ),
  );
  const params = { ...rows[0]?.params, notBeforeMs: Number(rows[0]?.ms) };
  return sql`update approvals set params = ${JSON.stringify(params)}::jsonb, digest = ${proposalDigest(params)} where id = ${id}`;
}

import { afterAll, beforeAll, expect, test } from 'vitest';
import { withdraw } from '../../../engine/approvals/withdraw.ts';
import { listAudit } from '../../../engine/store/audit.ts';
import { subscribe } from '../../../engine/store/chat-places.ts';
import { settleDelivery } from '../../../engine/store/deliveries.ts';
import { copyLinks, listCopies } from '../../../engine/store/messages.ts';
import { startTestPostgres, type TestPostgres } from '../../fixtures/postgres.ts';
import { type ApprovalSite, approvalSite, idOf, speaker } from '../approvals/approval-site.ts';
import { channel, execute } from './outbox.ts';

let postgres: TestPostgres;
let site: ApprovalSite;
beforeAll(async () => {
  postgres = await startTestPostgres();
  site = await approvalSite(await postgres.freshStore());
});
afterAll(() => postgres.stop());

test('what ends an approval is written down with where people were shown it', async () => {
  const { store } = site;
  await store.write((db) => subscribe(db, { place: channel('C1'), severityMin: 'info', person: 'ana' }));
  const id = idOf(await site.request('ana', (await site.machine()).id));
  const topic = `approval:${id}` as const;
  const [copy] = await store.read((db) => listCopies(db, topic));
  const serviceUrl = 'https://smba.example/';
  const ref = { channel: 'C1', ts: '1732.0001', serviceUrl, viewers: ['29:x'] };
  const done = { revision: 1, outcome: { kind: 'delivered', ref } } as const;
  await store.write((db) => settleDelivery(db, copy?.id ?? '', done));
  const links = 'slack T1 C1 (channel C1, ts 1732.0001)';
  expect(await store.read((db) => copyLinks(db, topic))).toBe(links);
  await withdraw(site.deps, { approvalId: id, speaker: speaker('ana') });
  const trail = await store.read((db) => listAudit(db, { countMax: 50, about: id }));
  expect(trail.map(({ what, detail }) => [what, detail.endsWith(`; shown in ${links}`)])).toEqual(
    expect.arrayContaining([
      ['approval withdrawn', true],
      ['approval requested', false],
    ]),
  );
});

test('places where it never came are left out, and many are counted', async () => {
  const { store } = site;
  const topic = 'run:run_0000000001';
  await execute(
    store,
    `insert into messages (id, surface, tenant, place, kind, topic, severity, ref)
      select 'msg_' || lpad(n::text, 10, '0'), 'slack', 'T1', 'C' || n, 'copy', '${topic}', 'info',
        case when n > 1 then jsonb_build_object('ts', n::text) end from generate_series(1, 53) n`,
  );
  const links = (await store.read((db) => copyLinks(db, topic))).split('; ');
  expect([links[0], links.length, links.at(-1)]).toEqual(['slack T1 C2 (ts 2)', 51, '2 more']);
});

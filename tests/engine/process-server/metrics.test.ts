import { rename } from 'node:fs/promises';
import { join } from 'node:path';
import { Agent, request } from 'undici';
import { afterAll, beforeAll, expect, test } from 'vitest';
import type { AgentIdentity } from '../../../agent/identity.ts';
import { startPosition } from '../../../domain/position.ts';
import { createProcessServerMetrics, type ProcessServerMetrics } from '../../../engine/process-server/metrics.ts';
import { createDirectoryStore } from '../../../engine/vault/directory-store.ts';
import { openVault } from '../../../engine/vault/open-vault.ts';
import {
  contentDigestHeader,
  formatContentDigest,
  formatPosition,
  previousHeader,
} from '../../../protocol/change-stream.ts';
import { contentDigestOfWrites } from '../../../protocol/content-digest.ts';
import { nilUuid } from '../../../protocol/hrl.ts';
import { createHrlImageBuilder, hrlImageBytesMax } from '../../../protocol/hrl-writer.ts';
import { listenForMetrics, type MetricsListener } from '../../../protocol/metrics-listener.ts';
import { grantHeader } from '../../../protocol/replication-grant.ts';
import { readExposition, sampleValue } from '../../fixtures/exposition.ts';
import { createSite, grantFor, type Site } from './replication-site.ts';

const block = 65_536;
const sizeBytes = 8 * block;
let site: Site;
let agent: AgentIdentity;
let client: Agent;
let metrics: ProcessServerMetrics;
let listener: MetricsListener;
let url: string;

beforeAll(async () => {
  site = await createSite();
  agent = await site.newAgent();
  metrics = createProcessServerMetrics('1.2.3');
  const store = metrics.watched(await createDirectoryStore(join(site.folder, 'vault')));
  const vault = await openVault({ store, keys: site.keys, sealerThreads: 0 });
  ({ url } = await site.startProcessServer({ vault, observe: metrics.observe }));
  listener = await listenForMetrics({ host: '127.0.0.1', port: 0 }, metrics.render, () => undefined);
  client = new Agent({
    connect: { ca: agent.certificateAuthority, cert: agent.certificate, key: agent.privateKey },
  });
});
afterAll(async () => {
  await client.destroy();
  await listener.close();
  metrics.stop();
  await site.close();
});

function imageOf(fill: number) {
  const identity = { uniqueId: nilUuid, previousUniqueId: nilUuid, dataWriteId: nilUuid, createdAtMs: 0 };
  const builder = createHrlImageBuilder(Buffer.alloc(hrlImageBytesMax(block, 512) + block), identity, () => 0);
  const writes = [{ offsetBytes: 0, data: Buffer.alloc(block, fill) }];
  builder.append(0, writes[0]?.data ?? Buffer.alloc(0));
  return { image: builder.seal(), digest: contentDigestOfWrites(writes) };
}

async function put(diskId: ReturnType<Site['newDiskId']>, fill: number, granted = true): Promise<number> {
  const machineId = site.newMachineId();
  const grant = grantFor(site, { agentId: agent.agentId, machineId, disks: granted ? [{ diskId, sizeBytes }] : [] });
  const { image, digest } = imageOf(fill);
  const answer = await request(`${url}/v1/disks/${diskId}/segments`, {
    method: 'PUT',
    dispatcher: client,
    body: image,
    headers: {
      [grantHeader]: grant,
      [contentDigestHeader]: formatContentDigest(digest),
      [previousHeader]: formatPosition(startPosition(1)),
    },
  });
  await answer.body.dump();
  return answer.statusCode;
}

async function scrape() {
  return readExposition(await (await fetch(listener.url)).text());
}

test('counts what is stored, what was there, what is refused and what the vault could not do', async () => {
  const before = await scrape();
  expect(sampleValue(before, 'lifeboat_segments_total', { outcome: 'appended' })).toBe(0);
  expect(sampleValue(before, 'lifeboat_last_segment_timestamp_seconds')).toBe(0);
  const diskId = site.newDiskId();
  expect(await put(diskId, 1)).toBe(200);
  expect(await put(diskId, 1)).toBe(200);
  expect(await put(diskId, 2)).toBe(409);
  expect(await put(diskId, 3, false)).toBe(403);
  const seen = await scrape();
  const value = (name: string, labels: Record<string, string> = {}) => sampleValue(seen, `lifeboat_${name}`, labels);
  expect(value('segments_total', { outcome: 'appended' })).toBe(1);
  expect(value('segments_total', { outcome: 'already-there' })).toBe(1);
  expect(value('segments_refused_total', { reason: 'position-mismatch' })).toBe(1);
  expect(value('segments_refused_total', { reason: 'grant-refused' })).toBe(1);
  expect(value('segments_refused_total', { reason: 'outage' })).toBe(0);
  expect(value('segment_append_seconds_count')).toBe(2);
  expect(value('segments_in_flight')).toBe(0);
  // Three bodies came; the one without a grant was not begun.
  expect(value('segments_received_bytes_total')).toBeGreaterThan(3 * block);
  expect(value('segments_received_bytes_total')).toBeLessThan(4 * block);
  expect(value('segments_stored_bytes_total')).toBeGreaterThan(0);
  expect(Date.now() / 1000 - (value('last_segment_timestamp_seconds') ?? 0)).toBeLessThan(120);
  expect(value('process_server_requests_total', { what: 'segments', status: '200' })).toBe(2);
  const errors = () => scrape().then((now) => sampleValue(now, 'lifeboat_vault_errors_total', { operation: 'put' }));
  expect(await errors()).toBe(0);
  await rename(join(site.folder, 'vault'), join(site.folder, 'vault-away'));
  expect(await put(site.newDiskId(), 4)).toBe(503);
  await rename(join(site.folder, 'vault-away'), join(site.folder, 'vault'));
  const after = await scrape();
  const failed = after.get('lifeboat_vault_errors_total')?.samples.reduce((sum, sample) => sum + sample.value, 0);
  expect(failed).toBeGreaterThan(0);
  expect(sampleValue(after, 'lifeboat_segments_refused_total', { reason: 'outage' })).toBe(1);
  expect(sampleValue(after, 'lifeboat_segments_in_flight')).toBe(0);
});

test('what is asked for makes no series of its own', async () => {
  for (const path of ['/a', '/b', '/v1/disks/x/y', '/%00', '/v1/disks/dsk_1/segments/more']) {
    await (await request(`${url}${path}`, { dispatcher: client })).body.dump();
  }
  const samples = (await scrape()).get('lifeboat_process_server_requests_total')?.samples ?? [];
  const what = new Set(samples.map(({ labels }) => labels.what));
  expect([...what].filter((one) => !['segments', 'position', 'digests', 'health'].includes(one ?? ''))).toEqual([
    'unknown',
  ]);
});

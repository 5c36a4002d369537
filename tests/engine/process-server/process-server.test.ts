import { request as httpsRequest, type RequestOptions } from 'node:https';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { AgentIdentity } from '../../../agent/identity.ts';
import type { DiskId, MachineId } from '../../../domain/ids.ts';
import { OutageError } from '../../../domain/outage.ts';
import { type Position, startPosition } from '../../../domain/position.ts';
import {
  contentDigestHeader,
  formatContentDigest,
  formatPosition,
  previousHeader,
} from '../../../protocol/change-stream.ts';
import { contentDigestOfWrites } from '../../../protocol/content-digest.ts';
import { nilUuid, readHrl } from '../../../protocol/hrl.ts';
import { coalesceRecords } from '../../../protocol/hrl-coalesce.ts';
import { createHrlImageBuilder, hrlImageBytesMax } from '../../../protocol/hrl-writer.ts';
import { grantHeader } from '../../../protocol/replication-grant.ts';
import { createSite, grantFor, type Site, sha256 } from './replication-site.ts';

const block = 65_536;
const sizeBytes = 8 * block;
let site: Site;
let agent: AgentIdentity;
let server: { url: string; stop: () => Promise<void> };
let diskId: DiskId;
let machineId: MachineId;
let grant: string;

beforeAll(async () => {
  site = await createSite();
  agent = await site.newAgent();
  server = await site.startProcessServer();
  machineId = site.newMachineId();
});
afterAll(() => site.close());

function freshDisk() {
  diskId = site.newDiskId();
  grant = grantFor(site, { agentId: agent.agentId, machineId, disks: [{ diskId, sizeBytes }] });
}

type Answer = { status: number; headers: Record<string, unknown>; bytes: Buffer; json: { [key: string]: unknown } };

function call(options: {
  method?: string;
  path: string;
  body?: Buffer;
  headers?: Record<string, string>;
  identity?: Partial<AgentIdentity> | null;
  url?: string;
}): Promise<Answer> {
  const identity: Partial<AgentIdentity> = options.identity === null ? {} : { ...agent, ...options.identity };
  const tls: RequestOptions = {
    ca: agent.certificateAuthority,
    ...(identity.certificate === undefined ? {} : { cert: identity.certificate, key: identity.privateKey ?? '' }),
    minVersion: 'TLSv1.3',
    agent: false,
  };
  return new Promise((resolve, reject) => {
    const request = httpsRequest(
      `${options.url ?? server.url}${options.path}`,
      { ...tls, method: options.method ?? 'GET', headers: { [grantHeader]: grant, ...options.headers } },
      (response) => {
        const chunks: Buffer[] = [];
        response.on('data', (chunk: Buffer) => chunks.push(chunk));
        response.on('end', () => {
          const bytes = Buffer.concat(chunks);
          const isJson = response.headers['content-type'] === 'application/json';
          const json = isJson ? JSON.parse(bytes.toString()) : {};
          resolve({ status: response.statusCode ?? 0, headers: response.headers, bytes, json });
        });
      },
    );
    request.on('error', reject);
    request.end(options.body);
  });
}

function imageOf(writes: readonly { offsetBytes: number; data: Buffer }[]): Buffer {
  const total = writes.reduce((sum, write) => sum + write.data.length, 0);
  const identity = { uniqueId: nilUuid, previousUniqueId: nilUuid, dataWriteId: nilUuid, createdAtMs: 0 };
  const builder = createHrlImageBuilder(Buffer.alloc(hrlImageBytesMax(total, 512) + block), identity, () => 0);
  for (const write of writes) builder.append(write.offsetBytes, write.data);
  return builder.seal();
}

/** Of what an image changes; of nothing when it is no image. */
function contentDigest(image: Buffer): Buffer {
  try {
    return contentDigestOfWrites(coalesceRecords(readHrl(image).records, 1e9 * block));
  } catch (error) {
    if (error instanceof OutageError) return sha256(image);
    throw error;
  }
}

function put(body: Buffer, previous: Position, more: Partial<Parameters<typeof call>[0]> = {}) {
  return call({
    method: 'PUT',
    path: `/v1/disks/${diskId}/segments`,
    body,
    ...more,
    headers: {
      [contentDigestHeader]: formatContentDigest(contentDigest(body)),
      [previousHeader]: formatPosition(previous),
      ...more.headers,
    },
  });
}
const start = startPosition(1);
const oneBlock = (fill: number, at = 0) => imageOf([{ offsetBytes: at * block, data: Buffer.alloc(block, fill) }]);

describe('a segment', () => {
  test('is acknowledged with the position that it made, and can be read from the vault', async () => {
    freshDisk();
    const answer = await put(oneBlock(7, 2), start);
    expect(answer).toMatchObject({ status: 200, json: { kind: 'appended', position: { epoch: 1, sequence: 1 } } });
    const position = answer.json.position as Position;
    const reader = await (await site.openVaultAgain()).openDisk(diskId, position);
    expect((await reader.read(2 * block, block)).equals(Buffer.alloc(block, 7))).toBe(true);
    expect((await reader.read(0, block)).equals(Buffer.alloc(block))).toBe(true);
    const asked = await call({ path: `/v1/disks/${diskId}/position` });
    expect(asked).toMatchObject({ status: 200, json: { position } });
    const digests = await call({ path: `/v1/disks/${diskId}/digests?from=1&count=2` });
    expect(digests.bytes).toEqual(Buffer.concat([Buffer.alloc(32), sha256(Buffer.alloc(block, 7))]));
  });

  test('sent twice is stored once', async () => {
    freshDisk();
    const first = await put(oneBlock(1), start);
    const second = await put(oneBlock(1), start);
    expect(second).toMatchObject({ status: 200, json: { kind: 'already-there', position: first.json.position } });
  });

  test('that does not follow the newest one is answered with the position', async () => {
    freshDisk();
    const first = await put(oneBlock(1), start);
    const other = await put(oneBlock(2), start);
    expect(other).toMatchObject({ status: 409, json: { kind: 'position-mismatch', position: first.json.position } });
  });

  test('is taken over by another process server where the first one stopped', async () => {
    freshDisk();
    const first = await put(oneBlock(1), start);
    const second = await site.startProcessServer();
    const next = await put(oneBlock(2), first.json.position as Position, { url: second.url });
    expect(next).toMatchObject({ status: 200, json: { position: { sequence: 2 } } });
    const third = await put(oneBlock(3), next.json.position as Position);
    expect(third).toMatchObject({ status: 200, json: { position: { sequence: 3 } } });
  });

  test('in which a block is written twice leaves its last value', async () => {
    freshDisk();
    const image = imageOf([
      { offsetBytes: 0, data: Buffer.alloc(2 * block, 1) },
      { offsetBytes: block, data: Buffer.alloc(block, 2) },
      { offsetBytes: 0, data: Buffer.alloc(block, 3) },
    ]);
    const { json } = await put(image, start);
    const reader = await site.vault.openDisk(diskId, json.position as Position);
    const expected = Buffer.concat([Buffer.alloc(block, 3), Buffer.alloc(block, 2)]);
    expect((await reader.read(0, 2 * block)).equals(expected)).toBe(true);
  });
});

describe('who may call', () => {
  test('nobody without a certificate of this installation', async () => {
    freshDisk();
    await expect(call({ path: `/v1/disks/${diskId}/position`, identity: null })).rejects.toThrow();
    const stranger = await createSite();
    try {
      const foreign = await stranger.newAgent();
      await expect(call({ path: `/v1/disks/${diskId}/position`, identity: foreign })).rejects.toThrow();
    } finally {
      await stranger.close();
    }
  });

  test('no person and no bot, also with the right grant', async () => {
    freshDisk();
    const person = await site.authority.issueKeyPair({ kind: 'person', name: 'ana' }, { nowMs: Date.now() });
    const answer = await put(oneBlock(1), start, { identity: person });
    expect(answer).toMatchObject({ status: 401, json: { kind: 'unauthenticated' } });
  });

  test('no other agent with a stolen grant', async () => {
    freshDisk();
    const answer = await put(oneBlock(1), start, { identity: await site.newAgent() });
    expect(answer).toMatchObject({ status: 403, json: { kind: 'grant-refused' } });
    expect(answer.json.message).toMatch(/The grant is agt_\w+'s, not agt_\w+'s/);
  });

  test('the agent, but only for the disks of its grant', async () => {
    freshDisk();
    const other = site.newDiskId();
    const answer = await put(oneBlock(1), start, { path: `/v1/disks/${other}/segments` });
    expect(answer).toMatchObject({ status: 403, json: { message: 'The grant does not name this disk.' } });
    expect((await call({ path: `/v1/disks/${other}/digests?from=0&count=1` })).status).toBe(403);
    expect((await call({ path: `/v1/disks/${other}/position` })).status).toBe(403);
  });

  test.each([
    ['expired', () => site.grant({ ...granted(), notAfterMs: Date.now() - 1 }), 'the grant has expired.'],
    ['forged', () => `${grant.slice(0, -8)}AAAAAAAA`, 'the grant is not signed by this installation.'],
    ['malformed', () => 'x', 'the grant is malformed.'],
  ])('not with a grant that is %s', async (_word, make, message) => {
    freshDisk();
    const answer = await put(oneBlock(1), start, { headers: { [grantHeader]: make() } });
    expect(answer).toMatchObject({ status: 403, json: { kind: 'grant-refused', message } });
  });
  const granted = () => ({ agentId: agent.agentId, machineId, disks: [{ diskId, sizeBytes }], epoch: 1 });

  test('nobody with the grant of an old epoch, once the disk is in a newer one', async () => {
    freshDisk();
    const first = await put(oneBlock(1), start);
    const newer = site.grant({ ...granted(), epoch: 2 });
    const second = await put(oneBlock(2), first.json.position as Position, { headers: { [grantHeader]: newer } });
    expect(second).toMatchObject({ status: 200, json: { position: { epoch: 2 } } });
    const position = second.json.position as Position;
    expect(await put(oneBlock(3), first.json.position as Position)).toMatchObject({
      status: 403,
      json: { kind: 'fenced' },
    });
    expect(await put(oneBlock(3), position)).toMatchObject({ status: 403, json: { kind: 'fenced' } });
    expect(await call({ path: `/v1/disks/${diskId}/position` })).toMatchObject({
      status: 403,
      json: { kind: 'fenced' },
    });
    const after = await call({ path: `/v1/disks/${diskId}/position`, headers: { [grantHeader]: newer } });
    expect(after.json.position).toEqual(position);
  });
});

describe('what is refused, clearly', () => {
  const refusals: [string, () => Promise<Answer>, number, string, RegExp][] = [
    [
      'a body that was changed on its way',
      () =>
        put(oneBlock(1), start, {
          headers: { [contentDigestHeader]: formatContentDigest(contentDigest(oneBlock(2))) },
        }),
      422,
      'bad-content',
      /changed on its way/,
    ],
    [
      'a body that is no log',
      () => put(Buffer.from('hello'), start),
      422,
      'bad-content',
      /offset 0: header is cut off/,
    ],
    ['a log cut short', () => put(oneBlock(1).subarray(0, -4096), start), 422, 'bad-content', /EOLLocation is \d+/],
    ['a range outside the disk', () => put(oneBlock(1, 8), start), 422, 'bad-content', /ends after the disk's 524288/],
    [
      'a range that is not whole blocks',
      () => put(imageOf([{ offsetBytes: 512, data: Buffer.alloc(512, 1) }]), start),
      422,
      'bad-content',
      /does not start at a 64 KiB block/,
    ],
    [
      'an announced size above the limit, before a byte of it is read',
      () => put(Buffer.alloc(0), start, { headers: { 'content-length': String(200 * 1_048_576) } }),
      413,
      'too-large',
      /has 209715200 bytes; at most/,
    ],
    [
      'no previous position',
      () => put(oneBlock(1), start, { headers: { [previousHeader]: 'x' } }),
      400,
      'bad-request',
      /x-lifeboat-previous/,
    ],
    [
      'no digest',
      () => put(oneBlock(1), start, { headers: { [contentDigestHeader]: 'md5=x' } }),
      400,
      'bad-request',
      /content-digest/,
    ],
    [
      'too many digests',
      () => call({ path: `/v1/disks/${diskId}/digests?from=0&count=65537` }),
      400,
      'bad-request',
      /1 to 65536/,
    ],
    [
      'another route',
      () => call({ method: 'DELETE', path: `/v1/disks/${diskId}/segments` }),
      404,
      'unknown-route',
      /DELETE/,
    ],
  ];
  test.each(refusals)('%s', async (_name, send, status, kind, message) => {
    freshDisk();
    const answer = await send();
    expect(answer).toMatchObject({ status, json: { kind } });
    expect(answer.json.message).toMatch(message);
    expect((await call({ path: `/v1/disks/${diskId}/position` })).json.position).toMatchObject({ sequence: 0 });
  });

  test('a body of which any part was flipped on its way, and nothing of it is stored', async () => {
    freshDisk();
    const image = imageOf([
      { offsetBytes: block, data: Buffer.alloc(block, 5) },
      { offsetBytes: 3 * block, data: Buffer.alloc(block, 6) },
    ]);
    const headers = { [contentDigestHeader]: formatContentDigest(contentDigest(image)) };
    const entries = image.length - 4096 + 32;
    const parts = {
      'the header': 100,
      'the first metadata block': 4096 + 100,
      'data, first byte': 8192,
      'data, last byte': image.length - 4097,
      'the distance to the block before': image.length - 4096,
      'the number of entries': image.length - 4096 + 8,
      'an offset': entries + 2,
      'a length': entries + 14,
      'a time': entries + 16,
      'the space after the entries': image.length - 1,
    };
    for (const [part, at] of Object.entries(parts)) {
      const damaged = Buffer.from(image);
      damaged[at] = (damaged[at] ?? 0) ^ 1;
      expect([part, (await put(damaged, start, { headers })).status]).toEqual([part, 422]);
    }
    expect((await call({ path: `/v1/disks/${diskId}/position` })).json.position).toMatchObject({ sequence: 0 });
    expect((await put(image, start, { headers })).status).toBe(200);
  });

  test('a well-formed log with other changes than were named: moved, missing, added, overwritten or in zeros', async () => {
    freshDisk();
    const [one, two] = [Buffer.alloc(block, 1), Buffer.alloc(block, 2)];
    const sent = [
      { offsetBytes: block, data: one },
      { offsetBytes: 3 * block, data: two },
    ];
    const headers = { [contentDigestHeader]: formatContentDigest(contentDigest(imageOf(sent))) };
    const others: Record<string, { offsetBytes: number; data: Buffer }[]> = {
      moved: [{ offsetBytes: 2 * block, data: one }, ...sent.slice(1)],
      exchanged: sent.map(({ data }, index) => ({ offsetBytes: index === 0 ? 3 * block : block, data })),
      missing: sent.slice(1),
      empty: [],
      added: [...sent, { offsetBytes: 5 * block, data: two }],
      'added zeros': [...sent, { offsetBytes: 5 * block, data: Buffer.alloc(block) }],
      overwritten: [...sent, { offsetBytes: block, data: two }],
      'in zeros': [{ offsetBytes: block, data: Buffer.alloc(block) }, ...sent.slice(1)],
    };
    for (const [name, writes] of Object.entries(others)) {
      const answer = await put(imageOf(writes), start, { headers });
      expect([name, answer.status, answer.json.kind]).toEqual([name, 422, 'bad-content']);
    }
    expect((await call({ path: `/v1/disks/${diskId}/position` })).json.position).toMatchObject({ sequence: 0 });
    // The same changes in another log, also with one that a later entry takes back, are the same changes.
    const again = [{ offsetBytes: 3 * block, data: one }, ...sent];
    expect((await put(imageOf(again), start, { headers })).status).toBe(200);
    expect((await put(imageOf(sent), start, { headers })).json.kind).toBe('already-there');
  });

  test('random damage to a real log is refused or harmless, and the server lives on', async () => {
    freshDisk();
    const image = oneBlock(5);
    for (let round = 0; round < 60; round += 1) {
      const damaged = Buffer.from(image);
      const at = (round * 7919) % 8192;
      damaged[at] = (damaged[at] ?? 0) ^ (1 << (round % 8));
      const answer = await put(damaged, start);
      // Creator and times are not part of the log's meaning, but the header's checksum covers them.
      expect(answer.status).toBe(422);
    }
    expect((await call({ path: '/healthz' })).status).toBe(200);
  });
});

describe('too much at once', () => {
  test('is answered with 503 and Retry-After, and taken when there is room again', async () => {
    const gate = Promise.withResolvers<void>();
    const entered = Promise.withResolvers<void>();
    const vault = await site.openVaultAgain();
    const append: typeof vault.append = async (...order) => {
      entered.resolve();
      await gate.promise;
      return vault.append(...order);
    };
    const limits = { bodyBytesMax: 100_000, connectionsMax: 10 };
    const small = await site.startProcessServer({ vault: { ...vault, append }, limits });
    freshDisk();
    const first = put(oneBlock(1), start, { url: small.url });
    await entered.promise;
    const refused = await put(oneBlock(2), start, { url: small.url });
    expect(refused).toMatchObject({ status: 503, json: { kind: 'busy' }, headers: { 'retry-after': '1' } });
    gate.resolve();
    expect((await first).status).toBe(200);
    const next = await put(oneBlock(2), (await first).json.position as Position, { url: small.url });
    expect(next.status).toBe(200);
    await vault.close();
  });

  test('a full vault is said with 507, an outage with 503', async () => {
    freshDisk();
    const full = Object.assign(new Error('no space left on device'), { code: 'ENOSPC' });
    for (const [cause, status, kind] of [
      [full, 507, 'vault-full'],
      [new Error('no route'), 503, 'outage'],
    ] as const) {
      const vault = await site.openVaultAgain();
      const append = () =>
        Promise.reject(new OutageError('write a segment', { cause, retryable: true, nextStep: 'Make room.' }));
      const broken = await site.startProcessServer({ vault: { ...vault, append } });
      const answer = await put(oneBlock(1), start, { url: broken.url });
      expect(answer).toMatchObject({
        status,
        json: { kind, message: `write a segment: ${cause.message}. Make room.` },
      });
      await vault.close();
    }
  });
});

test('/healthz needs no grant', async () => {
  const answer = await call({ path: '/healthz', headers: { [grantHeader]: '' } });
  expect(answer).toMatchObject({ status: 200, json: { status: 'ok' } });
});

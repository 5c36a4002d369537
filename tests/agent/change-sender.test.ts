import { randomBytes } from 'node:crypto';
import { setTimeout as delay } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { type ChangeSender, createChangeSender, FencedError } from '../../agent/change-sender.ts';
import type { AgentIdentity } from '../../agent/identity.ts';
import type { DiskId, MachineId } from '../../domain/ids.ts';
import { OutageError } from '../../domain/outage.ts';
import { startPosition } from '../../domain/position.ts';
import { contentDigestOfWrites } from '../../protocol/content-digest.ts';
import { nilUuid } from '../../protocol/hrl.ts';
import { createHrlImageBuilder, hrlImageBytesMax } from '../../protocol/hrl-writer.ts';
import { createSite, grantFor, type Site } from '../engine/process-server/replication-site.ts';

const sizeBytes = 64 * 1_048_576;
let site: Site;
let agent: AgentIdentity;
let machineId: MachineId;
const senders: ChangeSender[] = [];
beforeAll(async () => {
  site = await createSite();
  agent = await site.newAgent();
  machineId = site.newMachineId();
});
afterAll(async () => {
  for (const sender of senders) await sender.close();
  await site.close();
});

function senderFor(urls: string[], options: { identity?: AgentIdentity; tryForMs?: number; tookOver?: string[] } = {}) {
  const sender = createChangeSender({
    processServers: () => urls,
    identity: () => options.identity ?? agent,
    monotonicMs: () => performance.now(),
    delay: (ms, signal) => delay(ms, undefined, { signal }),
    tryForMs: options.tryForMs ?? 3000,
    onTakeOver: (_from, to) => options.tookOver?.push(to),
  });
  senders.push(sender);
  return sender;
}

function callFor(diskId: DiskId, epoch = 1) {
  const grant = grantFor(site, { agentId: agent.agentId, machineId, disks: [{ diskId, sizeBytes }], epoch });
  return { diskId, grant: () => grant, signal: new AbortController().signal };
}

function segment(dataBytes: number) {
  const identity = { uniqueId: nilUuid, previousUniqueId: nilUuid, dataWriteId: nilUuid, createdAtMs: 0 };
  const builder = createHrlImageBuilder(Buffer.alloc(hrlImageBytesMax(dataBytes, 65_536)), identity, () => 0);
  const data = randomBytes(dataBytes);
  builder.append(0, data);
  const contentDigest = contentDigestOfWrites([{ offsetBytes: 0, data }]);
  return { image: builder.seal(), contentDigest, previous: startPosition(1) };
}

describe('the sender', () => {
  test('sends a large segment and reads position and digests back', async () => {
    const { url } = await site.startProcessServer();
    const sender = senderFor([url]);
    const call = callFor(site.newDiskId());
    const outcome = await sender.send({ ...call, segment: segment(16 * 1_048_576) });
    expect(outcome).toMatchObject({ kind: 'acknowledged', position: { sequence: 1 } });
    expect(await sender.position(call)).toEqual(outcome.position);
    expect((await sender.digests({ ...call, firstBlock: 0, count: 257 })).subarray(-32)).toEqual(Buffer.alloc(32));
  });

  test('leaves a busy process server for the next one, in the middle of a large body', async () => {
    const busy = await site.startProcessServer({ limits: { bodyBytesMax: 1000, connectionsMax: 10 } });
    const free = await site.startProcessServer();
    const sender = senderFor([busy.url, free.url]);
    const outcome = await sender.send({ ...callFor(site.newDiskId()), segment: segment(16 * 1_048_576) });
    expect(outcome.kind).toBe('acknowledged');
  });

  test('waits as a busy process server asks, and gives up after its time, saying what the server said', async () => {
    const busy = await site.startProcessServer({ limits: { bodyBytesMax: 1000, connectionsMax: 10 } });
    const sender = senderFor([busy.url], { tryForMs: 1500 });
    const startedAt = performance.now();
    const failure = await sender
      .send({ ...callFor(site.newDiskId()), segment: segment(65_536) })
      .catch((error: unknown) => error);
    expect(failure).toBeInstanceOf(OutageError);
    expect((failure as OutageError).retryable).toBe(true);
    expect(String((failure as OutageError).cause)).toMatch(/holds 0 bytes of segments already/);
    expect(performance.now() - startedAt).toBeGreaterThan(990);
  });

  test('goes to the next process server when one is away, and stays there', async () => {
    const away = await site.startProcessServer();
    await away.stop();
    const there = await site.startProcessServer();
    const tookOver: string[] = [];
    const sender = senderFor([there.url, away.url], { tookOver });
    const call = callFor(site.newDiskId());
    await sender.position(call);
    await there.stop();
    await site.startProcessServer({ port: away.port });
    await sender.position(call);
    await sender.position(call);
    expect(tookOver).toEqual([away.url]);
  });

  test('says when there is no process server at all', async () => {
    const failure = await senderFor([], { tryForMs: 10 })
      .position(callFor(site.newDiskId()))
      .catch((error: unknown) => error);
    expect(String((failure as OutageError).cause)).toMatch(/has named no process server yet/);
  });

  test('does not speak to a server that is not a process server of this installation', async () => {
    const stranger = await createSite();
    try {
      const { url } = await stranger.startProcessServer();
      const failure = await senderFor([url], { tryForMs: 10 })
        .position(callFor(site.newDiskId()))
        .catch((error: unknown) => error);
      expect(failure).toBeInstanceOf(OutageError);
    } finally {
      await stranger.close();
    }
  });

  test('stops when a newer epoch owns the disk', async () => {
    const { url } = await site.startProcessServer();
    const sender = senderFor([url]);
    const diskId = site.newDiskId();
    await sender.send({ ...callFor(diskId, 2), segment: segment(65_536) });
    await expect(sender.position(callFor(diskId, 1))).rejects.toThrow(FencedError);
  });

  test('ends at once when it is told to stop', async () => {
    const stopping = new AbortController();
    const waiting = senderFor([], { tryForMs: 60_000 }).position({
      ...callFor(site.newDiskId()),
      signal: stopping.signal,
    });
    stopping.abort(new Error('the agent stops'));
    await expect(waiting).rejects.toThrow();
  });
});

import { mkdtemp, rm } from 'node:fs/promises';
import net from 'node:net';
import os from 'node:os';
import path from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { makeGuestDisks } from '../../demo/guest/guest-disk.ts';
import { OutageError } from '../../domain/outage.ts';
import { connectQmp, QmpError } from '../../protocol/qmp.ts';
import { type RunningGuest, startGuest } from '../fixtures/guest-process.ts';

let folder: string;
beforeEach(async () => {
  folder = await mkdtemp(path.join(os.tmpdir(), 'lifeboat-qmp-'));
});
afterEach(() => rm(folder, { recursive: true }));

async function withGuest(use: (guest: RunningGuest) => Promise<void>): Promise<void> {
  const disks = [{ sizeBytes: 8 * 1024 * 1024, filledBytes: 0 }];
  const guest = await startGuest(folder, await makeGuestDisks({ folder, machineName: 'vm', disks, format: 'raw' }));
  try {
    await use(guest);
  } finally {
    await guest.stop('kill');
  }
}

/** A peer that greets, then says what the test wants for each line it gets. */
async function withPeer(answer: (line: string) => string, use: (socketPath: string) => Promise<void>): Promise<void> {
  const socketPath = path.join(folder, 'peer.qmp');
  const sockets = new Set<net.Socket>();
  const server = net.createServer((socket) => {
    sockets.add(socket);
    socket.on('error', () => {});
    socket.write('{"QMP":{"version":{},"capabilities":[]}}\r\n');
    socket.on('data', (data) => socket.write(answer(data.toString())));
  });
  await new Promise<void>((resolve) => server.listen(socketPath, resolve));
  try {
    await use(socketPath);
  } finally {
    for (const socket of sockets) socket.destroy();
    server.close();
  }
}

const agree = (line: string) => JSON.stringify({ id: JSON.parse(line).id, return: {} });

test('commands answer, refusals carry the words of QEMU, and events since a mark are not missed', async () => {
  await withGuest(async (guest) => {
    const qmp = await connectQmp(guest.socketPath, { timeoutMs: 5000 });
    expect(await qmp.execute('query-status')).toMatchObject({ status: 'running' });
    const refusal = await qmp.execute('blockdev-del', { 'node-name': 'nothing' }).catch((error: unknown) => error);
    expect(refusal).toBeInstanceOf(QmpError);
    expect(refusal).toMatchObject({ command: 'blockdev-del', errorClass: 'GenericError' });
    const since = qmp.mark();
    await qmp.execute('stop');
    await qmp.execute('cont');
    const event = await qmp.waitForEvent('STOP', () => true, { timeoutMs: 1000, since });
    expect(event.name).toBe('STOP');
    await expect(qmp.waitForEvent('STOP', () => true, { timeoutMs: 50 })).rejects.toThrow('within 50 ms');
    qmp.close();
  });
}, 60_000);

test('a second client is told that the socket is held, and a killed QEMU ends what waits', async () => {
  await withGuest(async (guest) => {
    const qmp = await connectQmp(guest.socketPath, { timeoutMs: 5000 });
    await expect(connectQmp(guest.socketPath, { timeoutMs: 200 })).rejects.toThrow('did not answer');
    const waiting = qmp.waitForEvent('NEVER', () => true, { timeoutMs: 30_000 });
    const refused = expect(waiting).rejects.toBeInstanceOf(OutageError);
    await guest.stop('kill');
    await refused;
    await qmp.ended;
    expect(qmp.isOpen()).toBe(false);
    await expect(qmp.execute('query-status')).rejects.toBeInstanceOf(OutageError);
  });
}, 60_000);

test('a socket that is not there is waited for until the deadline', async () => {
  const absent = connectQmp(path.join(folder, 'absent.qmp'), { timeoutMs: 100 });
  await expect(absent).rejects.toMatchObject({ retryable: true });
});

test('an answer in many pieces is put together, and a late one is dropped', async () => {
  let late: string | undefined;
  const answer = (line: string) => {
    if (line.includes('slow')) {
      late = `${agree(line)}\n`;
      return '';
    }
    return `${late ?? ''}${agree(line)}\n`;
  };
  await withPeer(answer, async (socketPath) => {
    const qmp = await connectQmp(socketPath, { timeoutMs: 2000 });
    await expect(qmp.execute('slow', {}, { timeoutMs: 50 })).rejects.toThrow('did not answer slow within 50 ms');
    expect(await qmp.execute('quick')).toEqual({});
    qmp.close();
  });
});

test.each([
  { what: 'is not JSON', line: 'hello\n' },
  { what: 'is of an unknown form', line: '[1,2]\n' },
  { what: 'never ends', line: 'x'.repeat(17 * 1024 * 1024) },
])('a line that $what ends the connection', async ({ line }) => {
  const answer = (asked: string) => (asked.includes('capabilities') ? `${agree(asked)}\n` : line);
  await withPeer(answer, async (socketPath) => {
    const qmp = await connectQmp(socketPath, { timeoutMs: 2000 });
    await expect(qmp.execute('anything')).rejects.toBeInstanceOf(OutageError);
    expect(qmp.isOpen()).toBe(false);
  });
});

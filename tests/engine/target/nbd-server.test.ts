import { execFile } from 'node:child_process';
import { mkdtemp, readFile, rm, stat, writeFile } from 'node:fs/promises';
import net from 'node:net';
import os from 'node:os';
import path from 'node:path';
import { promisify } from 'node:util';
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import { connectNbd } from '../../../agent/nbd-client.ts';
import { OutageError } from '../../../domain/outage.ts';
import { mebibyte } from '../../../domain/units.ts';
import { exportOf, isHole, statusRuns } from '../../../engine/target/nbd-export.ts';
import { type NbdServer, startNbdServer } from '../../../engine/target/nbd-server.ts';
import type { ReadError } from '../../../engine/target/nbd-transmission.ts';
import type { DiskReader } from '../../../engine/vault/vault.ts';
import { encodeRequest, nbdCommand, nbdOption } from '../../../protocol/nbd.ts';
import { encodeClientFlags, encodeGo, encodeOption } from '../../../protocol/nbd-handshake.ts';
import { fileDiskReader, storedRuns } from './file-disk-reader.ts';

const run = promisify(execFile);
const sizeBytes = 9 * mebibyte + 512;
let folder: string;
let image: string;
let content: Buffer;
let server: NbdServer | undefined;
let readErrors: ReadError[] = [];
let clientErrors: unknown[] = [];

beforeAll(async () => {
  folder = await mkdtemp(path.join(os.tmpdir(), 'nbd-test-'));
  image = path.join(folder, 'disk.img');
  content = Buffer.alloc(sizeBytes);
  for (let at = 0; at < mebibyte; at += 4) content.writeUInt32LE(at ^ 0x5bd1e995, at);
  content.fill(0x77, 5 * mebibyte, 5 * mebibyte + 70_000);
  content.fill(0x33, sizeBytes - 100);
  await writeFile(image, content);
});
afterEach(async () => {
  await server?.close();
  server = undefined;
  readErrors = [];
  clientErrors = [];
});
afterAll(() => rm(folder, { recursive: true, force: true }));

function reader(): DiskReader {
  return fileDiskReader(image, storedRuns(content));
}

async function serve(disks: Record<string, DiskReader>): Promise<string> {
  const socketPath = path.join(folder, 'nbd.sock');
  server = await startNbdServer({
    socketPath,
    exports: Object.entries(disks).map(([name, disk]) => exportOf(name, disk)),
    onReadError: (error) => readErrors.push(error),
    onClientError: (error) => clientErrors.push(error),
  });
  return socketPath;
}

const uri = (socketPath: string, name = 'disk0') => `nbd+unix:///${name}?socket=${socketPath}`;

describe('clients that others wrote', () => {
  test('nbdinfo lists every disk by its name', async () => {
    const socketPath = await serve({ disk0: reader(), disk1: reader() });
    const { stdout } = await run('nbdinfo', ['--list', '--json', uri(socketPath, '')]);
    const names = JSON.parse(stdout).exports.map((disk: { 'export-name': string }) => disk['export-name']);
    expect(names).toEqual(['disk0', 'disk1']);
  });

  test('nbdinfo sees a read-only disk of the right size that may be read over several connections', async () => {
    const { stdout } = await run('nbdinfo', ['--json', uri(await serve({ disk0: reader() }))]);
    const disk = JSON.parse(stdout).exports[0];
    expect(disk).toMatchObject({ 'export-size': sizeBytes, is_read_only: true, can_multi_conn: true, can_df: true });
  });

  test('the map that nbdinfo sees is exactly what is stored', async () => {
    const { stdout } = await run('nbdinfo', ['--map', '--json', uri(await serve({ disk0: reader() }))]);
    const stored = JSON.parse(stdout).filter((run: { type: number }) => run.type === 0);
    const runs = stored.map((run: { offset: number; length: number }) => ({
      offsetBytes: run.offset,
      lengthBytes: run.length,
    }));
    expect(runs).toEqual(storedRuns(content));
  });

  test('nbdcopy copies the disk exactly, over four connections at once', async () => {
    const copy = path.join(folder, 'copy.img');
    await run('nbdcopy', ['--connections=4', uri(await serve({ disk0: reader() })), copy]);
    expect((await readFile(copy)).equals(content)).toBe(true);
  });

  test('qemu-img finds no difference', async () => {
    const { stdout } = await run('qemu-img', [
      'compare',
      '-f',
      'raw',
      '-F',
      'raw',
      uri(await serve({ disk0: reader() })),
      image,
    ]);
    expect(stdout).toContain('identical');
  });

  test('nothing can be written: nbdcopy onto it fails', async () => {
    const socketPath = await serve({ disk0: reader() });
    await expect(run('nbdcopy', [image, uri(socketPath)])).rejects.toThrow(/read-only|not permitted|writ/i);
    expect((await readFile(image)).equals(content)).toBe(true);
  });

  test('a disk that is not served is refused by name', async () => {
    await expect(run('nbdinfo', [uri(await serve({ disk0: reader() }), 'disk9')])).rejects.toThrow();
  });

  test('only its own user may open the socket', async () => {
    const socketPath = await serve({ disk0: reader() });
    expect((await stat(socketPath)).mode & 0o777).toBe(0o600);
  });
});

describe('memory that is used again', () => {
  test.each(['lent', 'of its own', 'sometimes lent'])(
    'many reads at once of a reader whose memory is %s are all right',
    async (kind) => {
      let count = 0;
      const read: DiskReader['read'] = async (offsetBytes, lengthBytes, allocate = Buffer.alloc) => {
        count += 1;
        if (count % 3 === 0) await new Promise((resolve) => setImmediate(resolve));
        const isLent = kind === 'lent' || (kind === 'sometimes lent' && count % 2 === 0);
        // A reader that asks for memory and then answers with other memory is allowed, too.
        const memory = allocate(lengthBytes);
        const data = isLent ? memory : Buffer.alloc(lengthBytes);
        content.copy(data, 0, offsetBytes, offsetBytes + lengthBytes);
        return data;
      };
      const socketPath = await serve({ disk0: { ...reader(), read } });
      const client = await connectNbd({ socketPath, exportName: 'disk0', metaContexts: [] });
      const ranges = Array.from({ length: 600 }, (_, index) => {
        const lengthBytes = [512, 4096, 65_536, 300_000, 1_048_576][index % 5] ?? 512;
        return { offsetBytes: (index * 7_919_003) % (sizeBytes - lengthBytes), lengthBytes };
      });
      const answers = await Promise.all(
        ranges.map(async ({ offsetBytes, lengthBytes }) =>
          (await client.read(offsetBytes, lengthBytes)).equals(
            content.subarray(offsetBytes, offsetBytes + lengthBytes),
          ),
        ),
      );
      client.close();
      expect(answers.filter((isRight) => !isRight)).toEqual([]);
    },
  );
});

describe('a vault that cannot give bytes', () => {
  const broken = (): DiskReader => ({
    ...reader(),
    read: async (offsetBytes, lengthBytes) => {
      if (offsetBytes >= 5 * mebibyte) throw new OutageError('frame 3 was changed', { retryable: false });
      return content.subarray(offsetBytes, offsetBytes + lengthBytes);
    },
  });

  test('the reader is told EIO and the reason is reported', async () => {
    const socketPath = await serve({ disk0: broken() });
    const read = run('qemu-io', ['-r', '-f', 'raw', '-c', `read ${5 * mebibyte} 4096`, uri(socketPath)]);
    await expect(read).rejects.toMatchObject({ stdout: expect.stringContaining('Input/output error') });
    expect(readErrors[0]).toMatchObject({ exportName: 'disk0', offsetBytes: 5 * mebibyte });
    expect(String(readErrors[0]?.error)).toContain('frame 3 was changed');
  });

  test('what can be read still can, on the same connection', async () => {
    const socketPath = await serve({ disk0: broken() });
    const commands = ['-c', `read ${5 * mebibyte} 4096`, '-c', 'read 0 4096'];
    const outcome = await run('qemu-io', ['-r', '-f', 'raw', ...commands, uri(socketPath)]).catch((error) => error);
    expect(outcome.stdout).toContain('read 4096/4096 bytes at offset 0');
  });

  test('a reader that gives too few bytes is an error, not a short disk', async () => {
    const socketPath = await serve({ disk0: { ...reader(), read: async () => Buffer.alloc(10) } });
    await expect(run('qemu-io', ['-r', '-f', 'raw', '-c', 'read 0 4096', uri(socketPath)])).rejects.toMatchObject({
      stdout: expect.stringContaining('Input/output error'),
    });
  });
});

/** A client that says whatever it wants; `answer` resolves with all bytes when the server hangs up. */
function rawClient(socketPath: string): { socket: net.Socket; ended: Promise<Buffer> } {
  const socket = net.connect(socketPath);
  const chunks: Buffer[] = [];
  socket.on('data', (chunk) => chunks.push(chunk));
  socket.on('error', (error) => clientErrors.push(error));
  const ended = new Promise<Buffer>((resolve) => socket.once('close', () => resolve(Buffer.concat(chunks))));
  return { socket, ended };
}

const goDisk0 = Buffer.concat([encodeClientFlags(3), encodeOption(nbdOption.go, encodeGo('disk0', []))]);
const request = (command: number, offsetBytes: number, lengthBytes: number) =>
  encodeRequest({ command, flags: 0, handle: 7n, offsetBytes, lengthBytes });
const disconnect = request(nbdCommand.disconnect, 0, 0);
/** Error number of the simple reply that begins so many bytes before the end. */
const errorOf = (answer: Buffer, fromEnd = 16) => answer.readUInt32BE(answer.length - fromEnd + 4);

describe('clients that break the protocol', () => {
  test.each([
    ['a wrong magic number in an option', Buffer.concat([encodeClientFlags(3), Buffer.alloc(16, 0xee)])],
    [
      'an option of 4 GiB',
      Buffer.concat([encodeClientFlags(3), encodeOption(nbdOption.go, Buffer.alloc(0)).fill(0xff, 12)]),
    ],
    ['flags that nobody knows', encodeClientFlags(0xffff_ffff)],
    [
      'a go option whose name is longer than itself',
      Buffer.concat([encodeClientFlags(3), encodeOption(nbdOption.go, Buffer.alloc(8, 0x7f))]),
    ],
    ['a wrong magic number in a request', Buffer.concat([goDisk0, Buffer.alloc(28, 0xee)])],
  ])('%s cuts off that client alone', async (_what, bytes) => {
    const socketPath = await serve({ disk0: reader() });
    const { socket, ended } = rawClient(socketPath);
    socket.write(bytes);
    await ended;
    expect(clientErrors.length).toBeGreaterThan(0);
    await run('nbdinfo', [uri(socketPath)]);
  });

  test.each([
    ['past the end', sizeBytes - 10, 20],
    ['far past the end', Number.MAX_SAFE_INTEGER - 100, 20],
    ['of nothing', 0, 0],
    ['of more than 32 MiB', 0, 33 * mebibyte],
  ])('a read %s is refused and the connection goes on', async (_what, offsetBytes, lengthBytes) => {
    const { socket, ended } = rawClient(await serve({ disk0: reader() }));
    socket.write(Buffer.concat([goDisk0, request(nbdCommand.read, offsetBytes, lengthBytes), disconnect]));
    expect(errorOf(await ended)).toBe(22);
  });

  test('a write is refused, its data is not taken for requests, and the next read is right', async () => {
    const { socket, ended } = rawClient(await serve({ disk0: reader() }));
    const write = Buffer.concat([request(nbdCommand.write, 0, 3 * mebibyte), Buffer.alloc(3 * mebibyte, 0xee)]);
    socket.write(Buffer.concat([goDisk0, write, request(nbdCommand.read, 4096, 512), disconnect]));
    const answer = await ended;
    expect(errorOf(answer, 16 + 16 + 512)).toBe(1);
    expect(answer.subarray(-512).equals(content.subarray(4096, 4608))).toBe(true);
    expect((await readFile(image)).equals(content)).toBe(true);
  });

  test('requests that come byte by byte are understood', async () => {
    const { socket, ended } = rawClient(await serve({ disk0: reader() }));
    for (const byte of Buffer.concat([goDisk0, request(nbdCommand.read, 0, 512), disconnect]))
      socket.write(Buffer.of(byte));
    expect((await ended).subarray(-512).equals(content.subarray(0, 512))).toBe(true);
  });

  test('a client that asks without taking the answers makes the server hold a bounded number of bytes', async () => {
    let readingNow = 0;
    let readBytes = 0;
    const counting: DiskReader = {
      ...reader(),
      read: async (_offsetBytes, lengthBytes) => {
        readingNow += 1;
        readBytes += lengthBytes;
        return Buffer.alloc(lengthBytes, 1);
      },
    };
    const { socket } = rawClient(await serve({ disk0: counting }));
    socket.pause();
    socket.write(
      Buffer.concat([goDisk0, ...Array.from({ length: 2000 }, () => request(nbdCommand.read, 0, mebibyte))]),
    );
    await expect.poll(() => readingNow, { timeout: 10_000 }).toBeGreaterThan(50);
    // One more request than the limit may have been let in.
    expect(readBytes).toBeLessThanOrEqual(66 * mebibyte);
    socket.destroy();
  });

  test('many clients at once are served, and those above the limit are turned away', async () => {
    const socketPath = await serve({ disk0: reader() });
    const clients = Array.from({ length: 80 }, () => rawClient(socketPath));
    await expect
      .poll(() => clients.filter(({ socket }) => socket.closed).length, { timeout: 10_000 })
      .toBeGreaterThanOrEqual(16);
    expect(server?.connectionCount()).toBeLessThanOrEqual(64);
    for (const { socket } of clients) socket.destroy();
  });
});

describe('holes', () => {
  const disk = exportOf('disk0', {
    sizeBytes: 1000,
    read: async () => Buffer.alloc(0),
    allocated: () => [
      { offsetBytes: 100, lengthBytes: 100 },
      { offsetBytes: 300, lengthBytes: 50 },
    ],
    close: async () => undefined,
  });

  test.each([
    [0, 100, true],
    [0, 101, false],
    [199, 1, false],
    [200, 100, true],
    [350, 650, true],
    [250, 60, false],
  ])('from %i, %i bytes: a hole is %s', (offsetBytes, lengthBytes, expected) => {
    expect(isHole(disk, offsetBytes, lengthBytes)).toBe(expected);
  });

  test('a status covers its range without gaps, and may stop early', () => {
    expect(statusRuns(disk, { offsetBytes: 150, lengthBytes: 850 }, 10)).toEqual([
      { lengthBytes: 50, flags: 0 },
      { lengthBytes: 100, flags: 3 },
      { lengthBytes: 50, flags: 0 },
      { lengthBytes: 650, flags: 3 },
    ]);
    expect(statusRuns(disk, { offsetBytes: 0, lengthBytes: 1000 }, 1)).toEqual([{ lengthBytes: 100, flags: 3 }]);
  });
});

import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

const account = 'devstoreaccount1';
/** Azurite's published account key: it protects nothing. */
const accountKey = 'Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw==';

export type Azurite = { readonly connectionString: string; stop(): Promise<void> };

/** Starts a real Azurite on a free port of the loopback interface. */
export async function startAzurite(): Promise<Azurite> {
  const folder = await mkdtemp(join(tmpdir(), 'lifeboat-azurite-'));
  const port = await freePort();
  const script = new URL('../../../node_modules/azurite/dist/src/blob/main.js', import.meta.url).pathname;
  const options = ['--skipApiVersionCheck', '--disableTelemetry', '--location', folder, '--blobHost', '127.0.0.1'];
  const child = spawn(process.execPath, [script, ...options, '--blobPort', String(port)], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  await untilListening(child);
  const endpoint = `http://127.0.0.1:${port}/${account}`;
  return {
    connectionString: `DefaultEndpointsProtocol=http;AccountName=${account};AccountKey=${accountKey};BlobEndpoint=${endpoint};`,
    async stop() {
      const exited = once(child, 'exit');
      child.kill('SIGTERM');
      await exited;
      await rm(folder, { recursive: true, force: true });
    },
  };
}

async function untilListening(child: ChildProcess): Promise<void> {
  let text = '';
  await new Promise<void>((resolve, reject) => {
    child.stdout?.on('data', (piece) => {
      text += String(piece);
      if (text.includes('successfully listens')) resolve();
    });
    child.once('exit', (code) => reject(new Error(`Azurite ended with ${code}: ${text}`)));
  });
}

async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const address = server.address();
  server.close();
  await once(server, 'close');
  if (address === null || typeof address === 'string') throw new Error('no port');
  return address.port;
}

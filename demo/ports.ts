import { readFileSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';

export type Ports = { readonly engine: number; readonly processServer: number };

/** The usual ports when they are free, else any; remembered, because the agent and `dr` know the engine by its address. */
export async function choosePorts(file: string): Promise<Ports> {
  const remembered = readPorts(file);
  if (remembered !== undefined) return remembered;
  const ports = { engine: await freePort(8443), processServer: await freePort(9443) };
  writeFileSync(file, JSON.stringify(ports));
  return ports;
}

function readPorts(file: string): Ports | undefined {
  let text: string;
  try {
    text = readFileSync(file, 'utf8');
  } catch {
    return undefined; // the first start
  }
  const [engine, processServer] = [/"engine":(\d+)/.exec(text)?.[1], /"processServer":(\d+)/.exec(text)?.[1]];
  if (engine === undefined || processServer === undefined) return undefined;
  return { engine: Number(engine), processServer: Number(processServer) };
}

async function freePort(preferred: number): Promise<number> {
  return (await listenOnce(preferred)) ?? (await listenOnce(0)) ?? preferred;
}

function listenOnce(port: number): Promise<number | undefined> {
  return new Promise((resolve) => {
    const server = createServer();
    server.once('error', () => resolve(undefined));
    server.listen({ port, host: '127.0.0.1' }, () => {
      const address = server.address();
      server.close(() => resolve(typeof address === 'object' ? address?.port : undefined));
    });
  });
}

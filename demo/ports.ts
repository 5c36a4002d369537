import { readFileSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { z } from 'zod';

const usual = {
  engine: 8443,
  processServer: 9443,
  console: 8444,
  engineMetrics: 9471,
  processServerMetrics: 9472,
  botMetrics: 9473,
} as const;
type Name = keyof typeof usual;
export type Ports = Readonly<Record<Name, number>>;

const port = z.number().int().min(1).max(65_535).optional();
const remembered = z.object({
  engine: port,
  processServer: port,
  console: port,
  engineMetrics: port,
  processServerMetrics: port,
  botMetrics: port,
} satisfies Record<Name, typeof port>);

/** The usual ports when they are free, else any; remembered, because the agent, `dr` and bookmarks know the site by its addresses. */
export async function choosePorts(file: string): Promise<Ports> {
  const known = readPorts(file);
  const ports: Record<Name, number> = { ...usual };
  for (const name of remembered.keyof().options) ports[name] = known[name] ?? (await freePort(usual[name]));
  writeFileSync(file, JSON.stringify(ports));
  return ports;
}

/** Nothing is remembered at the first start; what was remembered by an older version may be less than all. */
function readPorts(file: string): z.infer<typeof remembered> {
  try {
    return remembered.parse(JSON.parse(readFileSync(file, 'utf8')));
  } catch {
    // Not there, or not readable: ports are chosen anew, and whoever knew the old ones is told the new ones by this start.
    return {};
  }
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

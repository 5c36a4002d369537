import { createHash } from 'node:crypto';
import { realpath } from 'node:fs/promises';
import { createServer } from 'node:net';
import { OutageError } from '../domain/outage.ts';

/**
 * Keeps a second agent away from a state folder: two would send each other's changes. Held by a socket in Linux's abstract name
 * space, so that it is gone with the process, however it ends.
 *
 * @returns gives the folder free
 * @throws OutageError when another agent has it
 */
export async function lockStateFolder(stateFolder: string): Promise<() => void> {
  const name = createHash('sha256')
    .update(await realpath(stateFolder))
    .digest('hex');
  const server = createServer((socket) => socket.destroy());
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  server.once('error', reject);
  server.listen(`\0lifeboat-agent-${name.slice(0, 32)}`, resolve);
  await promise.catch((cause: unknown) => {
    throw new OutageError(`take the state folder ${stateFolder}: another agent runs with it`, {
      cause,
      retryable: false,
      nextStep: 'Stop the other agent, or give this one a state folder of its own.',
    });
  });
  server.unref();
  return () => server.close();
}

import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import type { Role } from '../domain/access.ts';
import type { Layout } from './layout.ts';
import { programFile } from './site.ts';

export type Newcomer = { readonly name: string; readonly role: Role };

/** `lifeboat person add` on the engine's host, as an administrator does it. Returns the one-time code by which the newcomer gets in. */
export async function addPerson(
  { layout, signal }: { readonly layout: Layout; readonly signal: AbortSignal },
  { name, role }: Newcomer,
): Promise<string> {
  const order = [programFile, 'person', 'add', name, '--role', role, '--state', layout.state];
  const { stdout } = await promisify(execFile)(process.execPath, order, { signal });
  const [, code] = /\/dr link (\S+)/.exec(stdout) ?? [];
  if (code === undefined) throw new Error(`\`lifeboat person add\` printed no code: ${stdout}`);
  return code;
}

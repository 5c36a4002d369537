import { createHash } from 'node:crypto';
import { hostname, tmpdir } from 'node:os';
import { join } from 'node:path';
import { z } from 'zod';
import { gibibyte, mebibyte } from '../domain/units.ts';
import { machineName } from '../protocol/api-fields.ts';
import { readConfigFile } from '../protocol/config-file.ts';

const absolutePath = z.string().startsWith('/', 'must be an absolute path');

/** The agent's configuration file. */
export const agentConfig = z.strictObject({
  /** Identity, journals and spooled changes. On a file system with room for `spoolBytesMax`; never on the protected disks. */
  stateFolder: absolutePath,
  /** As the enrolment token names this host. */
  hostName: machineName.default(() => hostname().slice(0, 63)),
  /** Where this host stands, for people: hosts are shown by site. */
  site: machineName.default('main'),
  engineUrl: z.url({ protocol: /^https$/ }),
  /** One-time; needed only until the host is enrolled. */
  enrolmentToken: z.string().max(2000).optional(),
  /** Each socket `<name>.qmp` in it is the QMP monitor of the QEMU guest of that name, for the agent alone. */
  guestFolder: absolutePath.optional(),
  /** Machines whose disks are plain image files, in boot order. */
  images: z
    .array(z.strictObject({ name: machineName, paths: z.array(absolutePath).min(1).max(64) }))
    .max(1000)
    .default([]),
  /** What waits for the process server may take this much disk; beyond it machines are compared anew. */
  spoolBytesMax: z
    .number()
    .int()
    .min(64 * mebibyte)
    .default(4 * gibibyte),
  /** What a guest may overwrite on one disk while a capture of it is read. */
  fleeceBytesMax: z
    .number()
    .int()
    .min(64 * mebibyte)
    .default(4 * gibibyte),
});
export type AgentConfig = z.infer<typeof agentConfig>;

/** @throws OutageError that says what is wrong with the file, and where in it */
export function readAgentConfig(file: string): Promise<AgentConfig> {
  return readConfigFile(file, agentConfig);
}

/** Unix sockets are made in it, whose paths may have only 107 bytes: a deep state folder gets a short one elsewhere. */
export function workFolderOf(stateFolder: string): string {
  const inside = join(stateFolder, 'work');
  if (inside.length <= 80) return inside;
  return join(tmpdir(), `lifeboat-agent-${createHash('sha256').update(stateFolder).digest('hex').slice(0, 12)}`);
}

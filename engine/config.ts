import { readFile } from 'node:fs/promises';
import { z } from 'zod';
import { OutageError } from '../domain/outage.ts';
import { inputProblems } from '../protocol/input-problems.ts';
import { vaultLocation } from './vault/vault-location.ts';

const absolutePath = z.string().startsWith('/', 'must be an absolute path');

/** The engine's configuration file. Everything that it keeps itself lies below `stateFolder`. */
export const engineConfig = z.strictObject({
  stateFolder: absolutePath,
  /** Names this engine in certificates and plans. */
  name: z.string().regex(/^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$/),
  listen: z.strictObject({ host: z.string().default('127.0.0.1'), port: z.number().int().min(1).max(65_535) }),
  /** How others reach it; in the certificate and in enrolment tokens. */
  url: z.url({ protocol: /^https$/ }),
  databaseUrl: z.string().min(1),
  vault: vaultLocation,
  /** Where process servers are reached, in the order in which agents try them. */
  processServers: z.array(z.url({ protocol: /^https$/ })).max(100),
  /** `none`: drills check the disks without starting the machine. */
  hypervisor: z.enum(['qemu', 'none']).default('qemu'),
});
export type EngineConfig = z.infer<typeof engineConfig>;

/** Reads and checks a configuration file; what is wrong is said with its place in the file. */
export async function readEngineConfig(file: string): Promise<EngineConfig> {
  const parsed = engineConfig.safeParse(await readJson(file));
  if (parsed.success) return parsed.data;
  throw new OutageError(`the configuration ${file} is wrong: ${inputProblems(parsed.error)}`, {
    retryable: false,
    nextStep: 'Correct these fields and start again; docs/operations lists every field.',
  });
}

async function readJson(file: string): Promise<unknown> {
  const text = await readFile(file, 'utf8').catch((cause: unknown) => {
    throw new OutageError(`read the configuration ${file}`, {
      cause,
      retryable: false,
      nextStep: 'Check the path after --config, or the folder after --state.',
    });
  });
  try {
    return JSON.parse(text);
  } catch (cause) {
    throw new OutageError(`the configuration ${file} is not JSON`, {
      cause,
      retryable: false,
      nextStep: 'Correct it and start again.',
    });
  }
}

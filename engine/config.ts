import { z } from 'zod';
import { readConfigFile } from '../protocol/config-file.ts';
import { metricsConfig } from '../protocol/metrics-listener.ts';
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
  /** Gets a POST with JSON when nobody acknowledges a critical alert. */
  pagerUrl: z.url({ protocol: /^https?$/ }).optional(),
  metrics: metricsConfig.optional(),
});
export type EngineConfig = z.infer<typeof engineConfig>;

/** @throws OutageError that says what is wrong with the file, and where in it */
export function readEngineConfig(file: string): Promise<EngineConfig> {
  return readConfigFile(file, engineConfig);
}

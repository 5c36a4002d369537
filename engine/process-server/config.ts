import { readFile } from 'node:fs/promises';
import { z } from 'zod';
import { OutageError } from '../../domain/outage.ts';
import { readConfigFile } from '../../protocol/config-file.ts';
import { metricsConfig } from '../../protocol/metrics-listener.ts';
import { vaultLocation } from '../vault/vault-location.ts';

const absolutePath = z.string().startsWith('/', 'must be an absolute path');

/** The process server's configuration file. It needs no database: only the vault, its keys and the engine's public key. */
export const processServerConfig = z.strictObject({
  listen: z.strictObject({
    host: z.string().min(1).default('127.0.0.1'),
    port: z.number().int().min(0).max(65_535).default(9443),
  }),
  vault: vaultLocation,
  /** The folder with the vault's key encryption key. */
  keysFolder: absolutePath,
  /** PEM files; read again every hour, so that a renewed certificate is taken up. */
  tls: z.strictObject({
    certificateFile: absolutePath,
    privateKeyFile: absolutePath,
    certificateAuthorityFile: absolutePath,
  }),
  /** PEM of the Ed25519 key that the engine signs grants with. */
  grantPublicKeyFile: absolutePath,
  limits: z
    .strictObject({
      bodyBytesMax: z
        .number()
        .int()
        .min(80 * 1_048_576)
        .default(256 * 1_048_576),
      connectionsMax: z.number().int().min(1).max(100_000).default(2000),
    })
    .prefault({}),
  metrics: metricsConfig.optional(),
});
export type ProcessServerConfig = z.infer<typeof processServerConfig>;

/** @throws OutageError that says what is wrong with the file, and where in it */
export function readProcessServerConfig(file: string): Promise<ProcessServerConfig> {
  return readConfigFile(file, processServerConfig);
}

/** @throws OutageError naming the file */
export async function readFileOf(file: string, nextStep: string): Promise<string> {
  return readFile(file, 'utf8').catch((cause: unknown) => {
    throw new OutageError(`read ${file}`, { cause, retryable: false, nextStep });
  });
}

import { readFile } from 'node:fs/promises';
import { z } from 'zod';
import { OutageError } from '../../domain/outage.ts';
import { inputProblems } from '../../protocol/input-problems.ts';
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
});
export type ProcessServerConfig = z.infer<typeof processServerConfig>;

/** Reads and checks the file; what is wrong is said with its place in it. */
export async function readProcessServerConfig(file: string): Promise<ProcessServerConfig> {
  const parsed = processServerConfig.safeParse(await readJson(file));
  if (parsed.success) return parsed.data;
  throw new OutageError(`the configuration ${file} is wrong: ${inputProblems(parsed.error)}`, {
    retryable: false,
    nextStep: 'Correct these fields and start again.',
  });
}

async function readJson(file: string): Promise<unknown> {
  const text = await readFileOf(file, 'Check the path after --config.', 'the configuration ');
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

/** @throws OutageError naming the file */
export async function readFileOf(file: string, nextStep: string, what = ''): Promise<string> {
  return readFile(file, 'utf8').catch((cause: unknown) => {
    throw new OutageError(`read ${what}${file}`, { cause, retryable: false, nextStep });
  });
}

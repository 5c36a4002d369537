import { readFile } from 'node:fs/promises';
import type { z } from 'zod';
import { OutageError } from '../domain/outage.ts';
import { inputProblems } from './input-problems.ts';

/**
 * Reads and checks a program's JSON configuration; what is wrong is said with its place in the file.
 *
 * @throws OutageError when the file cannot be read, is not JSON, or does not fit the schema
 */
export async function readConfigFile<Schema extends z.ZodType>(file: string, schema: Schema): Promise<z.infer<Schema>> {
  const parsed = schema.safeParse(await readJson(file));
  if (parsed.success) return parsed.data;
  throw new OutageError(`the configuration ${file} is wrong: ${inputProblems(parsed.error)}`, {
    retryable: false,
    nextStep: 'Correct these fields and start again; docs/operations/install.md lists every field.',
  });
}

async function readJson(file: string): Promise<unknown> {
  const text = await readFile(file, 'utf8').catch((cause: unknown) => {
    throw new OutageError(`read the configuration ${file}`, {
      cause,
      retryable: false,
      nextStep: 'Check the path after --config, or the folder after --state (or in LIFEBOAT_STATE).',
    });
  });
  try {
    return JSON.parse(text);
  } catch (cause) {
    const nextStep = 'Correct it and start again.';
    throw new OutageError(`the configuration ${file} is not JSON`, { cause, retryable: false, nextStep });
  }
}

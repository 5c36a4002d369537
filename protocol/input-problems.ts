import type { z } from 'zod';

/**
 * What is wrong with a file that a person wrote, in one line: each problem with its place in the file.
 *
 * `listen.port: Invalid input: expected number, received string; stateFolder: is missing (expected string)`
 */
export function inputProblems(error: z.ZodError): string {
  return error.issues
    .map((issue) => {
      const missing = /expected (\w+), received undefined$/.exec(issue.message);
      const words = missing === null ? issue.message : `is missing (expected ${missing[1]})`;
      return `${issue.path.join('.') || 'the file'}: ${words}`;
    })
    .join('; ');
}

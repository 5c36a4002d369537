import { z } from 'zod';
import { type IdKind, idPattern } from '../domain/ids.ts';

/** Fields that several parts of the control API have in common. Sizes are bytes. */
export function id<T extends string>(kind: IdKind) {
  return z.custom<T>((value) => typeof value === 'string' && idPattern(kind).test(value), `expected a ${kind} id`);
}
export const machineName = z
  .string()
  .regex(/^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$/, 'a name is 1 to 63 letters, digits, dots, dashes');
export const byteCount = z.number().int().min(0).max(Number.MAX_SAFE_INTEGER);

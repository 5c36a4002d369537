import { z } from 'zod';
import { dayMs, secondMs } from '../../domain/units.ts';
import type { FormRequest, LineRequest, SignInRequest, SignOutRequest } from './wire.ts';

/** What the page sends, as it is let in. */
const deedKey = z.string().regex(/^[A-Za-z0-9_-]{8,64}$/, 'must be 8 to 64 letters, digits, dashes');
const lineLengthMax = 4000;

export const signInRequest: z.ZodType<SignInRequest> = z.strictObject({ code: z.string().min(1).max(200) });
export const signOutRequest: z.ZodType<SignOutRequest> = z.strictObject({ isEverywhere: z.boolean() });
export const lineRequest: z.ZodType<LineRequest> = z.strictObject({
  line: z.string().max(lineLengthMax),
  key: deedKey,
});
export const formRequest: z.ZodType<FormRequest> = z.strictObject({
  form: z.strictObject({
    kind: z.enum(['failover', 'approve', 'reject', 'snooze']),
    context: z.string().max(lineLengthMax),
  }),
  answers: z
    .record(z.string().max(40), z.string().max(lineLengthMax))
    .refine((answers) => Object.keys(answers).length <= 20, 'at most 20 fields'),
  key: deedKey,
});
export const machineQuery = z.object({
  /** How far the lag looks back. */
  sinceMs: z.coerce
    .number()
    .int()
    .min(secondMs)
    .max(30 * dayMs)
    .default(dayMs),
});

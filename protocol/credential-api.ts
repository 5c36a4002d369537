import { z } from 'zod';

/** Until when what a bot needs to go on working is good: all of it, each time. Times are epoch milliseconds. */
export const credentialReportBody = z.object({
  /** The host that says it: each says it of its own. */
  host: z.string().min(1).max(253),
  credentials: z
    .array(
      z.object({
        name: z.string().min(1).max(200),
        expiresAtMs: z.number().int().min(0).max(253_402_300_799_000),
        isRenewedByItself: z.boolean(),
        /** How it is renewed, for whoever must do it. */
        nextStep: z.string().max(500),
      }),
    )
    .max(20),
});

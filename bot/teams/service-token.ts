import { request } from 'undici';
import { z } from 'zod';
import { OutageError } from '../../domain/outage.ts';
import type { TeamsSettings } from './settings.ts';

const tokenAnswer = z.object({ access_token: z.string().min(1), expires_in: z.number().positive() });
/** A token is left this long before it ends, so that it cannot end on its way. */
const earlyMs = 300_000;
const timeoutMs = 10_000;

/**
 * The bot's own token for the connector, from its tenant (client credentials); asked for once and kept until shortly before it ends.
 *
 * @throws OutageError when Entra cannot be asked, or does not know the secret (not retryable then)
 */
export function createTokenSource(
  settings: Pick<TeamsSettings, 'appId' | 'tenantId' | 'cloud'>,
  secret: string,
  nowMs: () => number,
): () => Promise<string> {
  let kept: { readonly token: string; readonly untilMs: number } | undefined;
  let asking: Promise<string> | undefined;
  const ask = async () => {
    const answer = await askForToken(settings, secret);
    kept = { token: answer.access_token, untilMs: nowMs() + Math.max(0, answer.expires_in * 1000 - earlyMs) };
    return kept.token;
  };
  return () => {
    if (kept !== undefined && nowMs() < kept.untilMs) return Promise.resolve(kept.token);
    asking ??= ask().finally(() => {
      asking = undefined;
    });
    return asking;
  };
}

async function askForToken(
  { appId, tenantId, cloud }: Pick<TeamsSettings, 'appId' | 'tenantId' | 'cloud'>,
  secret: string,
): Promise<z.infer<typeof tokenAnswer>> {
  const url = cloud.tokenUrl(tenantId);
  const form = { grant_type: 'client_credentials', client_id: appId, client_secret: secret, scope: cloud.tokenScope };
  try {
    const answer = await request(url, {
      method: 'POST',
      headers: { 'content-type': 'application/x-www-form-urlencoded' },
      body: new URLSearchParams(form).toString(),
      headersTimeout: timeoutMs,
      bodyTimeout: timeoutMs,
    });
    const body: unknown = await answer.body.json();
    if (answer.statusCode === 200) return tokenAnswer.parse(body);
    throw refused(answer.statusCode, body);
  } catch (cause) {
    if (cause instanceof OutageError) throw cause;
    throw new OutageError(`asking ${url} for the bot's token`, { cause, retryable: true });
  }
}

function refused(status: number, body: unknown): OutageError {
  const words = z.object({ error: z.string(), error_description: z.string().default('') }).safeParse(body);
  return new OutageError(`Entra gave the bot no token (HTTP ${status})`, {
    cause: words.success ? `${words.data.error}: ${words.data.error_description.slice(0, 300)}` : 'no reason given',
    retryable: status >= 500 || status === 429,
    nextStep: 'check appId, tenantId and secret of the Teams bot; a secret that has expired is made anew in Entra',
  });
}

import { webApi } from '@slack/bolt';

export const callTimeoutMs = 10_000;
/** Slack's own: used 5 times at most, within 30 minutes. One use is kept for an error at the end. Source: CHAT 2.1 */
export const responseUrlLimits = { useCountMax: 5, validMs: 30 * 60_000 } as const;

export type SlackClients = {
  /** For answers: waits when Slack says so, tries twice more. */
  readonly answering: webApi.WebClient;
  /** For the delivery, which has its own queue: no retries, so that a lost answer does not post twice. */
  readonly delivering: webApi.WebClient;
  /** Posts to a `response_url`. @throws Error when Slack did not take it */
  readonly respond: (responseUrl: string, body: object) => Promise<void>;
};

/** @param apiUrl Slack's Web API, or the loopback peer's */
export function openSlackClients(botToken: string, apiUrl: string, logger: webApi.Logger): SlackClients {
  const common = { slackApiUrl: apiUrl, timeout: callTimeoutMs, allowAbsoluteUrls: true, logger };
  return {
    answering: new webApi.WebClient(botToken, {
      ...common,
      retryConfig: { retries: 2, minTimeout: 300, maxTimeout: 2000 },
    }),
    delivering: new webApi.WebClient(botToken, {
      ...common,
      retryConfig: { retries: 0 },
      rejectRateLimitedCalls: true,
    }),
    respond: (responseUrl, body) => respond(responseUrl, body, apiUrl),
  };
}

async function respond(responseUrl: string, body: object, apiUrl: string): Promise<void> {
  if (!isOfSlack(responseUrl, apiUrl)) throw new Error('the response_url is not one of Slack');
  const answer = await fetch(responseUrl, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify(body),
    redirect: 'error',
    signal: AbortSignal.timeout(callTimeoutMs),
  });
  const text = await answer.text();
  if (!answer.ok) throw new Error(`response_url: HTTP ${answer.status} ${text.slice(0, 100)}`);
}

/** The bot never posts to an address only because a payload says so. */
function isOfSlack(responseUrl: string, apiUrl: string): boolean {
  const { origin, protocol, hostname } = new URL(responseUrl);
  const api = new URL(apiUrl);
  if (origin === api.origin) return true;
  return (
    protocol === 'https:' && /(^|\.)slack(-gov)?\.com$/.test(hostname) && /(^|\.)slack(-gov)?\.com$/.test(api.hostname)
  );
}

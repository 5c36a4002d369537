import { request as requestHttp } from 'node:http';
import { request as requestHttps } from 'node:https';

const answerLimitMs = 10_000;

/** Sends one request and waits for an answer between 200 and 299. @throws Error that says why there was none */
export function send(url: URL, body: string | undefined): Promise<void> {
  return new Promise((resolve, reject) => {
    const request = url.protocol === 'https:' ? requestHttps : requestHttp;
    const headers =
      body === undefined ? {} : { 'content-type': 'application/json', 'content-length': Buffer.byteLength(body) };
    const call = request(url, { method: body === undefined ? 'GET' : 'POST', headers, agent: false }, (response) => {
      response.resume();
      response.once('error', reject);
      const status = response.statusCode ?? 0;
      if (status >= 200 && status < 300) resolve();
      else reject(new Error(`HTTP ${status}`));
    });
    // Of the whole exchange, not of a pause in it: a peer that drips bytes must not hold us.
    const limit = setTimeout(
      () => call.destroy(new Error(`no answer within ${answerLimitMs / 1000} s`)),
      answerLimitMs,
    );
    call.once('close', () => clearTimeout(limit));
    call.once('error', reject);
    call.end(body);
  });
}

const attemptsMax = 4;
const firstPauseMs = 500;

/**
 * Tells every webhook at the same time, each at most four times.
 *
 * @returns true when at least one of them took it
 */
export async function tellAll(
  webhooks: readonly URL[],
  body: string,
  onFailure: (host: string, why: string) => void,
): Promise<boolean> {
  const told = await Promise.all(webhooks.map((url) => tellOne(url, body, onFailure)));
  return told.includes(true);
}

async function tellOne(url: URL, body: string, onFailure: (host: string, why: string) => void): Promise<boolean> {
  for (let attempt = 1; attempt <= attemptsMax; attempt += 1) {
    try {
      await send(url, body);
      return true;
    } catch (error) {
      // The path and query of a webhook are its secret.
      onFailure(url.host, `attempt ${attempt} of ${attemptsMax}: ${error instanceof Error ? error.message : error}`);
    }
    if (attempt < attemptsMax) await pause(firstPauseMs * 2 ** (attempt - 1));
  }
  return false;
}

function pause(ms: number): Promise<void> {
  return new Promise((resolve) => {
    setTimeout(resolve, ms).unref();
  });
}

import { randomUUID } from 'node:crypto';
import { Agent, request } from 'undici';
import type { Identity } from '../../protocol/identity.ts';
import type { Answer, Caller, TestApi } from '../engine/api/api-fixture.ts';

/** What is sent, byte for byte. */
export type Raw = {
  readonly method: string;
  readonly url: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly body?: string | undefined;
};
/** A line to the engine with one certificate, for many speakers. */
export type Line = {
  readonly withHeaders: (headers: Readonly<Record<string, string>>) => Caller;
  readonly send: (raw: Raw) => Promise<Answer>;
  readonly close: () => Promise<void>;
};

export async function connect(api: TestApi, identity: Identity): Promise<Line> {
  const authority = api.deps.certificateAuthority;
  const key = await authority.issueKeyPair(identity, { nowMs: Date.now() });
  const agent = new Agent({ connect: { ca: authority.certificate, key: key.privateKey, cert: key.certificate } });
  const send: Line['send'] = async ({ method, url, headers, body }) => {
    const order = { method: method as 'GET', dispatcher: agent, headers, ...(body !== undefined && { body }) };
    const response = await request(new URL(url, api.url), order);
    const bytes = Buffer.from(await response.body.arrayBuffer());
    return { status: response.statusCode, bytes, body: parsed(bytes) };
  };
  return {
    send,
    withHeaders: (headers) => callerOver(send, headers),
    close: () => agent.destroy(),
  };
}

function callerOver(send: Line['send'], own: Readonly<Record<string, string>>): Caller {
  const call = (method: string, url: string, body?: unknown, key: string = randomUUID()) => {
    const headers = { ...own, 'idempotency-key': key };
    if (body === undefined) return send({ method, url, headers });
    return send({
      method,
      url,
      headers: { ...headers, 'content-type': 'application/json' },
      body: JSON.stringify(body),
    });
  };
  return { call, get: (url) => call('GET', url), post: (url, body, key) => call('POST', url, body, key) };
}

function parsed(bytes: Buffer): unknown {
  try {
    return JSON.parse(bytes.toString('utf8'));
  } catch {
    return undefined; // Not JSON: the words are the bytes.
  }
}

import { mkdtemp, readdir, rm, stat } from 'node:fs/promises';
import { createServer } from 'node:https';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { connect } from 'node:tls';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { createControlClient } from '../../agent/control-client.ts';
import { enrol, renewalDueMs, renewIdentity } from '../../agent/enrolment.ts';
import { type AgentIdentity, createKeyAndRequest, identityFrom, loadIdentity } from '../../agent/identity.ts';
import { dayMs, minuteMs } from '../../domain/units.ts';
import { createCertificateAuthority, loadCertificateAuthority } from '../../engine/certificate-authority.ts';
import { createEnrolmentToken } from '../../engine/enrolment.ts';
import { secureServerOptions } from '../../engine/tls.ts';
import { routes } from '../../protocol/control-api.ts';
import { closeServer, type EnrolmentEngine, listen, startEnrolmentEngine } from '../engine/enrolment-engine.ts';

let folder: string;
let engine: EnrolmentEngine;
const clock = { nowMs: 0 };
const cleanups: (() => Promise<unknown>)[] = [];

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'lifeboat-enrolment-'));
  clock.nowMs = Date.now();
  engine = await startEnrolmentEngine(join(folder, 'authority'), clock);
});
afterEach(async () => {
  for (const cleanup of cleanups.splice(0).reverse()) await cleanup();
  await engine.close();
  await rm(folder, { recursive: true });
});

const newToken = (hostName = 'host-1') => createEnrolmentToken(engine.deps, { hostName, createdBy: 'ana' });
const enrolHost = (token: string, hostName = 'host-1') =>
  enrol({ token, hostName, stateFolder: join(folder, hostName) });

async function enrolled(): Promise<AgentIdentity> {
  const outcome = await enrolHost(await newToken());
  if (outcome.kind !== 'enrolled') throw new Error(outcome.message);
  return outcome.identity;
}

function clientFor(identity: AgentIdentity, engineUrl = engine.url) {
  const client = createControlClient({ engineUrl, identity: () => identity });
  cleanups.push(() => client.close());
  return client;
}

describe('enrolment', () => {
  it('gives a host an identity that it finds again after a restart', async () => {
    const identity = await enrolled();
    expect(await loadIdentity(join(folder, 'host-1'))).toEqual(identity);
    expect(identity.expiresAtMs - clock.nowMs).toBeLessThanOrEqual(7 * dayMs);
  });

  it('keeps the key in one file that only its owner can read', async () => {
    await enrolled();
    expect(await readdir(join(folder, 'host-1'))).toEqual(['identity.json']);
    expect((await stat(join(folder, 'host-1', 'identity.json'))).mode & 0o777).toBe(0o600);
    expect((await stat(join(folder, 'host-1'))).mode & 0o777).toBe(0o700);
    expect((await stat(join(folder, 'authority', 'certificate-authority.key'))).mode & 0o777).toBe(0o600);
  });

  it('refuses a token that was used, and says how to get another', async () => {
    const token = await newToken();
    await enrolHost(token);
    expect(await enrolHost(token)).toMatchObject({ kind: 'refused', message: expect.stringContaining('used already') });
    expect(engine.issued).toHaveLength(1);
  });

  it('makes one certificate of a token that fifty hosts send at once', async () => {
    const token = await newToken();
    const outcomes = await Promise.all(
      Array.from({ length: 50 }, (_, index) =>
        enrol({ token, hostName: 'host-1', stateFolder: join(folder, `clone-${index}`) }),
      ),
    );
    expect(outcomes.filter((outcome) => outcome.kind === 'enrolled')).toHaveLength(1);
    expect(engine.issued).toHaveLength(1);
  });

  it('refuses a token after fifteen minutes', async () => {
    const token = await newToken();
    clock.nowMs += 15 * minuteMs;
    expect(await enrolHost(token)).toMatchObject({ kind: 'refused', message: expect.stringContaining('expired') });
  });

  it('refuses another host’s token and leaves it good for its own', async () => {
    const token = await newToken('host-2');
    const refusal = await enrolHost(token, 'host-1');
    expect(refusal).toMatchObject({ kind: 'refused', message: 'This token is for host-2, not for host-1.' });
    expect(await enrolHost(token, 'host-2')).toMatchObject({ kind: 'enrolled' });
  });

  it('refuses a token of another engine', async () => {
    const other = await startEnrolmentEngine(join(folder, 'other-authority'), clock);
    cleanups.push(() => other.close());
    const token = await createEnrolmentToken(other.deps, { hostName: 'host-1', createdBy: 'ana' });
    other.tokens.clear();
    expect(await enrolHost(token)).toMatchObject({ kind: 'refused', message: expect.stringContaining('did not make') });
  });

  it('refuses half a token without going to the network', async () => {
    expect(await enrolHost((await newToken()).slice(0, -9))).toMatchObject({ kind: 'refused' });
  });

  it('never sends the token to a server whose authority is not the pinned one', async () => {
    const man = await createCertificateAuthority(join(folder, 'man-in-the-middle'), clock.nowMs);
    const key = await man.issueKeyPair({ kind: 'engine', name: 'engine' }, { nowMs: clock.nowMs });
    let heard = 0;
    const server = createServer(secureServerOptions(key, 'if-offered'), () => {
      heard += 1;
    });
    const url = await listen(server);
    cleanups.push(() => closeServer(server));
    const token = await createEnrolmentToken(
      { ...engine.deps, engineUrl: url },
      { hostName: 'host-1', createdBy: 'ana' },
    );
    await expect(enrolHost(token)).rejects.toThrow('not the engine that made this token');
    expect(heard).toBe(0);
    expect([...engine.tokens.values()].every((stored) => !stored.used)).toBe(true);
  });

  it('never sends the token to a server that shows the pinned authority but has another’s key', async () => {
    const man = await createCertificateAuthority(join(folder, 'man-in-the-middle'), clock.nowMs);
    const key = await man.issueKeyPair({ kind: 'engine', name: 'engine' }, { nowMs: clock.nowMs });
    let heard = 0;
    const certificate = `${key.certificate}${engine.authority.certificate}`;
    const server = createServer(secureServerOptions({ ...key, certificate }, 'if-offered'), () => {
      heard += 1;
    });
    const url = await listen(server);
    cleanups.push(() => closeServer(server));
    const token = await createEnrolmentToken(
      { ...engine.deps, engineUrl: url },
      { hostName: 'host-1', createdBy: 'ana' },
    );
    await expect(enrolHost(token)).rejects.toThrow();
    expect(heard).toBe(0);
  });

  it('does not burn the token for a request that is not signed by its key', async () => {
    const token = await newToken();
    const { certificateRequest } = await createKeyAndRequest();
    const der = Buffer.from(certificateRequest.replace(/-----[^-]+-----|\s/g, ''), 'base64');
    der.writeUInt8(der.readUInt8(der.length - 1) ^ 1, der.length - 1);
    const forged = `-----BEGIN CERTIFICATE REQUEST-----\n${der.toString('base64')}\n-----END CERTIFICATE REQUEST-----`;
    const outcome = await engine.authority.issueForRequest(
      forged,
      { kind: 'person', name: 'x' },
      { nowMs: clock.nowMs },
    );
    expect(outcome.kind).toBe('refused');
    expect(await enrolHost(token)).toMatchObject({ kind: 'enrolled' });
  });
});

describe('mutual TLS', () => {
  it('renews with the present certificate, and only the stored identity changes hands', async () => {
    const identity = await enrolled();
    const outcome = await renewIdentity({ client: clientFor(identity), stateFolder: join(folder, 'host-1') }, identity);
    if (outcome.kind !== 'enrolled') throw new Error(outcome.message);
    expect(outcome.identity.agentId).toBe(identity.agentId);
    expect(outcome.identity.privateKey).not.toBe(identity.privateKey);
    expect(await loadIdentity(join(folder, 'host-1'))).toEqual(outcome.identity);
    expect(engine.issued).toHaveLength(2);
  });

  it('is due for renewal at two thirds of its life', () => {
    expect(renewalDueMs({ notBeforeMs: 0, expiresAtMs: 6 * dayMs })).toBe(4 * dayMs);
  });

  it('refuses renewal without a certificate', async () => {
    const identity = await enrolled();
    const outcome = await postWithout(identity);
    expect(outcome).toMatchObject({ kind: 'refused', message: 'Only agents may do this.' });
  });

  it('refuses an expired certificate', async () => {
    const identity = await agentIssued(engine.authority, clock.nowMs - 8 * dayMs);
    expect(await clientFor(identity).renew('x')).toMatchObject({
      kind: 'refused',
      message: expect.stringContaining('expired'),
    });
  });

  it('refuses a certificate that expires while its connection is open', async () => {
    const identity = await enrolled();
    const client = clientFor(identity);
    const { certificateRequest } = await createKeyAndRequest();
    expect(await client.renew(certificateRequest)).toMatchObject({ kind: 'issued' });
    clock.nowMs += 8 * dayMs;
    expect(await client.renew(certificateRequest)).toMatchObject({ message: expect.stringContaining('expired') });
  });

  it('refuses a certificate of another authority', async () => {
    const other = await createCertificateAuthority(join(folder, 'other'), clock.nowMs);
    const foreign = await agentIssued(other, clock.nowMs);
    const mixed = { ...foreign, certificateAuthority: engine.authority.certificate };
    expect(await clientFor(mixed).renew('x')).toMatchObject({
      kind: 'refused',
      message: expect.stringContaining('not from this installation'),
    });
  });

  it('does not talk to an engine of another authority', async () => {
    const other = await createCertificateAuthority(join(folder, 'other'), clock.nowMs);
    const identity = await agentIssued(other, clock.nowMs);
    await expect(clientFor(identity).renew('x')).rejects.toThrow(/POST https/);
  });

  it('does not take an agent, a person or a process server for an engine', async () => {
    for (const kind of ['person', 'process-server'] as const) {
      const key = await engine.authority.issueKeyPair({ kind, name: 'false-engine' }, { nowMs: clock.nowMs });
      const server = createServer(secureServerOptions(key, 'if-offered'));
      cleanups.push(() => closeServer(server));
      await expect(clientFor(await enrolled(), await listen(server)).renew('x')).rejects.toThrow();
    }
  });

  it('refuses TLS 1.2', async () => {
    const { port } = new URL(engine.url);
    const error = await new Promise<Error | undefined>((resolve) => {
      const socket = connect({
        host: '127.0.0.1',
        port: Number(port),
        maxVersion: 'TLSv1.2',
        rejectUnauthorized: false,
      });
      socket.once('error', resolve);
      socket.once('secureConnect', () => resolve(undefined));
    });
    expect(error?.message).toMatch(/protocol version|alert/i);
  });
});

describe('the certificate authority', () => {
  it('is the same after it was loaded again', async () => {
    const loaded = await loadCertificateAuthority(join(folder, 'authority'));
    expect(loaded?.pinSha256).toBe(engine.authority.pinSha256);
    const identity = await agentIssued(loaded ?? engine.authority, clock.nowMs);
    const { certificateRequest } = await createKeyAndRequest();
    expect(await clientFor(identity).renew(certificateRequest)).toMatchObject({ kind: 'issued' });
  });

  it('is never overwritten', async () => {
    await expect(createCertificateAuthority(join(folder, 'authority'), clock.nowMs)).rejects.toThrow('EEXIST');
  });

  it('is not made up when half of it is missing', async () => {
    await rm(join(folder, 'authority', 'certificate-authority.key'));
    await expect(loadCertificateAuthority(join(folder, 'authority'))).rejects.toThrow('missing');
    expect(await loadCertificateAuthority(join(folder, 'nowhere'))).toBeUndefined();
  });

  it('issues nothing that lives longer than seven days', async () => {
    const identity = { kind: 'person', name: 'ana' } as const;
    const tooLong = engine.authority.issueKeyPair(identity, { nowMs: clock.nowMs, lifeMs: 8 * dayMs });
    await expect(tooLong).rejects.toThrow('at most 7 days');
  });
});

async function agentIssued(authority: EnrolmentEngine['authority'], nowMs: number): Promise<AgentIdentity> {
  const { privateKey, certificateRequest } = await createKeyAndRequest();
  const agentId = 'agt_0123456789' as AgentIdentity['agentId'];
  const outcome = await authority.issueForRequest(certificateRequest, { kind: 'agent', agentId }, { nowMs });
  if (outcome.kind === 'refused') throw new Error(outcome.message);
  return identityFrom(engine.url, privateKey, { agentId, ...outcome.issued });
}

/** A caller that trusts the engine and shows nothing of its own. */
async function postWithout(identity: AgentIdentity): Promise<unknown> {
  const { certificateAuthority } = identity;
  const { request } = await import('node:https');
  return new Promise((resolve, reject) => {
    const call = request(`${engine.url}${routes.renew}`, { method: 'POST', ca: certificateAuthority }, (response) => {
      response.setEncoding('utf8').on('data', (text: string) => resolve(JSON.parse(text)));
    });
    call.on('error', reject).end(JSON.stringify({ certificateRequest: 'x' }));
  });
}

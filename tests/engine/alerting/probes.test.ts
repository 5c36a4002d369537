import { mkdtemp, rm } from 'node:fs/promises';
import { createServer as createSecureServer } from 'node:https';
import type { AddressInfo } from 'node:net';
import os from 'node:os';
import path from 'node:path';
import { describe, expect, test } from 'vitest';
import { createProbes } from '../../../engine/alerting/probes.ts';
import { createCertificateAuthority } from '../../../engine/certificate-authority.ts';
import { secureServerOptions } from '../../../engine/tls.ts';

describe('probes', () => {
  test('find what only trying can tell, and never fail themselves', async () => {
    const folder = await mkdtemp(path.join(os.tmpdir(), 'lifeboat-probes-'));
    const tried = createProbes({
      vault: { description: '/vault', read: () => Promise.reject(new Error('EIO')) },
      processServers: ['https://127.0.0.1:1'],
      clientKey: async () => ({ privateKey: '', certificate: '', certificateAuthority: '' }),
      folders: [
        { name: 'here', path: folder },
        { name: 'nowhere', path: path.join(folder, 'nowhere') },
      ],
      certificates: [{ name: 'none', path: path.join(folder, 'none'), isRenewedByItself: false }],
    });
    expect(tried.credentials()).toBeUndefined();
    expect(tried.found()).toEqual({ vault: undefined, processServers: undefined, disks: undefined });
    await tried.round();
    expect(tried.found()).toMatchObject({
      vault: { failure: expect.stringContaining('EIO') },
      processServers: [{ url: 'https://127.0.0.1:1', failure: expect.any(String) }],
      disks: [{ name: 'here', usedPercent: expect.any(Number) }],
    });
    await rm(folder, { recursive: true });
  });
});

test('a process server that answers is seen to answer, with a certificate that is made for the question', async () => {
  const folder = await mkdtemp(path.join(os.tmpdir(), 'lifeboat-probes-'));
  const authority = await createCertificateAuthority(folder, Date.now());
  const issue = (kind: 'engine' | 'process-server') =>
    authority.issueKeyPair({ kind, name: kind }, { nowMs: Date.now(), lifeMs: 600_000 });
  const server = createSecureServer(
    secureServerOptions(await issue('process-server'), 'required'),
    (_request, response) => response.end('{"status":"ok"}'),
  );
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const url = `https://127.0.0.1:${(server.address() as AddressInfo).port}`;
  const tried = createProbes({
    vault: { description: '/vault', read: async () => undefined },
    processServers: [url],
    clientKey: () => issue('engine'),
    folders: [],
    certificates: [
      { name: 'The authority', path: path.join(folder, 'certificate-authority.crt'), isRenewedByItself: false },
    ],
  });
  await tried.round();
  expect(tried.found().processServers).toEqual([{ url, failure: undefined }]);
  const served = {
    name: `The certificate of the process server ${url}`,
    isRenewedByItself: true,
    expiresAtMs: expect.toSatisfy((atMs: number) => atMs > Date.now() && atMs <= Date.now() + 600_000),
    nextStep: expect.stringContaining('copy `process-server/`'),
  };
  expect(tried.credentials()).toMatchObject([{ name: 'The authority', isRenewedByItself: false }, served]);
  await new Promise((resolve) => server.close(resolve));
  // That it does not answer now renews nothing.
  await tried.round();
  expect(tried.found().processServers).toMatchObject([{ failure: expect.any(String) }]);
  expect(tried.credentials()).toHaveLength(2);
  await rm(folder, { recursive: true });
});

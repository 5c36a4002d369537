import 'reflect-metadata';
import { webcrypto, X509Certificate } from 'node:crypto';
import { mkdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { checkServerIdentity, type PeerCertificate } from 'node:tls';
import * as x509 from '@peculiar/x509';
import { z } from 'zod';
import { type AgentId, isId } from '../domain/ids.ts';
import { OutageError } from '../domain/outage.ts';
import { type CertificateAnswer, certificateAnswer } from '../protocol/agent-api.ts';
import { replaceDurably } from '../protocol/durable-file.ts';
import { identityOf } from '../protocol/identity.ts';

/** Who this agent is: all that it needs for mutual TLS. Times are epoch milliseconds, from the certificate. */
export type AgentIdentity = {
  readonly agentId: AgentId;
  readonly engineUrl: string;
  /** PEM, PKCS#8. Made on this host and never sent anywhere. */
  readonly privateKey: string;
  /** PEM chain, leaf first. */
  readonly certificate: string;
  readonly certificateAuthority: string;
  readonly notBeforeMs: number;
  readonly expiresAtMs: number;
};

/** One file, so that key and certificate are always of the same pair, whatever is killed when. */
const identityFile = 'identity.json';
const storedIdentity = z.object({
  format: z.literal('lifeboat-agent-identity/1'),
  engineUrl: z.url(),
  privateKey: z.string().min(1),
  ...certificateAnswer.shape,
});

/** A key made on this host, and the request that proves possession of it. */
export type KeyAndRequest = { readonly privateKey: string; readonly certificateRequest: string };

/** Makes a new EC P-256 key and a PKCS#10 request; the request's name is ignored by the engine. */
export async function createKeyAndRequest(): Promise<KeyAndRequest> {
  const algorithm = { name: 'ECDSA', namedCurve: 'P-256' };
  const keys = await webcrypto.subtle.generateKey(algorithm, true, ['sign', 'verify']);
  const request = await x509.Pkcs10CertificateRequestGenerator.create({
    name: [{ CN: ['lifeboat agent'] }],
    keys,
    signingAlgorithm: { name: 'ECDSA', hash: 'SHA-256' },
  });
  const privateKey = x509.PemConverter.encode(
    await webcrypto.subtle.exportKey('pkcs8', keys.privateKey),
    'PRIVATE KEY',
  );
  return { privateKey, certificateRequest: request.toString('pem') };
}

/** Puts an answer of the engine and the key that it was given for together. Throws OutageError when they do not belong together. */
export function identityFrom(engineUrl: string, privateKey: string, answer: CertificateAnswer): AgentIdentity {
  const leaf = new X509Certificate(answer.certificate);
  const authority = new X509Certificate(answer.certificateAuthority);
  const named = identityOf({ subjectaltname: leaf.subjectAltName });
  const ours = named?.kind === 'agent' && named.agentId === answer.agentId && isId('agent', answer.agentId);
  if (!ours || !leaf.checkIssued(authority) || !leaf.verify(authority.publicKey)) {
    throw new OutageError(`read the certificate of ${answer.agentId}: it is not what its authority issues`, {
      retryable: false,
      nextStep: 'Enrol this host again with a new token.',
    });
  }
  return {
    agentId: answer.agentId,
    certificate: answer.certificate,
    certificateAuthority: answer.certificateAuthority,
    engineUrl,
    privateKey,
    notBeforeMs: leaf.validFromDate.getTime(),
    expiresAtMs: leaf.validToDate.getTime(),
  };
}

/** Stores the identity durably and at once: readers see the old one or the new one. The file is for its owner only. */
export async function saveIdentity(folder: string, identity: AgentIdentity): Promise<void> {
  const { engineUrl, privateKey, agentId, certificate, certificateAuthority } = identity;
  const stored = { engineUrl, privateKey, agentId, certificate, certificateAuthority };
  await mkdir(folder, { recursive: true, mode: 0o700 });
  await replaceDurably(join(folder, identityFile), JSON.stringify({ format: 'lifeboat-agent-identity/1', ...stored }));
}

/** The identity of this host, or undefined when it was never enrolled. An unreadable one is an outage. */
export async function loadIdentity(folder: string): Promise<AgentIdentity | undefined> {
  const path = join(folder, identityFile);
  const text = await readFile(path, 'utf8').catch((cause: unknown) => {
    if (cause instanceof Error && 'code' in cause && cause.code === 'ENOENT') return undefined;
    throw new OutageError(`read ${path}`, { cause, retryable: false });
  });
  if (text === undefined) return undefined;
  try {
    const { engineUrl, privateKey, ...answer } = storedIdentity.parse(JSON.parse(text));
    return identityFrom(engineUrl, privateKey, answer);
  } catch (cause) {
    throw new OutageError(`read the identity in ${path}`, {
      cause,
      retryable: false,
      nextStep: 'Remove the file and enrol this host again with a new token.',
    });
  }
}

export type SecureClientOptions = {
  readonly ca: string[];
  readonly key?: string;
  readonly cert?: string;
  readonly minVersion: 'TLSv1.3';
  readonly rejectUnauthorized: true;
  readonly checkServerIdentity: (host: string, peer: PeerCertificate) => Error | undefined;
};

/**
 * TLS options towards one of our servers: our certificate, only our authority, TLS 1.3, and the server must be what we think it is
 * (an agent's or a person's certificate, stolen, cannot pose as an engine).
 */
export function secureClientOptions(
  identity: Pick<AgentIdentity, 'certificateAuthority'> & Partial<Pick<AgentIdentity, 'privateKey' | 'certificate'>>,
  server: 'engine' | 'process-server',
): SecureClientOptions {
  const { privateKey, certificate } = identity;
  return {
    ca: [identity.certificateAuthority],
    ...(privateKey !== undefined && certificate !== undefined ? { key: privateKey, cert: certificate } : {}),
    minVersion: 'TLSv1.3',
    rejectUnauthorized: true,
    checkServerIdentity(host, peer) {
      const wrongHost = checkServerIdentity(host, peer);
      if (wrongHost !== undefined) return wrongHost;
      const kind = identityOf(peer)?.kind;
      return kind === server
        ? undefined
        : new Error(`${host} is not a Lifeboat ${server}: its certificate says ${kind}`);
    },
  };
}

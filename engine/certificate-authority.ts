import 'reflect-metadata';
import { randomBytes, webcrypto } from 'node:crypto';
import { mkdir, readFile } from 'node:fs/promises';
import { isIP } from 'node:net';
import { join } from 'node:path';
import * as x509 from '@peculiar/x509';
import { invariant } from '../domain/invariant.ts';
import { OutageError } from '../domain/outage.ts';
import { dayMs, minuteMs } from '../domain/units.ts';
import { createDurably } from '../protocol/durable-file.ts';
import { certificateFingerprint, type Identity, identityUri } from '../protocol/identity.ts';

/** No certificate of ours but the authority's own lives longer. Source: RELIABILITY 2 */
export const certificateLifeMsMax = 7 * dayMs;
const authorityLifeMs = 3650 * dayMs;
/** Certificates are valid from a little before now, for hosts whose clock is behind. */
const clockSkewMs = 5 * minuteMs;
const keyAlgorithm = { name: 'ECDSA', namedCurve: 'P-256' };
const signingAlgorithm = { name: 'ECDSA', hash: 'SHA-256' };
const keyFile = 'certificate-authority.key';
const certificateFile = 'certificate-authority.crt';

export type IssuedCertificate = {
  /** PEM, leaf first, then the authority: what a TLS server presents. */
  readonly certificate: string;
  readonly certificateAuthority: string;
  readonly fingerprint: string;
  readonly expiresAtMs: number;
};
export type IssuedKeyPair = IssuedCertificate & {
  /** PEM, PKCS#8. */
  readonly privateKey: string;
};
export type IssueOptions = {
  readonly nowMs: number;
  /** At most `certificateLifeMsMax`, which is the default. */
  readonly lifeMs?: number;
  /** DNS names and IP addresses of a server, besides localhost and 127.0.0.1; ignored for clients. */
  readonly hostNames?: readonly string[];
};
export type RequestOutcome =
  | { readonly kind: 'issued'; readonly issued: IssuedCertificate }
  | { readonly kind: 'refused'; readonly message: string };

/** The installation's own authority: everyone who speaks to the engine has a certificate from it, and nobody else is trusted. */
export type CertificateAuthority = {
  /** PEM. */
  readonly certificate: string;
  /** SHA-256 (hex) of the authority's certificate: what enrolment tokens pin. */
  readonly pinSha256: string;
  /** Makes key and certificate; for people, bots and our own servers, which keep their key beside the authority. */
  issueKeyPair(identity: Identity, options: IssueOptions): Promise<IssuedKeyPair>;
  /** Certifies a key that was made elsewhere. Only the key is taken from the request: the names that it asks for are ignored. */
  issueForRequest(requestPem: string, identity: Identity, options: IssueOptions): Promise<RequestOutcome>;
};

/** Makes a new authority in the folder; the key is written first, durably, readable by its owner only. */
export async function createCertificateAuthority(folder: string, nowMs: number): Promise<CertificateAuthority> {
  const keys = await webcrypto.subtle.generateKey(keyAlgorithm, true, ['sign', 'verify']);
  const certificate = await x509.X509CertificateGenerator.createSelfSigned({
    serialNumber: serialNumber(),
    name: [{ CN: ['Lifeboat certificate authority'] }, { OU: [randomBytes(6).toString('hex')] }],
    notBefore: new Date(nowMs - clockSkewMs),
    notAfter: new Date(nowMs + authorityLifeMs),
    keys,
    signingAlgorithm,
    extensions: [
      new x509.BasicConstraintsExtension(true, 0, true),
      new x509.KeyUsagesExtension(x509.KeyUsageFlags.keyCertSign | x509.KeyUsageFlags.cRLSign, true),
      await x509.SubjectKeyIdentifierExtension.create(keys.publicKey),
    ],
  });
  await mkdir(folder, { recursive: true, mode: 0o700 });
  // Created, never replaced: every host trusts the authority that is there already.
  await createDurably(join(folder, keyFile), await privateKeyPem(keys.privateKey), 0o600);
  await createDurably(join(folder, certificateFile), certificate.toString('pem'), 0o644);
  return authorityOf(certificate, keys.privateKey);
}

/** The authority of the folder, or undefined when none was made there. A half of one is an outage, never replaced silently. */
export async function loadCertificateAuthority(folder: string): Promise<CertificateAuthority | undefined> {
  const [key, certificate] = await Promise.all([
    readIfThere(join(folder, keyFile)),
    readIfThere(join(folder, certificateFile)),
  ]);
  if (key === undefined && certificate === undefined) return undefined;
  if (key === undefined || certificate === undefined) {
    throw new OutageError(`load the certificate authority from ${folder}: its key or certificate is missing`, {
      retryable: false,
      nextStep: 'Put both files back from a backup, or remove both and enrol every host again.',
    });
  }
  const signingKey = await webcrypto.subtle.importKey('pkcs8', derOf(key), keyAlgorithm, false, ['sign']);
  return authorityOf(new x509.X509Certificate(certificate), signingKey);
}

function authorityOf(authority: x509.X509Certificate, signingKey: webcrypto.CryptoKey): CertificateAuthority {
  const certificate = authority.toString('pem');
  const issue = (publicKey: x509.PublicKeyType, identity: Identity, options: IssueOptions) =>
    issueLeaf({ authority, signingKey, publicKey, identity, options });
  return {
    certificate,
    pinSha256: certificateFingerprint(certificate),
    async issueKeyPair(identity, options) {
      const keys = await webcrypto.subtle.generateKey(keyAlgorithm, true, ['sign', 'verify']);
      const issued = await issue(keys.publicKey, identity, options);
      return { ...issued, privateKey: await privateKeyPem(keys.privateKey) };
    },
    async issueForRequest(requestPem, identity, options) {
      const publicKey = await provenKey(requestPem);
      if (publicKey === undefined) {
        return {
          kind: 'refused',
          message: 'The certificate request is not a PKCS#10 request signed by its own EC P-256 key.',
        };
      }
      return { kind: 'issued', issued: await issue(publicKey, identity, options) };
    },
  };
}

async function issueLeaf(leaf: {
  authority: x509.X509Certificate;
  signingKey: webcrypto.CryptoKey;
  publicKey: x509.PublicKeyType;
  identity: Identity;
  options: IssueOptions;
}): Promise<IssuedCertificate> {
  const { identity, options, authority } = leaf;
  const lifeMs = options.lifeMs ?? certificateLifeMsMax;
  invariant(lifeMs > 0 && lifeMs <= certificateLifeMsMax, `a certificate lives at most 7 days, not ${lifeMs} ms`);
  const expiresAt = new Date(Math.floor((options.nowMs + lifeMs) / 1000) * 1000);
  const certificate = await x509.X509CertificateGenerator.create({
    serialNumber: serialNumber(),
    subject: [{ CN: [identityUri(identity).slice('lifeboat://'.length)] }],
    issuer: authority.subjectName,
    notBefore: new Date(options.nowMs - clockSkewMs),
    notAfter: expiresAt,
    publicKey: leaf.publicKey,
    signingKey: leaf.signingKey,
    signingAlgorithm,
    extensions: [
      new x509.BasicConstraintsExtension(false, undefined, true),
      new x509.KeyUsagesExtension(x509.KeyUsageFlags.digitalSignature, true),
      new x509.ExtendedKeyUsageExtension(purposesOf(identity), true),
      new x509.SubjectAlternativeNameExtension(alternativeNames(identity, options.hostNames ?? [])),
      await x509.SubjectKeyIdentifierExtension.create(leaf.publicKey),
      await x509.AuthorityKeyIdentifierExtension.create(authority.publicKey),
    ],
  });
  const pem = certificate.toString('pem');
  return {
    certificate: `${pem}\n${authority.toString('pem')}\n`,
    certificateAuthority: authority.toString('pem'),
    fingerprint: certificateFingerprint(pem),
    expiresAtMs: expiresAt.getTime(),
  };
}

function isServer(identity: Identity): boolean {
  return identity.kind === 'engine' || identity.kind === 'process-server';
}

/** Clients cannot pose as servers: a stolen agent key must not become a false engine. */
function purposesOf(identity: Identity): x509.ExtendedKeyUsage[] {
  const client = x509.ExtendedKeyUsage.clientAuth;
  return isServer(identity) ? [x509.ExtendedKeyUsage.serverAuth, client] : [client];
}

function alternativeNames(identity: Identity, hostNames: readonly string[]): x509.JsonGeneralNames {
  const uri = { type: 'url' as const, value: identityUri(identity) };
  if (!isServer(identity)) return [uri];
  const hosts = [...new Set(['localhost', '127.0.0.1', ...hostNames])];
  return [uri, ...hosts.map((value) => ({ type: isIP(value) === 0 ? ('dns' as const) : ('ip' as const), value }))];
}

/** The request's public key, when the request is signed by the matching private key and the curve is ours. */
async function provenKey(requestPem: string): Promise<x509.PublicKey | undefined> {
  const request = parseRequest(requestPem);
  if (request === undefined) return undefined;
  const algorithm: { name: string; namedCurve?: string } = request.publicKey.algorithm;
  if (algorithm.name !== keyAlgorithm.name || algorithm.namedCurve !== keyAlgorithm.namedCurve) return undefined;
  return (await request.verify()) ? request.publicKey : undefined;
}

function parseRequest(requestPem: string): x509.Pkcs10CertificateRequest | undefined {
  try {
    return new x509.Pkcs10CertificateRequest(requestPem);
  } catch {
    // The decoder throws on everything that is not PKCS#10; the caller answers with a refusal.
    return undefined;
  }
}

/** 127 random bits, positive as DER demands. */
function serialNumber(): string {
  const bytes = randomBytes(16);
  bytes.writeUInt8((bytes.readUInt8(0) & 0x3f) | 0x40, 0);
  return bytes.toString('hex');
}

async function privateKeyPem(key: webcrypto.CryptoKey): Promise<string> {
  return x509.PemConverter.encode(await webcrypto.subtle.exportKey('pkcs8', key), 'PRIVATE KEY');
}

function derOf(pem: string): ArrayBuffer {
  const [der] = x509.PemConverter.decode(pem);
  invariant(der !== undefined, 'a PEM file has at least one block');
  return der;
}

async function readIfThere(path: string): Promise<string | undefined> {
  try {
    return await readFile(path, 'utf8');
  } catch (cause) {
    if (cause instanceof Error && 'code' in cause && cause.code === 'ENOENT') return undefined;
    throw new OutageError(`read ${path}`, { cause, retryable: false });
  }
}

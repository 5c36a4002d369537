import 'reflect-metadata';
import { createPrivateKey, randomBytes, webcrypto, X509Certificate } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { isIP } from 'node:net';
import { join } from 'node:path';
import * as x509 from '@peculiar/x509';
import { describeCauses } from '../../domain/outage.ts';
import { dayMs, minuteMs } from '../../domain/units.ts';
import { replaceDurably } from '../../protocol/durable-file.ts';
import type { ServerKey } from './server-key.ts';

/** Browsers take no certificate of a server that lives longer than 398 days. */
const certificateLifeMs = 397 * dayMs;
const renewalLeadMs = 30 * dayMs;
/** Valid from a little before now, for browsers whose clock is behind. */
const clockSkewMs = 5 * minuteMs;
const keyAlgorithm = { name: 'ECDSA', namedCurve: 'P-256' };
const signingAlgorithm = { name: 'ECDSA', hash: 'SHA-256' };

type Wanted = {
  readonly stateFolder: string;
  /** DNS names and IP addresses by which browsers reach the console, besides those of the loopback. */
  readonly hostNames: readonly string[];
  readonly nowMs: number;
  readonly log: { readonly info: (message: string) => void };
};

/**
 * The console's own certificate, for installations that bring none: kept in `<stateFolder>/console.{crt,key}`, so that a browser that trusts
 * it once knows it again. Made anew when it is not there, does not fit its key, lacks a name, or ends in less than 30 days.
 */
export async function ownServerKey(wanted: Wanted): Promise<ServerKey> {
  const names = alternativeNames(wanted.hostNames);
  const kept = await keptKey(wanted, names);
  if (kept !== undefined) return kept;
  const made = await makeKey(names, wanted.nowMs);
  // The key first: a certificate without its key is made anew at the next start.
  await replaceDurably(keyFile(wanted.stateFolder), made.privateKey, 0o600);
  await replaceDurably(certificateFile(wanted.stateFolder), made.certificate, 0o644);
  return made;
}

function certificateFile(stateFolder: string): string {
  return join(stateFolder, 'console.crt');
}

function keyFile(stateFolder: string): string {
  return join(stateFolder, 'console.key');
}

async function keptKey(wanted: Wanted, names: readonly string[]): Promise<ServerKey | undefined> {
  const { stateFolder, nowMs, log } = wanted;
  try {
    const certificate = await readFile(certificateFile(stateFolder), 'utf8');
    const privateKey = await readFile(keyFile(stateFolder), 'utf8');
    const problem = problemOf({ certificate, privateKey }, names, nowMs);
    if (problem === undefined) return { certificate, privateKey };
    log.info(`the console's certificate is made anew: ${problem}`);
  } catch (error) {
    log.info(`the console's certificate is made anew: ${describeCauses(error).slice(0, 200)}`);
  }
  return undefined;
}

function problemOf(kept: ServerKey, names: readonly string[], nowMs: number): string | undefined {
  const parsed = new X509Certificate(kept.certificate);
  if (Date.parse(parsed.validTo) - nowMs < renewalLeadMs) return `it ends ${parsed.validTo}`;
  if (Date.parse(parsed.validFrom) > nowMs) return `it begins ${parsed.validFrom}`;
  const missing = names.filter(
    (name) => (isIP(name) === 0 ? parsed.checkHost(name) : parsed.checkIP(name)) === undefined,
  );
  if (missing.length > 0) return `${missing.join(', ')} is not in it`;
  return parsed.checkPrivateKey(createPrivateKey(kept.privateKey)) ? undefined : 'its key is another one';
}

function alternativeNames(hostNames: readonly string[]): readonly string[] {
  return [...new Set(['localhost', '127.0.0.1', '::1', ...hostNames.map((name) => name.toLowerCase())])];
}

async function makeKey(names: readonly string[], nowMs: number): Promise<ServerKey> {
  const keys = await webcrypto.subtle.generateKey(keyAlgorithm, true, ['sign', 'verify']);
  const serial = randomBytes(16);
  // Positive and not zero, as DER demands.
  serial.writeUInt8((serial.readUInt8(0) & 0x3f) | 0x40, 0);
  const certificate = await x509.X509CertificateGenerator.createSelfSigned({
    serialNumber: serial.toString('hex'),
    name: [{ CN: ['Lifeboat console'] }, { OU: [serial.subarray(0, 6).toString('hex')] }],
    notBefore: new Date(nowMs - clockSkewMs),
    notAfter: new Date(nowMs + certificateLifeMs),
    keys,
    signingAlgorithm,
    extensions: [
      new x509.BasicConstraintsExtension(false, undefined, true),
      new x509.KeyUsagesExtension(x509.KeyUsageFlags.digitalSignature, true),
      new x509.ExtendedKeyUsageExtension([x509.ExtendedKeyUsage.serverAuth], true),
      new x509.SubjectAlternativeNameExtension(
        names.map((value) => ({ type: isIP(value) === 0 ? ('dns' as const) : ('ip' as const), value })),
      ),
      await x509.SubjectKeyIdentifierExtension.create(keys.publicKey),
    ],
  });
  const pkcs8 = Buffer.from(await webcrypto.subtle.exportKey('pkcs8', keys.privateKey)).toString('base64');
  const lines = pkcs8.match(/.{1,64}/g) ?? [];
  return {
    certificate: `${certificate.toString('pem')}\n`,
    privateKey: `-----BEGIN PRIVATE KEY-----\n${lines.join('\n')}\n-----END PRIVATE KEY-----\n`,
  };
}

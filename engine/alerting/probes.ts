import { X509Certificate } from 'node:crypto';
import { readFile, statfs } from 'node:fs/promises';
import { request } from 'node:https';
import { setTimeout as delay } from 'node:timers/promises';
import { TLSSocket } from 'node:tls';
import type { CredentialFacts, ProbeFacts } from '../../domain/alert-facts.ts';
import { invariant } from '../../domain/invariant.ts';
import { describeCauses, OutageError } from '../../domain/outage.ts';
import { changeStreamRoutes } from '../../protocol/change-stream.ts';
import type { IssuedKeyPair } from '../certificate-authority.ts';
import { tlsVersionMin } from '../tls.ts';

export type ProbeTargets = {
  /** Something cheap that really reads the vault's storage. */
  readonly vault: { readonly description: string; readonly read: () => Promise<unknown> };
  readonly processServers: readonly string[];
  /** The certificate that the engine calls process servers with; a fresh one each time, since they live for days only. */
  readonly clientKey: () => Promise<Pick<IssuedKeyPair, 'privateKey' | 'certificate' | 'certificateAuthority'>>;
  /** Folders whose file systems must not fill up. */
  readonly folders: readonly { readonly name: string; readonly path: string }[];
  /** Certificates in files, PEM. */
  readonly certificates: readonly (Pick<CredentialFacts, 'name' | 'isRenewedByItself'> & { readonly path: string })[];
};

export type Probes = {
  /** What the last round found; parts are undefined before the first one. */
  readonly found: () => ProbeFacts;
  /** Undefined before the first round. */
  readonly credentials: () => readonly CredentialFacts[] | undefined;
  /** Tries everything once now. */
  round(): Promise<void>;
};

const probeLimitMs = 10_000;

/** Tries what only trying can tell: the vault, the process servers, the room on the disks. Nothing of it throws: a failure is a finding. */
export function createProbes(targets: ProbeTargets): Probes {
  let found: ProbeFacts = { vault: undefined, processServers: undefined, disks: undefined };
  let credentials: readonly CredentialFacts[] | undefined;
  /** As it was shown last: one that does not answer now has not been renewed by that. */
  const shown = new Map<string, CredentialFacts>();
  return {
    found: () => found,
    credentials: () => credentials,
    async round() {
      const [vault, processServers, disks] = await Promise.all([
        failureOf(targets.vault.read),
        Promise.all(
          targets.processServers.map(async (url) => ({ url, failure: await askProcessServer(targets, url, shown) })),
        ),
        Promise.all(targets.folders.map(usage)),
      ]);
      const inFiles = await Promise.all(targets.certificates.map(expiry));
      credentials = [...inFiles.flat(), ...shown.values()];
      found = {
        vault: { description: targets.vault.description, failure: vault },
        processServers,
        disks: disks.flat(),
      };
    },
  };
}

/** Why it failed, in words; undefined when it did not. What does not end within ten seconds has failed. */
async function failureOf(work: () => Promise<unknown>): Promise<string | undefined> {
  const limit = new AbortController();
  const tooLong = delay(probeLimitMs, `no answer within ${probeLimitMs / 1000} s`, { signal: limit.signal });
  // Aborted when the work was faster.
  tooLong.catch(() => undefined);
  try {
    const outcome = await Promise.race([work().then(() => undefined), tooLong]);
    return outcome;
  } catch (error) {
    return describeCauses(error).slice(0, 300);
  } finally {
    limit.abort();
  }
}

async function askProcessServer(
  targets: ProbeTargets,
  url: string,
  shown: Map<string, CredentialFacts>,
): Promise<string | undefined> {
  return failureOf(async () => {
    const key = await targets.clientKey();
    const { status, certificateExpiresAtMs } = await healthOf(url, key);
    shown.set(url, processServerCertificate(url, certificateExpiresAtMs));
    if (status !== 200) throw new OutageError(`it answered with HTTP ${status}`, { retryable: true });
  });
}

/** What it shows to agents, on whichever host it is. */
function processServerCertificate(url: string, expiresAtMs: number): CredentialFacts {
  return {
    name: `The certificate of the process server ${url}`,
    expiresAtMs,
    isRenewedByItself: true,
    nextStep:
      'On the host of the engine: see what the log of the engine says of renewal. On another host: copy `process-server/` of the ' +
      'state folder of the engine there, and again at least every three days.',
  };
}

type Health = { readonly status: number; readonly certificateExpiresAtMs: number };

function healthOf(url: string, key: Awaited<ReturnType<ProbeTargets['clientKey']>>): Promise<Health> {
  const { promise, resolve, reject } = Promise.withResolvers<Health>();
  const call = request(
    new URL(changeStreamRoutes.health, url),
    {
      key: key.privateKey,
      cert: key.certificate,
      ca: [key.certificateAuthority],
      minVersion: tlsVersionMin,
      agent: false,
      timeout: probeLimitMs,
    },
    (response) => {
      const { socket } = response;
      invariant(socket instanceof TLSSocket, 'a process server answers over TLS only');
      // Before the answer is read: then its socket is gone.
      const certificateExpiresAtMs = Date.parse(socket.getPeerCertificate().valid_to);
      response.resume();
      resolve({ status: response.statusCode ?? 0, certificateExpiresAtMs });
    },
  );
  call.once('timeout', () => call.destroy(new Error(`no answer within ${probeLimitMs / 1000} s`)));
  call.once('error', reject);
  call.end();
  return promise;
}

async function usage(folder: ProbeTargets['folders'][number]): Promise<{ name: string; usedPercent: number }[]> {
  try {
    const { blocks, bfree, bavail } = await statfs(folder.path);
    const used = blocks - bfree;
    // As df counts: what is kept back for root is not room.
    return used + bavail === 0 ? [] : [{ name: folder.name, usedPercent: (100 * used) / (used + bavail) }];
  } catch {
    // A folder that cannot be asked is found by the probe of what uses it.
    return [];
  }
}

async function expiry({ path, ...about }: ProbeTargets['certificates'][number]): Promise<CredentialFacts[]> {
  try {
    const { validTo } = new X509Certificate(await readFile(path));
    return [{ ...about, expiresAtMs: Date.parse(validTo) }];
  } catch {
    // A certificate that is not there is not used; whoever needs it says so.
    return [];
  }
}

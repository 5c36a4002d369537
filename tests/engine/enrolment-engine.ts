import { once } from 'node:events';
import { createServer, type Server } from 'node:https';
import { TLSSocket } from 'node:tls';
import { invariant } from '../../domain/invariant.ts';
import { type CertificateAuthority, createCertificateAuthority } from '../../engine/certificate-authority.ts';
import {
  type EnrolmentDeps,
  type EnrolmentOutcome,
  enrolAgent,
  renewAgent,
  type TokenOutcome,
} from '../../engine/enrolment.ts';
import { callerOf, secureServerOptions } from '../../engine/tls.ts';
import { enrolRequest, renewRequest } from '../../protocol/agent-api.ts';
import { routes } from '../../protocol/control-api.ts';

/** The smallest engine that enrols: the real authority, the real TLS options, the real decisions; tokens in memory. */
export type EnrolmentEngine = {
  readonly url: string;
  readonly authority: CertificateAuthority;
  readonly deps: EnrolmentDeps;
  readonly tokens: Map<string, StoredToken>;
  /** Fingerprints of all certificates that left the engine. */
  readonly issued: string[];
  close(): Promise<void>;
};
type StoredToken = { hostName: string; expiresAtMs: number; used: boolean };

export async function startEnrolmentEngine(folder: string, clock: { nowMs: number }): Promise<EnrolmentEngine> {
  const authority = await createCertificateAuthority(folder, clock.nowMs);
  const key = await authority.issueKeyPair({ kind: 'engine', name: 'engine' }, { nowMs: clock.nowMs });
  const tokens = new Map<string, StoredToken>();
  const issued: string[] = [];
  const server = createServer(secureServerOptions(key, 'if-offered'));
  const url = await listen(server);
  const deps: EnrolmentDeps = {
    certificateAuthority: authority,
    engineUrl: url,
    nowMs: () => clock.nowMs,
    insertToken: async (token) => {
      tokens.set(token.tokenHash, {
        hostName: token.hostName,
        expiresAtMs: clock.nowMs + token.lifeMs,
        used: false,
      });
    },
    consumeToken: async (use) => {
      const outcome = consume(tokens.get(use.tokenHash), use.hostName, clock.nowMs);
      if (outcome.kind === 'consumed') issued.push(use.certificateFingerprint);
      return outcome;
    },
    recordRenewal: async (renewal) => {
      issued.push(renewal.certificateFingerprint);
      return { kind: 'recorded' };
    },
  };
  server.on('request', async (request, response) => {
    const chunks: Buffer[] = [];
    for await (const chunk of request) chunks.push(chunk);
    const body: unknown = JSON.parse(Buffer.concat(chunks).toString('utf8'));
    invariant(request.socket instanceof TLSSocket, 'an HTTPS server has TLS sockets');
    const caller = callerOf(request.socket, clock.nowMs);
    const outcome = await answer(deps, request.url, body, caller);
    const refused = outcome.kind === 'refused';
    response.writeHead(refused ? 403 : 200, { 'content-type': 'application/json' });
    response.end(JSON.stringify(refused ? { kind: 'refused', message: outcome.message } : outcome.answer));
  });
  return { url, authority, deps, tokens, issued, close: () => closeServer(server) };
}

async function answer(
  deps: EnrolmentDeps,
  url: string | undefined,
  body: unknown,
  caller: ReturnType<typeof callerOf>,
): Promise<EnrolmentOutcome | { kind: 'refused'; message: string }> {
  if (caller.kind === 'refused') return { kind: 'refused', message: caller.message };
  if (url === routes.enrol) return enrolAgent(deps, enrolRequest.parse(body));
  if (caller.kind === 'anonymous' || caller.identity.kind !== 'agent') {
    return { kind: 'refused', message: 'Only agents may do this.' };
  }
  const { certificateRequest } = renewRequest.parse(body);
  return renewAgent(deps, { agentId: caller.identity.agentId, certificateRequest });
}

function consume(token: StoredToken | undefined, hostName: string, nowMs: number): TokenOutcome {
  if (token === undefined) return { kind: 'unknown' };
  if (token.hostName !== hostName) return { kind: 'other-host', hostName: token.hostName };
  if (token.used) return { kind: 'used' };
  if (nowMs >= token.expiresAtMs) return { kind: 'expired' };
  token.used = true;
  return { kind: 'consumed' };
}

export async function listen(server: Server): Promise<string> {
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const address = server.address();
  invariant(typeof address === 'object' && address !== null, 'a listening TCP server has an address');
  return `https://127.0.0.1:${address.port}`;
}

export async function closeServer(server: Server): Promise<void> {
  server.closeAllConnections();
  server.close();
  if (server.listening) await once(server, 'close');
}

import { generateKeyPairSync, randomBytes, randomUUID } from 'node:crypto';
import { mkdir, mkdtemp, rm } from 'node:fs/promises';
import os from 'node:os';
import path from 'node:path';
import { Agent, request } from 'undici';
import type { z } from 'zod';
import type { AgentId } from '../../../domain/ids.ts';
import { invariant } from '../../../domain/invariant.ts';
import { OutageError } from '../../../domain/outage.ts';
import type { ApiDeps, Workflow } from '../../../engine/api/deps.ts';
import { createApi } from '../../../engine/api/server.ts';
import { createCertificateAuthority, type IssuedKeyPair } from '../../../engine/certificate-authority.ts';
import { createPointKeeper } from '../../../engine/recovery-points.ts';
import { consumeToken, insertToken, recordRenewal } from '../../../engine/store/enrolment.ts';
import { newId } from '../../../engine/store/new-id.ts';
import type { Store } from '../../../engine/store/open.ts';
import { addPerson, setGrants } from '../../../engine/store/people.ts';
import { openDirectoryStore } from '../../../engine/vault/directory-store.ts';
import { createVault, type OpenVault } from '../../../engine/vault/open-vault.ts';
import { createVaultKeys } from '../../../engine/vault/vault-keys.ts';
import { vaultAnchorFile } from '../../../engine/vault-anchor.ts';
import type { GuestReport, HeartbeatRequest, ReplicationReport } from '../../../protocol/agent-api.ts';
import { actorHeader, type chatActor } from '../../../protocol/chat-api.ts';
import type { Identity } from '../../../protocol/identity.ts';

export type Answer = { readonly status: number; readonly body: unknown; readonly bytes: Buffer };
export type Caller = {
  get(url: string): Promise<Answer>;
  post(url: string, body: unknown, key?: string): Promise<Answer>;
  call(method: string, url: string, body?: unknown): Promise<Answer>;
};

export type TestApi = {
  readonly url: string;
  readonly store: Store;
  readonly vault: OpenVault;
  readonly stateFolder: string;
  readonly deps: ApiDeps;
  readonly grantPublicKey: ReturnType<typeof generateKeyPairSync>['publicKey'];
  readonly routes: readonly { readonly method: string; readonly url: string }[];
  readonly errors: unknown[];
  anonymous(): Caller;
  as(identity: Identity, nowMs?: number, headers?: Record<string, string>): Promise<Caller>;
  /** Somebody in chat, for whom a bot speaks. */
  inChat(user: string, more?: Partial<z.input<typeof chatActor>>): Promise<Caller>;
  /** An agent with its certificate, as enrolment makes it. */
  enrol(hostName: string): Promise<{ readonly agentId: AgentId; readonly caller: Caller }>;
  stop(): Promise<void>;
};

const refusingWorkflow: Workflow = {
  planTestFailover: async () => ({ kind: 'refused', message: 'no workflow here' }),
  startTestFailover: async () => ({ kind: 'refused', message: 'no workflow here' }),
  startCleanup: async () => ({ kind: 'refused', message: 'no workflow here' }),
};

const refusingApprovals: ApiDeps['approvals'] = {
  target: {
    check: () => Promise.reject(new OutageError('no target here', { retryable: false })),
    describe: () => Promise.reject(new OutageError('no target here', { retryable: false })),
  },
  verifyStepUp: async () => 'no-authenticator',
  createApprovedRun: async () => ({ kind: 'refused', message: 'no runs here' }),
  startRun: async () => undefined,
};

/** A whole control API on a free port, with a real authority, vault and database. */
export async function startTestApi(store: Store, changes: Partial<ApiDeps> = {}): Promise<TestApi> {
  const stateFolder = await mkdtemp(path.join(os.tmpdir(), 'lifeboat-api-'));
  const authority = await createCertificateAuthority(path.join(stateFolder, 'ca'), Date.now());
  const keys = await createVaultKeys(path.join(stateFolder, 'keys'));
  const vaultFolder = path.join(stateFolder, 'vault');
  await mkdir(vaultFolder);
  const blobs = await openDirectoryStore(vaultFolder);
  const vault = await createVault({ store: blobs, keys, sealerThreads: 0 });
  await seedPersons(store);
  const errors: unknown[] = [];
  const points = createPointKeeper({
    store,
    vault,
    anchors: vaultAnchorFile(path.join(stateFolder, 'anchors.json')),
    onTrouble: (error) => errors.push(error),
  });
  const grantKeys = generateKeyPairSync('ed25519');
  const deps: ApiDeps = {
    store,
    points,
    workflow: refusingWorkflow,
    approvals: refusingApprovals,
    enrolment: {
      certificateAuthority: authority,
      engineUrl: 'https://127.0.0.1:1',
      nowMs: Date.now,
      insertToken: (token) => store.write((db) => insertToken(db, token)),
      consumeToken: (use) => store.write((db) => consumeToken(db, use)),
      recordRenewal: (renewal) => store.write((db) => recordRenewal(db, renewal)),
    },
    certificateAuthority: authority,
    authenticatorKey: randomBytes(32),
    auditAnchors: vault,
    serverKey: await authority.issueKeyPair({ kind: 'engine', name: 'engine' }, { nowMs: Date.now() }),
    grantKey: grantKeys.privateKey,
    processServers: ['https://127.0.0.1:9443'],
    heartbeatEveryMs: 5000,
    stateFolder,
    versions: { engine: '0.1.0', vault: vault.description, accelerator: 'tcg' },
    nowMs: Date.now,
    onError: (error) => errors.push(error),
    ...changes,
  };
  const api = createApi(deps);
  const { url } = await api.listen({ host: '127.0.0.1', port: 0 });
  const agents: Agent[] = [];
  const caller = (key?: IssuedKeyPair, headers: Record<string, string> = {}) => {
    const client = key === undefined ? {} : { key: key.privateKey, cert: key.certificate };
    const agent = new Agent({ connect: { ca: authority.certificate, ...client } });
    agents.push(agent);
    return callerOver(agent, url, headers);
  };
  const as = async (identity: Identity, nowMs = Date.now(), headers: Record<string, string> = {}) =>
    caller(await authority.issueKeyPair(identity, { nowMs }), headers);
  return {
    url,
    store,
    vault,
    stateFolder,
    deps,
    grantPublicKey: grantKeys.publicKey,
    routes: api.routes,
    errors,
    anonymous: () => caller(),
    as,
    async inChat(user, more = {}) {
      const actor = { surface: 'slack', tenant: 'T1', user, displayName: user, kind: 'member', ...more };
      const bot = await authority.issueKeyPair({ kind: 'bot', name: 'bot-1' }, { nowMs: Date.now() });
      return caller(bot, { [actorHeader]: encodeURIComponent(JSON.stringify(actor)) });
    },
    async enrol(hostName) {
      const agentId = newId('agent');
      const tokenHash = randomBytes(32).toString('hex');
      await store.write(async (db) => {
        await insertToken(db, { tokenHash, hostName, createdBy: 'ana', lifeMs: 60_000 });
        const certificate = { certificateFingerprint: tokenHash, certificateExpiresAtMs: Date.now() + 86_400_000 };
        const outcome = await consumeToken(db, { tokenHash, hostName, agentId, ...certificate });
        invariant(outcome.kind === 'consumed', 'a fresh token is good');
      });
      return { agentId, caller: await as({ kind: 'agent', agentId }) };
    },
    async stop() {
      await Promise.all(agents.map((agent) => agent.destroy()));
      await api.close();
      await points.close();
      await vault.close();
      await rm(stateFolder, { recursive: true, force: true });
    },
  };
}

const persons = { ana: 'operator', ben: 'operator', vera: 'viewer', nobody: undefined, ada: 'admin' } as const;

async function seedPersons(store: Store): Promise<void> {
  await store.write(async (db) => {
    for (const [name, role] of Object.entries(persons)) {
      await addPerson(db, name, 'the test');
      if (role !== undefined) await setGrants(db, name, [{ role, scope: { kind: 'everything' } }], 'the test');
    }
  });
}

function callerOver(agent: Agent, url: string, more: Record<string, string>): Caller {
  const call = async (method: string, route: string, body?: unknown, key?: string): Promise<Answer> => {
    const headers = {
      ...more,
      ...(body === undefined ? {} : { 'content-type': 'application/json' }),
      ...(key === undefined ? {} : { 'idempotency-key': key }),
    };
    const response = await request(new URL(route, url), {
      method: method as 'GET',
      dispatcher: agent,
      headers,
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    });
    const bytes = Buffer.from(await response.body.arrayBuffer());
    const isJson = `${response.headers['content-type']}`.startsWith('application/json');
    return { status: response.statusCode, body: isJson ? JSON.parse(bytes.toString('utf8')) : undefined, bytes };
  };
  return {
    get: (route) => call('GET', route),
    post: (route, body, key = randomUUID()) => call('POST', route, body, key),
    call: (method, route, body) => call(method, route, body, randomUUID()),
  };
}

export const guestReport = (name: string, more: Partial<GuestReport> = {}): GuestReport => ({
  name,
  kind: 'qemu-guest',
  tracking: 'QEMU dirty bitmaps',
  disks: [
    { key: 'disk0', sizeBytes: 131_072 },
    { key: 'disk1', sizeBytes: 65_536 },
  ],
  hardware: { memoryBytes: 64 * 1024 * 1024, cpuCount: 1, firmware: 'bios' },
  ...more,
});

export function heartbeatOf(
  guests: GuestReport[],
  more: { machines?: ReplicationReport[]; instanceId?: string; doneRequests?: HeartbeatRequest['doneRequests'] } = {},
): HeartbeatRequest {
  return {
    instanceId: more.instanceId ?? randomUUID(),
    agentVersion: '0.1.0',
    hostName: 'host-1',
    siteName: 'main',
    guests,
    machines: more.machines ?? [],
    doneRequests: more.doneRequests ?? [],
    powerResults: [],
    runningAlthoughHeld: [],
    spool: null,
  };
}

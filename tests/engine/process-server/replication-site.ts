import { createHash, generateKeyPairSync, randomBytes } from 'node:crypto';
import { mkdtemp, rm } from 'node:fs/promises';
import type { Server } from 'node:https';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type AgentIdentity, identityFrom } from '../../../agent/identity.ts';
import { type AgentId, type DiskId, idFromBytes, type MachineId } from '../../../domain/ids.ts';
import { createCertificateAuthority } from '../../../engine/certificate-authority.ts';
import type { Observe } from '../../../engine/process-server/observer.ts';
import {
  createProcessServer,
  type ProcessServerLimits,
  processServerLimitsDefault,
} from '../../../engine/process-server/process-server.ts';
import { secureServerOptions } from '../../../engine/tls.ts';
import { createDirectoryStore } from '../../../engine/vault/directory-store.ts';
import { createVault, type OpenVault, openVault } from '../../../engine/vault/open-vault.ts';
import { createVaultKeys, type VaultKeys } from '../../../engine/vault/vault-keys.ts';
import { type ReplicationGrant, signGrant } from '../../../protocol/replication-grant.ts';

/** A whole data plane in a temporary folder: certificate authority, vault, process server. Everything in it is the real part. */
export async function createSite() {
  const folder = await mkdtemp(join(tmpdir(), 'lifeboat-site-'));
  const nowMs = Date.now();
  const authority = await createCertificateAuthority(join(folder, 'ca'), nowMs);
  const serverKey = await authority.issueKeyPair({ kind: 'process-server', name: 'ps-1' }, { nowMs });
  const grantKeys = generateKeyPairSync('ed25519');
  const keys = await createVaultKeys(join(folder, 'keys'));
  const store = await createDirectoryStore(join(folder, 'vault'));
  const vault = await createVault({ store, keys, sealerThreads: 0 });
  const started: { server: Server; vault: OpenVault }[] = [];

  return {
    folder,
    authority,
    vault,
    keys,
    grantPublicKey: grantKeys.publicKey,
    grantKey: grantKeys.privateKey,
    newMachineId: () => idFromBytes('machine', randomBytes(10)),
    newDiskId: () => idFromBytes('disk', randomBytes(10)),
    grant: (grant: Omit<ReplicationGrant, 'notAfterMs'> & { notAfterMs?: number }) =>
      signGrant({ notAfterMs: Date.now() + 600_000, ...grant }, grantKeys.privateKey),
    /** Another vault object over the same blobs, as another process server would have. */
    openVaultAgain: () => openVaultAgain(folder, keys),
    /** Listens on a free port of 127.0.0.1. */
    async startProcessServer(options: Partial<ServerOptions> = {}) {
      const ownVault = options.vault ?? (await openVaultAgain(folder, keys));
      const server = createProcessServer({
        vault: ownVault,
        grantPublicKey: grantKeys.publicKey,
        tls: secureServerOptions(serverKey, 'required'),
        limits: options.limits ?? processServerLimitsDefault,
        nowMs: Date.now,
        log: { info: () => undefined, warn: options.onWarn ?? (() => undefined) },
        ...(options.observe && { observe: options.observe }),
      });
      await new Promise<void>((resolve) => server.listen(options.port ?? 0, '127.0.0.1', resolve));
      started.push({ server, vault: ownVault as OpenVault });
      const { port } = server.address() as AddressInfo;
      const stop = async () => {
        server.closeAllConnections();
        await new Promise<void>((resolve) => server.close(() => resolve()));
      };
      return { url: `https://127.0.0.1:${port}`, port, stop };
    },
    async newAgent(): Promise<AgentIdentity> {
      const agentId = idFromBytes('agent', randomBytes(10));
      const issued = await authority.issueKeyPair({ kind: 'agent', agentId }, { nowMs });
      const { certificate, certificateAuthority } = issued;
      return identityFrom('https://127.0.0.1', issued.privateKey, { agentId, certificate, certificateAuthority });
    },
    async close() {
      for (const { server, vault: ownVault } of started) {
        server.closeAllConnections();
        server.close();
        await ownVault.close?.();
      }
      await vault.close();
      await rm(folder, { recursive: true, force: true });
    },
  };
}

export type Site = Awaited<ReturnType<typeof createSite>>;
type ServerOptions = {
  vault: Parameters<typeof createProcessServer>[0]['vault'];
  limits: ProcessServerLimits;
  port: number;
  onWarn: (fields: object, message: string) => void;
  observe: Observe;
};

async function openVaultAgain(folder: string, keys: VaultKeys): Promise<OpenVault> {
  return openVault({ store: await createDirectoryStore(join(folder, 'vault')), keys, sealerThreads: 0 });
}

export function grantFor(
  site: Site,
  order: { agentId: AgentId; machineId: MachineId; disks: { diskId: DiskId; sizeBytes: number }[]; epoch?: number },
) {
  return site.grant({ epoch: 1, ...order });
}

export const sha256 = (bytes: Uint8Array): Buffer => createHash('sha256').update(bytes).digest();

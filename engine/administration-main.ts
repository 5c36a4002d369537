import { totalBytes } from '../domain/extent.ts';
import { OutageError } from '../domain/outage.ts';
import { formatBytes, formatDuration } from '../domain/units.ts';
import type { PointManifest } from '../protocol/point-manifest.ts';
import { beginTrailAnew, checkAuditTrail } from './audit-anchor.ts';
import { rebuildCatalogue } from './catalogue.ts';
import { loadCertificateAuthority } from './certificate-authority.ts';
import { type EngineConfig, readEngineConfig } from './config.ts';
import { createEnrolmentToken } from './enrolment.ts';
import { foldersOf } from './installation.ts';
import { insertToken } from './store/enrolment.ts';
import { openStore, type Store } from './store/open.ts';
import { restoreImage } from './target/restore-image.ts';
import { type OpenVault, openVault } from './vault/open-vault.ts';
import { loadVaultKeys } from './vault/vault-keys.ts';
import { openBlobStore } from './vault/vault-location.ts';
import { vaultAnchorFile } from './vault-anchor.ts';

/** Prints an enrolment token; it is nowhere else. */
export async function printEnrolmentToken(configFile: string, hostName: string): Promise<void> {
  console.log(await makeEnrolmentToken(configFile, hostName));
  console.error(`This token works once, for ${hostName}, within 15 minutes.`);
}

/** Makes a token for one host, good for 15 minutes. */
export async function makeEnrolmentToken(configFile: string, hostName: string): Promise<string> {
  const config = await readEngineConfig(configFile);
  const certificateAuthority = await loadCertificateAuthority(foldersOf(config).certificateAuthority);
  if (certificateAuthority === undefined) {
    throw new OutageError(`make an enrolment token: there is no certificate authority in ${config.stateFolder}`, {
      retryable: false,
      nextStep: 'Start the engine once; its first start makes one.',
    });
  }
  return withStore(config, (store) =>
    createEnrolmentToken(
      {
        certificateAuthority,
        engineUrl: config.url,
        nowMs: () => Date.now(),
        insertToken: (token) => store.write((db) => insertToken(db, token)),
      },
      { hostName, createdBy: 'administrator on the engine host' },
    ),
  );
}

/** Reads everything and prints what is wrong. Returns the exit code: 0 only for a vault without a finding. */
export async function verifyVault(configFile: string): Promise<0 | 1> {
  const config = await readEngineConfig(configFile);
  const anchors = await vaultAnchorFile(foldersOf(config).anchors).read();
  return withVault(config, async (vault) => {
    const isTrailWhole = await verifyAuditTrail(config, vault);
    console.log(`Reading all of ${vault.description} …`);
    const startedAt = performance.now();
    const report = await vault.verifyAll(anchors);
    const took = formatDuration(performance.now() - startedAt);
    for (const { blob, detail } of report.condemned) console.log(`  known and repaired  ${blob}\n    ${detail}`);
    for (const { blob, problem, detail } of report.findings)
      console.log(`  ${problem.toUpperCase()}  ${blob}\n    ${detail}`);
    const read = `${report.segmentCount} segments, ${report.pointCount} recovery points, ${formatBytes(report.readBytes)} in ${took}`;
    console.log(report.findings.length === 0 ? `Good: ${read}.` : `${report.findings.length} findings: ${read}.`);
    return report.findings.length === 0 && isTrailWhole ? 0 : 1;
  });
}

/** Compares the audit trail in the database with what the vault was told of it. Without the database it says so; the vault is still verified. */
async function verifyAuditTrail(config: EngineConfig, vault: OpenVault): Promise<boolean> {
  try {
    const anchor = await vault.newestAuditAnchor();
    const check = await withStore(config, (store) => store.read((db) => checkAuditTrail(db, anchor)));
    const upTo = anchor === undefined ? 'the vault has no anchor of it yet' : `the vault knows entry ${anchor.number}`;
    console.log(`Audit trail: ${check.problem ?? `${check.head.number} entries, whole; ${upTo}.`}`);
    return check.problem === undefined;
  } catch (error) {
    // A damaged anchor is a finding of the vault itself, below; a database that is away hides nothing that is in the vault.
    if (!(error instanceof OutageError)) throw error;
    console.log(`Audit trail: not compared (${error.message}).`);
    return true;
  }
}

/** Fills the database from the vault; what the database has already is not changed. */
export async function rebuildCatalogueFromVault(configFile: string): Promise<void> {
  const config = await readEngineConfig(configFile);
  const anchors = vaultAnchorFile(foldersOf(config).anchors);
  await withVault(config, (vault) =>
    withStore(config, async (store) => {
      const rebuilt = await rebuildCatalogue({ store, vault, anchors });
      const trail = await vault.newestAuditAnchor();
      const isNewTrail = await store.write((db) => beginTrailAnew(db, trail, 'administrator on the engine host'));
      if (isNewTrail) console.log('The audit trail was lost with the database; the new one begins by saying so.');
      console.log(
        `${rebuilt.machineCount} machines in the vault; ${rebuilt.adoptedCount} recovery points added, ` +
          `${rebuilt.availableCount} available now, ${rebuilt.damagedCount} damaged.`,
      );
    }),
  );
}

export type RestoreOrder = {
  readonly machine: string;
  readonly point: string;
  readonly disk?: string;
  readonly to: string;
};

/** Writes one disk of a point to a plain image file: works with neither engine nor database. */
export async function restoreMachine(configFile: string, order: RestoreOrder): Promise<void> {
  const config = await readEngineConfig(configFile);
  await withVault(config, async (vault) => {
    const point = await findPoint(vault, order);
    const disk = chooseDisk(point, order);
    const reader = await vault.openDisk(disk.diskId, disk.position);
    const startedAt = performance.now();
    await restoreImage({ reader, toPath: order.to });
    const size = formatBytes(totalBytes(reader.allocated()));
    await reader.close();
    const took = formatDuration(performance.now() - startedAt);
    console.log(
      `${order.machine} ${disk.key} as of ${new Date(point.takenAtMs).toISOString()} (${point.pointId}): ` +
        `${size} of data written to ${order.to} in ${took}, every byte authenticated.`,
    );
  });
}

async function findPoint(vault: OpenVault, order: RestoreOrder): Promise<PointManifest> {
  const names = new Set<string>();
  let found: PointManifest | undefined;
  for await (const point of vault.points()) {
    names.add(point.machineName);
    if (point.machineName !== order.machine) continue;
    if (order.point === point.pointId || (order.point === 'latest' && isNewer(point, found))) found = point;
  }
  if (found !== undefined) return found;
  const isKnown = names.has(order.machine);
  throw new OutageError(
    isKnown
      ? `${order.machine} has no recovery point ${order.point} in the vault`
      : `the vault has no machine ${order.machine}`,
    {
      retryable: false,
      nextStep: isKnown
        ? 'Use --point latest, or an id from `dr points`.'
        : `It has: ${[...names].join(', ') || 'none'}.`,
    },
  );
}

function isNewer(point: PointManifest, than: PointManifest | undefined): boolean {
  return than === undefined || point.number > than.number;
}

function chooseDisk(point: PointManifest, order: RestoreOrder): PointManifest['disks'][number] {
  const keys = point.disks.map((disk) => disk.key).join(', ');
  const [first] = point.disks;
  const chosen = order.disk === undefined ? first : point.disks.find((disk) => disk.key === order.disk);
  const isAmbiguous = order.disk === undefined && point.disks.length > 1;
  if (chosen !== undefined && !isAmbiguous) return chosen;
  throw new OutageError(
    isAmbiguous ? `${order.machine} has several disks` : `${order.machine} has no disk ${order.disk}`,
    {
      retryable: false,
      nextStep: `Say which with --disk: ${keys}.`,
    },
  );
}

async function withVault<T>(config: EngineConfig, work: (vault: OpenVault) => Promise<T>): Promise<T> {
  const keys = await loadVaultKeys(foldersOf(config).keys);
  const vault = await openVault({ store: await openBlobStore(config.vault, 'must-exist'), keys });
  try {
    return await work(vault);
  } finally {
    await vault.close();
  }
}

async function withStore<T>(config: EngineConfig, work: (store: Store) => Promise<T>): Promise<T> {
  const store = await openStore({ connectionString: config.databaseUrl });
  try {
    return await work(store);
  } finally {
    await store.close();
  }
}

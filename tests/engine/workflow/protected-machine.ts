import { createHash, randomBytes, randomUUID } from 'node:crypto';
import { type Id, type IdKind, idFromBytes, type MachineId, type RecoveryPointId } from '../../../domain/ids.ts';
import { invariant } from '../../../domain/invariant.ts';
import { emptyDigest } from '../../../domain/position.ts';
import { listGuests, saveGuests } from '../../../engine/store/agents.ts';
import type { Database } from '../../../engine/store/database.ts';
import { consumeToken, insertToken } from '../../../engine/store/enrolment.ts';
import { enableMachine, findMachine, markProtected } from '../../../engine/store/machines.ts';
import type { Store } from '../../../engine/store/open.ts';
import { insertPoint, markSealed, movePoint } from '../../../engine/store/points.ts';
import type { GuestReport } from '../../../protocol/agent-api.ts';
import { manifestDigest } from '../../../protocol/point-manifest.ts';

export function newTestId<Kind extends IdKind>(kind: Kind): Id<Kind> {
  return idFromBytes(kind, randomBytes(10));
}

export type TestMachine = { readonly name: string; readonly machineId: MachineId; readonly pointId: RecoveryPointId };

const hardware = { memoryBytes: 64 * 1024 * 1024, cpuCount: 1, firmware: 'bios' } as const;

/** Protected machines of one host, each with one available point, made as enrolment, agent and engine would make them. */
export async function protectMachines(
  store: Store,
  names: readonly string[],
  disks: GuestReport['disks'] = [{ key: 'disk0', sizeBytes: 65_536 }],
): Promise<TestMachine[]> {
  return store.write(async (db) => {
    const agentId = await enrolHost(db);
    const reports = names.map((name) => ({ name, kind: 'disk-image' as const, tracking: 'test', disks, hardware }));
    await saveGuests(db, agentId, reports);
    const guests = await listGuests(db);
    const machines: TestMachine[] = [];
    for (const guest of guests.filter((candidate) => candidate.agentId === agentId)) {
      const enabled = await enableMachine(db, { guest, policyName: 'default', enabledBy: 'ana' });
      invariant(enabled.kind === 'enabled', `${guest.name} is not protected yet`);
      const pointId = await addPoint(db, enabled.machineId);
      await markProtected(db, enabled.machineId);
      machines.push({ name: guest.name, machineId: enabled.machineId, pointId });
    }
    return machines;
  });
}

async function enrolHost(db: Database) {
  const tokenHash = createHash('sha256').update(randomBytes(8)).digest('hex');
  const hostName = `host-${randomBytes(4).toString('hex')}`;
  const agentId = newTestId('agent');
  await insertToken(db, { tokenHash, hostName, createdBy: 'ana', lifeMs: 60_000 });
  const certificate = { certificateFingerprint: tokenHash, certificateExpiresAtMs: Date.now() + 60_000 };
  const outcome = await consumeToken(db, { tokenHash, hostName, agentId, ...certificate });
  invariant(outcome.kind === 'consumed', 'a fresh token is good');
  return agentId;
}

async function addPoint(db: Database, machineId: MachineId): Promise<RecoveryPointId> {
  const machine = await findMachine(db, machineId);
  invariant(machine, 'the machine was just enabled');
  const position = { epoch: 1, sequence: 1, digest: 'a'.repeat(64) };
  const disks = machine.disks.map(({ id, key, sizeBytes }) => ({ diskId: id, key, sizeBytes, position }));
  const takenAtMs = Date.now() - 5000;
  const base = { machineId, epoch: 1, kind: 'crash-consistent' as const, takenAtMs, reason: '', hardware, disks };
  const { id } = await insertPoint(db, { ...base, captureId: randomUUID(), pauseMs: 1, changedBytes: 1 });
  const manifest = {
    ...base,
    format: 'lifeboat-point/1' as const,
    vaultId: 'test',
    pointId: id,
    machineName: machine.name,
    number: 1,
    previousDigest: emptyDigest,
  };
  await markSealed(db, id, { manifest, digest: manifestDigest(manifest) });
  await movePoint(db, id, { from: 'sealed', to: 'verified' });
  await movePoint(db, id, { from: 'verified', to: 'available' });
  return id;
}

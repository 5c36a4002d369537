import type { z } from 'zod';
import { admit } from '../../domain/protected-machine.ts';
import { formatBytes } from '../../domain/units.ts';
import type { CommandAnswer, enableBody } from '../../protocol/control-api.ts';
import type { GuestRecord } from '../store/agents.ts';
import type { Database } from '../store/database.ts';
import { appendEvent } from '../store/events.ts';
import { attachMachine, enableMachine, type MachineRecord } from '../store/machines.ts';
import { findPolicy, listPolicyNames } from '../store/policies.ts';
import { findByName } from './find-machine.ts';
import { answer, type Reply, refuse } from './reply.ts';

/** Begins to protect a guest; a machine that was rebuilt from the vault goes on with its agent instead. Source: A5 */
export async function enable(
  db: Database,
  order: { readonly body: z.output<typeof enableBody>; readonly person: string },
): Promise<Reply<CommandAnswer>> {
  const { body, person } = order;
  const found = await findByName(db, body.machine, body.host);
  if (found.kind === 'refusal') return found;
  if (found.kind === 'machine') return goOn(db, found, person);
  const { guest } = found;
  const refusal = await refuseGuest(db, guest, body.policy);
  if (refusal !== undefined) return refusal;
  const outcome = await enableMachine(db, { guest, policyName: body.policy, enabledBy: person });
  if (outcome.kind === 'name-taken')
    return refuse('refused', `A machine of the name ${guest.name} is protected already.`);
  const bytes = guest.disks.reduce((sum, disk) => sum + disk.sizeBytes, 0);
  const text =
    `${person} enabled protection of ${guest.name} on ${guest.hostName} with policy ${body.policy}: ` +
    `${guest.disks.length} disk${guest.disks.length === 1 ? '' : 's'}, ${formatBytes(bytes)}. Enabled: Replicating.`;
  await appendEvent(db, { kind: 'enabled', machineName: guest.name, text });
  return answer({ kind: 'done', message: text });
}

async function refuseGuest(db: Database, guest: GuestRecord, policyName: string) {
  if (guest.unsupported !== null) return refuse('refused', `${guest.name} cannot be protected: ${guest.unsupported}`);
  if (guest.disks.length === 0) return refuse('refused', `${guest.name} has no disks to protect.`);
  if ((await findPolicy(db, policyName)) !== undefined) return undefined;
  return refuse('unknown-target', `There is no policy ${policyName}.`, { candidates: await listPolicyNames(db) });
}

async function goOn(
  db: Database,
  found: { readonly machine: MachineRecord; readonly guests: readonly GuestRecord[] },
  person: string,
): Promise<Reply<CommandAnswer>> {
  const { machine } = found;
  const guest = found.guests.find((candidate) => hasDisksOf(candidate, machine));
  if (machine.agentId === null && guest !== undefined) {
    await attachMachine(db, machine.id, guest.agentId);
    const text = `${person} gave ${machine.name} back to its host ${guest.hostName}; replication goes on.`;
    await appendEvent(db, { kind: 'enabled', machineName: machine.name, text });
    return answer({ kind: 'done', message: text });
  }
  const { name, protection, replication } = machine;
  const admission = admit('enable', { name, protection, replication, drill: { kind: 'none' } });
  return refuse('refused', admission.kind === 'refused' ? admission.message : `${name} is protected already.`);
}

function hasDisksOf(guest: GuestRecord, machine: MachineRecord): boolean {
  const sizes = new Map(guest.disks.map((disk) => [disk.key, disk.sizeBytes]));
  return machine.disks.every((disk) => sizes.get(disk.key) === disk.sizeBytes);
}

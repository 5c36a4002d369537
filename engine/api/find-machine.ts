import { nearestNames } from '../../domain/nearest-names.ts';
import { type GuestRecord, listGuests } from '../store/agents.ts';
import type { Database } from '../store/database.ts';
import { findMachineByName, listMachines, type MachineRecord } from '../store/machines.ts';
import { type Refusal, refuse } from './reply.ts';

/** What a name stands for: a machine that has protection, or a guest that has none. */
export type FoundMachine =
  | { readonly kind: 'machine'; readonly machine: MachineRecord; readonly guests: readonly GuestRecord[] }
  | { readonly kind: 'guest'; readonly guest: GuestRecord }
  | Refusal;

/**
 * Finds what a person named, exactly; never a guess. Unknown names are refused with the three nearest, and a name
 * that several
 * hosts have with the hosts. Source: CHAT 5.1
 */
export async function findByName(db: Database, typed: string, hostName?: string): Promise<FoundMachine> {
  const name = typed.startsWith('vm:') ? typed.slice('vm:'.length) : typed;
  const guests = await listGuests(db);
  const matching = guests.filter((guest) => guest.name === name && (hostName ?? guest.hostName) === guest.hostName);
  const machine = await findMachineByName(db, name);
  if (machine !== undefined) return { kind: 'machine', machine, guests: matching };
  const [guest, ...others] = matching;
  if (guest === undefined) return unknownName(db, name, guests);
  if (others.length === 0) return { kind: 'guest', guest };
  return refuse('ambiguous-target', `${name} is a guest of ${matching.length} hosts. Say which with --host.`, {
    candidates: matching.map((candidate) => candidate.hostName),
  });
}

async function unknownName(db: Database, name: string, guests: readonly GuestRecord[]): Promise<Refusal> {
  const known = [...guests, ...(await listMachines(db))].map((one) => one.name);
  const candidates = nearestNames(name, known);
  const meant = candidates.length === 0 ? '' : ` Did you mean ${candidates.join(', ')}?`;
  return refuse('unknown-target', `There is no machine ${name.slice(0, 80)}.${meant}`, { candidates });
}

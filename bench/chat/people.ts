import type { SlackWorkspace } from '../../demo/slack-workspace/workspace.ts';
import type { Grant, Role } from '../../domain/access.ts';
import { invariant } from '../../domain/invariant.ts';
import { makeLinkCode } from '../../engine/people/linking.ts';
import type { Store } from '../../engine/store/open.ts';
import { addPerson, setGrants } from '../../engine/store/people.ts';

type LoadPerson = { readonly name: string; readonly role: Role; readonly machine?: string };

/** Who types in the load: every role, and one whose role counts for one machine only. */
export const people: readonly LoadPerson[] = [
  { name: 'ana', role: 'admin' },
  { name: 'ben', role: 'approver' },
  { name: 'carla', role: 'approver' },
  { name: 'dora', role: 'operator' },
  { name: 'emil', role: 'operator' },
  { name: 'fritz', role: 'operator' },
  { name: 'gina', role: 'operator' },
  { name: 'hugo', role: 'operator', machine: 'vm-7' },
  { name: 'ida', role: 'viewer' },
  { name: 'jan', role: 'viewer' },
];

const channel = '#dr';

/** Lets them into the workspace. Returns the id of the channel that they all share. */
export function seatPeople(workspace: SlackWorkspace): string {
  for (const { name } of people) workspace.addUser(name);
  return workspace.addChannel(channel.slice(1), [...people.map(({ name }) => name), 'Lifeboat']);
}

/** Each is added on the engine's host and types the code that this gives. */
export async function linkPeople(workspace: SlackWorkspace, store: Store): Promise<void> {
  const isLinked = (name: string) => workspace.as(name).reads(channel).includes('Slack is linked');
  for (const person of people) {
    await workspace.as(person.name).types(channel, `/dr link ${await addWithLinkCode(store, person)}`);
    await workspace.until(`${person.name} is linked`, () => isLinked(person.name));
  }
}

/** What `lifeboat person add` does. */
function addWithLinkCode(store: Store, { name, role, machine }: LoadPerson): Promise<string> {
  const scope: Grant['scope'] = machine === undefined ? { kind: 'everything' } : { kind: 'machine', name: machine };
  return store.write(async (db) => {
    await addPerson(db, name, 'bench');
    await setGrants(db, name, [{ role, scope }], 'bench');
    const made = await makeLinkCode(db, { kind: 'person', person: name });
    invariant(made.kind === 'code', 'a person gets a code');
    return made.code;
  });
}

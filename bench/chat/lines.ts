/** A line that somebody types after `/dr`; an order is one that the audit trail has to know. */
export type Line = { readonly text: string; readonly isOrder: boolean };

/** A typo near two machines: the refusal has a button for each of them. */
export const lineWithButtons = 'show vm-9';
export const buttonLabels = ['vm-7', 'vm-8'] as const;

const looks = [
  'status',
  'status vm-7',
  'lag',
  'lag vm-8',
  'points vm-7',
  'points vm-8',
  'show vm-7',
  'list vms',
  'list runs',
  'help',
  'help failover',
];
const decisions = ['approvals', 'alerts', 'whoami', 'approvals --mine'];
const nonsense = ['frobnicate the boat', lineWithButtons, 'status --frog', 'pause vm-7', 'points vm-7; rm -rf /'];

/**
 * Twenty lines in the mix of the load, shuffled: 11 questions about machines, 4 about decisions, 3 orders, 1 that would do something else
 * (a dry run, or the clean-up of a drill that is not there), 1 that is nonsense.
 *
 * @param number of this deck: orders carry it, so that each one is another
 */
export function deckOf(number: number): Line[] {
  const next = randomOf(number + 1);
  const machine = () => (next() < 0.5 ? 'vm-7' : 'vm-8');
  const mark = (index: number) => `load ${number}.${index}`;
  const orders = [
    `bookmark ${machine()} --reason "${mark(1)}"`,
    `pause ${machine()} --for 15m --reason "${mark(2)}"`,
    `resume ${machine()}`,
  ];
  const rehearsal =
    number % 2 === 0 ? `failover ${machine()} --test --dry-run` : `cleanup ${machine()} --note "${mark(3)}"`;
  const deck = [
    ...looks.map(question),
    ...decisions.map(question),
    ...[...orders, rehearsal].map((text) => ({ text, isOrder: true })),
    question(nonsense[number % nonsense.length] ?? ''),
  ];
  return shuffled(deck, next);
}

function question(text: string): Line {
  return { text, isOrder: false };
}

function shuffled<Item>(items: readonly Item[], next: () => number): Item[] {
  return items
    .map((item) => ({ item, place: next() }))
    .sort((a, b) => a.place - b.place)
    .map(({ item }) => item);
}

/** Numbers from 0 to 1, the same ones for the same seed (mulberry32). */
function randomOf(seed: number): () => number {
  let state = Math.imul(seed, 0x9e3779b1) >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

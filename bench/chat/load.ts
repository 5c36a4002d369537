import { setImmediate as turn, setTimeout as wait } from 'node:timers/promises';
import { waitUntil } from '../measure.ts';
import { type Deed, keepLedger, type Ledger } from './ledger.ts';
import { buttonLabels, deckOf, type Line, lineWithButtons } from './lines.ts';
import { people } from './people.ts';
import type { LoadSite } from './site.ts';

export type LoadSettings = {
  readonly commandsPerSecond: number;
  readonly clicksPerSecond: number;
  /** So many deliveries, one in how many, come twice, as Slack may do it. */
  readonly doubledEvery: number;
};

/** People at their keyboards, who do not wait for answers. */
export type Load = {
  /** Types and clicks for so long, and resolves when everything was acknowledged, or was not for half a minute. */
  readonly run: (seconds: number) => Promise<LoadRun>;
  /** Waits until everything was answered; what was not by then is lost. */
  readonly drain: (limitMs: number) => Promise<void>;
};

export type LoadRun = {
  readonly deeds: readonly Deed[];
  readonly doubledCount: number;
  /** How far the load itself was behind its own plan at the worst: on a busy machine it is not as even as it should be. */
  readonly latestMs: number;
};

/** A channel with a message that has buttons, and who sees it. */
type ButtonSpot = { readonly person: string; readonly name: string; readonly id: string };
type Desk = {
  readonly site: LoadSite;
  readonly signal: AbortSignal;
  readonly ledger: Ledger;
  readonly spots: readonly ButtonSpot[];
  readonly lines: Iterator<Line, never>;
  readonly newChannel: (person: string) => ButtonSpot;
};

const spotsPerPerson = 3;
const firstAnswersMs = 60_000;

/** Gives each person some buttons to click on. @param signal ends a load that nobody waits for any more */
export async function prepareLoad(site: LoadSite, settings: LoadSettings, signal: AbortSignal): Promise<Load> {
  const ledger = keepLedger(site.workspace);
  let channelCount = 0;
  const newChannel = (person: string) => {
    channelCount += 1;
    const name = `load-${channelCount}`;
    return { person, name: `#${name}`, id: site.workspace.addChannel(name, [person, 'Lifeboat']) };
  };
  const spots = people.flatMap(({ name }) => Array.from({ length: spotsPerPerson }, () => newChannel(name)));
  const desk: Desk = { site, signal, ledger, spots, lines: linesWithoutEnd(), newChannel };
  for (const spot of spots) await type(desk, spot, { text: lineWithButtons, isOrder: false });
  await waitUntil('the first answers', firstAnswersMs, () => ledger.openCount() === 0);
  return {
    run: (seconds) => run(desk, settings, seconds),
    drain: async (limitMs) => {
      const deadline = performance.now() + limitMs;
      while (ledger.openCount() > 0 && performance.now() < deadline) await wait(20, undefined, { signal });
    },
  };
}

function* linesWithoutEnd(): Generator<Line, never> {
  for (let number = 0; ; number += 1) yield* deckOf(number);
}

async function run(desk: Desk, settings: LoadSettings, seconds: number): Promise<LoadRun> {
  const { commandsPerSecond, clicksPerSecond, doubledEvery } = settings;
  const firstDeed = desk.ledger.deeds().length;
  const commandCount = Math.round(commandsPerSecond * seconds);
  const commandsPerClick = commandsPerSecond / clicksPerSecond;
  const acknowledged: Promise<void>[] = [];
  const startedAtMs = performance.now();
  let [latestMs, doubledCount, clickCount] = [0, 0, 0];
  for (let number = 0; number < commandCount; number += 1) {
    const behindMs = await untilDue(startedAtMs + (number * 1000) / commandsPerSecond, desk.signal);
    latestMs = Math.max(latestMs, behindMs);
    if ((number + 1) % doubledEvery === 0) {
      desk.site.workspace.failNextDelivery('double');
      doubledCount += 1;
    }
    const person = people[number % people.length]?.name ?? '';
    acknowledged.push(type(desk, desk.newChannel(person), desk.lines.next().value));
    if ((number + 1) / commandsPerClick < clickCount + 1) continue;
    clickCount += 1;
    acknowledged.push(click(desk, clickCount));
  }
  await untilDue(startedAtMs + seconds * 1000, desk.signal);
  await Promise.all(acknowledged);
  return { deeds: desk.ledger.deeds().slice(firstDeed), doubledCount, latestMs };
}

/** How late it is already; answers are read in between also when it is late. */
async function untilDue(dueAtMs: number, signal: AbortSignal): Promise<number> {
  const earlyMs = dueAtMs - performance.now();
  if (earlyMs > 0) await wait(earlyMs, undefined, { signal });
  else await turn(undefined, { signal });
  return Math.max(0, performance.now() - dueAtMs);
}

async function type({ site, ledger }: Desk, at: ButtonSpot, line: Line): Promise<void> {
  const deed = ledger.begin(at.id, { kind: 'command', ...line });
  const acknowledged = await site.workspace.as(at.person).types(at.name, `/dr ${line.text}`);
  deed.acknowledgedAfterMs = acknowledged?.ms;
}

/** On a button whose message was answered last time; while all are waited for, nobody can click. */
async function click({ site, ledger, spots }: Desk, number: number): Promise<void> {
  const turned = [...spots.slice(number % spots.length), ...spots.slice(0, number % spots.length)];
  const spot = turned.find(({ id }) => ledger.hasAnswer(id));
  const label = buttonLabels[number % buttonLabels.length];
  if (spot === undefined || label === undefined) return;
  const deed = ledger.begin(spot.id, { kind: 'click', text: label, isOrder: false });
  const acknowledged = await site.workspace.as(spot.person).clicks(spot.name, label);
  deed.acknowledgedAfterMs = acknowledged?.ms;
}

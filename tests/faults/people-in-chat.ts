import { setTimeout as pause } from 'node:timers/promises';
import { channel, type Telephone } from '../../demo/slack-conversation-people.ts';
import type { Acknowledged } from '../../demo/slack-workspace/deliveries.ts';
import type { SlackWorkspace } from '../../demo/slack-workspace/workspace.ts';

/** How long somebody looks at a screen on which nothing happens before they do it again; and when they were told that it failed. */
const patienceMs = 5000;
const toldPatienceMs = 1000;
const dialogMs = 5000;
const hangMs = 180_000;
const direct = '@Lifeboat';

/** People who do not know that anything is being killed: what has no effect is done once more, as everybody does in chat. */
export type People = {
  /** Asks for a planned failover, until the request is there to be decided. */
  readonly asks: (machine: string, reason: string) => Promise<void>;
  /** Opens the dialog and gives a six-digit code, until everybody can read that ben approved. */
  readonly approves: (machine: string, telephone: Telephone) => Promise<void>;
  readonly rejects: (machine: string, reason: string) => Promise<void>;
  /** Clicks a button that is not there any more, until the answer says so. */
  readonly clicksOld: (button: { readonly actionId: string; readonly value: string }, answer: RegExp) => Promise<void>;
  /** What they did, and what they saw of it. */
  readonly diary: readonly string[];
};

/** Says whether anything was asked of the site: without that there is nothing to wait for. */
type Deed = (attempt: number) => Promise<'asked' | 'told why not'>;

export function peopleIn(workspace: SlackWorkspace): People {
  const ben = workspace.as('ben');
  const ana = workspace.as('ana');
  const diary: string[] = [];
  const note = (words: string) => diary.push(`${new Date().toISOString()} ${words}`);
  const noteAnswer = (deed: string, acknowledged: Acknowledged) =>
    note(`${deed}: ${acknowledged === undefined ? 'no answer' : `taken after ${Math.round(acknowledged.ms)} ms`}`);
  const answersTo = ({ id }: { readonly id: string }) =>
    workspace.messages().filter((one) => one.visibleTo === id && !one.isDeed).length;
  const answerCount = () => answersTo(ana) + answersTo(ben);
  const isToldWhyNot = () => /Refused|cannot be reached/.test(ben.modal() ?? '');
  const insist = async (what: string, isSo: () => boolean, deed: Deed) => {
    const until = performance.now() + hangMs;
    for (let attempt = 0; performance.now() < until; attempt += 1) {
      const before = answerCount();
      const done = await deed(attempt);
      if (done === 'asked') await within(patienceMs, () => isSo() || answerCount() > before || isToldWhyNot());
      if (await within(toldPatienceMs, isSo)) return;
    }
    throw new Error(`${what}: not so after ${hangMs} ms\n${diary.join('\n')}\n${workspace.story()}`);
  };
  const decides = async (attempt: number, button: string, answers: Readonly<Record<string, string>>) => {
    closeDialogs(workspace);
    // Each copy of the request has the same buttons.
    const places = attempt % 2 === 0 ? [channel, direct] : [direct, channel];
    const place = places.find((one) => ben.reads(one).includes(`[${button}]`));
    if (place === undefined) return 'told why not';
    noteAnswer(`ben clicks ${button}`, await ben.clicks(place, button));
    const label = Object.keys(answers)[0] ?? '';
    const isOpen = () => ben.modal()?.includes(`${label}:`) === true;
    await within(dialogMs, () => isOpen() || isToldWhyNot());
    note(`ben sees ${ben.modal() ?? 'no dialog'}`);
    if (!isOpen()) return 'told why not';
    noteAnswer('ben sends it', await ben.fillsIn(answers));
    return 'asked';
  };
  const isSaid = (words: RegExp) => () => words.test(`${ben.reads(channel)}\n${ben.reads(direct)}`);
  return {
    diary,
    asks: async (machine, reason) => {
      const waits = new RegExp(`Planned failover of ${machine} · waits for approval`);
      const line = `/dr failover ${machine} --planned --reason "${reason}"`;
      const answeredBefore = answersTo(ana);
      let lineCount = 0;
      await insist(
        `ana asked for ${machine}`,
        () => waits.test(ana.reads(channel)),
        async () => {
          lineCount += 1;
          noteAnswer(`ana types ${line}`, await ana.types(channel, line));
          return 'asked';
        },
      );
      // What she typed before may still be at work: after the decision it would be another request.
      await within(patienceMs, () => answersTo(ana) - answeredBefore >= lineCount);
      const isThere = await within(hangMs, isSaid(waits));
      if (!isThere) throw new Error(`nobody sees that ana asked for ${machine}\n${workspace.story()}`);
    },
    approves: (machine, telephone) =>
      insist(
        `ben approved ${machine}`,
        isSaid(new RegExp(`Planned failover of ${machine} · (approved by ben|done|FAILED)`)),
        (attempt) => decides(attempt, 'Approve', { 'Six-digit code': telephone.code() }),
      ),
    rejects: (machine, reason) =>
      insist(
        `ben rejected ${machine}`,
        isSaid(new RegExp(`Planned failover of ${machine} · REJECTED by ben`)),
        (attempt) => decides(attempt, 'Reject', { Reason: reason }),
      ),
    clicksOld: (button, answer) =>
      insist(
        'ben is told that it is decided',
        () => answer.test(`${ben.modal() ?? ''}\n${ben.reads(channel)}`),
        async () => {
          closeDialogs(workspace);
          noteAnswer('ben clicks an old button', await ben.clicksStale(channel, button));
          return 'asked';
        },
      ),
  };
}

function closeDialogs(workspace: SlackWorkspace): void {
  const ben = workspace.as('ben');
  while (ben.modal() !== undefined) ben.closesModal();
}

async function within(limitMs: number, isSo: () => boolean): Promise<boolean> {
  for (const until = performance.now() + limitMs; performance.now() < until; await pause(50)) {
    if (isSo()) return true;
  }
  return isSo();
}

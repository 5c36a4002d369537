import type { SlackWorkspace } from '../../demo/slack-workspace/workspace.ts';
import type { Message } from '../../demo/slack-workspace/world.ts';

/** One thing that somebody did in the load, and what came of it. Times are of `performance.now()`. */
export type Deed = {
  readonly kind: 'command' | 'click';
  readonly text: string;
  readonly isOrder: boolean;
  readonly sentAtMs: number;
  /** How long Slack waited for the acknowledgement; undefined while there is none. */
  acknowledgedAfterMs: number | undefined;
  answeredAtMs: number | undefined;
  /** What who did it was answered; more than one is one too many. */
  readonly answers: string[];
};

/** Who did what where. Each command is typed in a channel of its own, so that an answer is known to be its answer. */
export type Ledger = {
  /** Writes down what is done in a channel now. */
  readonly begin: (channel: string, deed: Pick<Deed, 'kind' | 'text' | 'isOrder'>) => Deed;
  readonly deeds: () => readonly Deed[];
  readonly hasAnswer: (channel: string) => boolean;
  readonly openCount: () => number;
};

/** Follows a workspace from now on. Channels are named by their ids. */
export function keepLedger(workspace: SlackWorkspace): Ledger {
  const deeds: Deed[] = [];
  const newest = new Map<string, Deed>();
  let readCount = workspace.messages().length;
  let openCount = 0;
  const note = (message: Message) => {
    const deed = message.isDeed ? undefined : newest.get(message.channel);
    if (deed === undefined) return;
    if (deed.answers.length === 0) {
      deed.answeredAtMs = performance.now();
      openCount -= 1;
    }
    deed.answers.push(message.text);
  };
  workspace.onChange(() => {
    const messages = workspace.messages();
    for (; readCount < messages.length; readCount += 1) {
      const message = messages[readCount];
      if (message !== undefined) note(message);
    }
  });
  return {
    begin: (channel, what) => {
      const blank = { acknowledgedAfterMs: undefined, answeredAtMs: undefined, answers: [] };
      const deed: Deed = { ...what, ...blank, sentAtMs: performance.now() };
      deeds.push(deed);
      newest.set(channel, deed);
      openCount += 1;
      return deed;
    },
    deeds: () => deeds,
    hasAnswer: (channel) => (newest.get(channel)?.answers.length ?? 0) > 0,
    openCount: () => openCount,
  };
}

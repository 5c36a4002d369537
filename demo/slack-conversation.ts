import { createInterface } from 'node:readline/promises';
import { setTimeout as pause } from 'node:timers/promises';
import type { Layout } from './layout.ts';
import type { Site } from './site.ts';
import { channel, staffWorkspace, type Telephone, until } from './slack-conversation-people.ts';
import { carryOutDeed, narrate, promptHelp } from './slack-workspace/prompt.ts';
import { type SlackWorkspace, startSlackWorkspace } from './slack-workspace/workspace.ts';

export type SlackConversationDeps = {
  readonly site: Site;
  readonly layout: Layout;
  readonly say: (line: string) => void;
  readonly signal: AbortSignal;
  /** True: the two of them act by themselves, once. False: whoever sits here says what they do. */
  readonly isScripted: boolean;
};

/**
 * The demo site in Slack's words: the real bot talks to a strict Slack workspace on loopback, in which ana is on call and ben approves.
 * People are added, linked and given six-digit codes exactly as in a real workspace. Returns the exit code.
 */
export async function runSlackConversation(deps: SlackConversationDeps): Promise<number> {
  const workspace = await startSlackWorkspace();
  try {
    const telephone = await staffWorkspace(deps, workspace);
    deps.say(
      'bot             in Socket Mode, in a Slack workspace on this host with ana (operator) and ben (approver)',
    );
    deps.say(
      `They are linked, ${channel} hears of everything, and ben has six-digit codes. From here on it is their conversation.`,
    );
    deps.say('');
    narrate(workspace, deps.say);
    return deps.isScripted ? await actOut(deps, workspace, telephone) : await listenToDeeds(deps, workspace, telephone);
  } finally {
    await workspace.close();
  }
}

/** A drill, its end, and a planned failover that another person has to approve. */
async function actOut(deps: SlackConversationDeps, workspace: SlackWorkspace, ben: Telephone): Promise<number> {
  const { signal } = deps;
  const does = (line: string) => {
    deps.say(`\n» ${line}`);
    return carryOutDeed(workspace, line);
  };
  const reads = (words: string) =>
    until(`"${words}" in ${channel}`, () => workspace.reads(channel).includes(words), signal);
  await does('ana: /dr status');
  await does('ana: /dr failover vm-7 --test');
  await reads('guest up after');
  await does('ana: /dr cleanup vm-7');
  await reads('The drill is over');
  await does('ana: /dr failover vm-8 --planned --reason "new power supply in the host"');
  await reads('Approve');
  await does('ben clicks [Approve]');
  await until('the dialog', () => workspace.as('ben').modal()?.includes('code') === true, signal);
  await does(`ben fills Six-digit code = ${ben.code()}`);
  ben.used();
  await reads('nothing lost');
  await does('ana: /dr audit vm-8');
  await does('ana: /dr status vm-8');
  await pause(1500, undefined, { signal });
  const answer = await deps.site.engine.ask({ kind: 'approvals' }, { signal });
  const isDone = answer.kind === 'approvals' && answer.approvals.some((approval) => approval.state === 'succeeded');
  deps.say(
    isDone
      ? '\nvm-8 runs at the target; nothing was lost, and the trail says who decided.'
      : '\nNot good: no approval succeeded.',
  );
  return isDone ? 0 : 1;
}

async function listenToDeeds(deps: SlackConversationDeps, workspace: SlackWorkspace, ben: Telephone): Promise<number> {
  const help = [...promptHelp, "ben's telephone              shows ben's next six-digit code"];
  deps.say(['Type what somebody does; Ctrl-C ends it:', ...help.map((one) => `  ${one}`), ''].join('\n'));
  const input = createInterface({ input: process.stdin });
  deps.signal.addEventListener('abort', () => input.close(), { once: true });
  for await (const line of input) {
    if (line.trim() === '') continue;
    deps.say(line.trim() === "ben's telephone" ? ben.code() : await deed(workspace, line, help));
    if (line.includes(' fills Six-digit code')) ben.used();
  }
  return 0;
}

async function deed(workspace: SlackWorkspace, line: string, help: readonly string[]): Promise<string> {
  try {
    return (await carryOutDeed(workspace, line)) ?? ['That is nothing somebody does here:', ...help].join('\n  ');
  } catch (error) {
    return `That does not work: ${error instanceof Error ? error.message : String(error)}`;
  }
}

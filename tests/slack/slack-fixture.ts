import { afterEach, expect } from 'vitest';
import { type SlackBot, type SlackOptions, startSlack } from '../../bot/slack/start-slack.ts';
import { type SlackWorkspace, startSlackWorkspace } from '../../demo/slack-workspace/workspace.ts';
import { type SlackEngine, slackEngine } from './slack-engine.ts';

export type SlackTrial = {
  readonly workspace: SlackWorkspace;
  readonly engine: SlackEngine;
  readonly bot: SlackBot;
  readonly warnings: string[];
  /** Moves the clock of Slack, of the bot and of the engine. */
  readonly pass: (ms: number) => void;
};

const opened: { close: () => Promise<void> }[] = [];

afterEach(async () => {
  for (const one of opened.splice(0).reverse()) await one.close();
});

/** A workspace with ana (asks), ben (approves), gus (a guest), eve (of another company) and #dr; the bot is in #dr. */
export async function openTrial(
  options: {
    readonly mode?: 'socket' | 'http';
    readonly scopes?: readonly string[];
    readonly allowedTenants?: readonly string[];
  } = {},
): Promise<SlackTrial> {
  // The clock stands still unless a test moves it: a busy machine makes no trigger too old.
  let atMs = Date.now();
  const nowMs = () => atMs;
  const patient = { nowMs, acknowledgeMsMax: 30_000 };
  const workspace = await startSlackWorkspace({ ...patient, ...(options.scopes && { scopes: options.scopes }) });
  opened.push(workspace);
  const engine = slackEngine(nowMs());
  for (const name of ['ana', 'ben']) engine.people.set(workspace.addUser(name).id, name);
  workspace.addUser('cleo');
  workspace.addUser('gus', 'guest');
  workspace.addUser('eve', 'external');
  workspace.addUser('robo', 'bot');
  workspace.addChannel('dr', ['ana', 'ben', 'cleo', 'gus', 'eve', 'robo', 'Lifeboat']);
  workspace.addChannel('ops', ['ana', 'ben']);
  workspace.addChannel('secret', ['ana'], 'private');
  const warnings: string[] = [];
  const log = {
    info: () => undefined,
    warn: (text: string, error?: unknown) => warnings.push(`${text} ${String(error ?? '')}`),
  };
  const allowed = options.allowedTenants === undefined ? {} : { allowedTenants: options.allowedTenants };
  const bot = await startSlack(
    {
      botToken: workspace.botToken,
      transport: transportOf(options.mode, workspace),
      apiUrl: workspace.apiUrl,
      ...allowed,
    },
    { engine, nowMs, log },
  );
  opened.push(bot);
  if (bot.port !== undefined) workspace.useHttp(`http://127.0.0.1:${bot.port}/slack/events`);
  return { workspace, engine, bot, warnings, pass: (ms) => (atMs += ms) };
}

function transportOf(mode: 'socket' | 'http' | undefined, workspace: SlackWorkspace): SlackOptions['transport'] {
  if (mode !== 'http') return { kind: 'socket', appToken: workspace.appToken };
  return { kind: 'http', signingSecret: workspace.signingSecret, host: '127.0.0.1', port: 0 };
}

/** As `expect.poll`, with the patience that a busy machine needs. */
export function eventually<Value>(read: () => Value) {
  return expect.poll(read, { timeout: 30_000, interval: 10 });
}

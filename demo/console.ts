import { connect } from 'node:net';
import { setTimeout as pause } from 'node:timers/promises';
import { OutageError } from '../domain/outage.ts';
import { writeBotConfiguration } from './configurations.ts';
import type { Layout } from './layout.ts';
import { addPerson } from './newcomer.ts';
import type { Site } from './site.ts';

type Deps = {
  readonly site: Site;
  readonly layout: Layout;
  readonly say: (line: string) => void;
  readonly signal: AbortSignal;
};

const readyLimitMs = 60_000;
/** The second person of the demo: nobody may approve their own request. */
const approver = { name: 'ben', role: 'approver' } as const;

/** Starts the bot with the web console and waits until it takes connections. Returns its address. */
export async function startConsole({ site, layout, signal }: Deps): Promise<string> {
  writeBotConfiguration(layout, site.ports);
  site.startBot();
  const deadline = performance.now() + readyLimitMs;
  while (!(await takesConnections(site.ports.console))) {
    if (performance.now() > deadline) {
      throw new OutageError('the web console did not start within a minute', {
        retryable: false,
        nextStep: `The bot's log says why: ${layout.logs}/bot.log`,
      });
    }
    await pause(100, undefined, { signal });
  }
  return `https://127.0.0.1:${site.ports.console}`;
}

/** Two links, each good once: for the administrator, and for ben, who approves what the administrator asks for. */
export async function sayLinks(deps: Deps, url: string): Promise<void> {
  const { site, say, signal } = deps;
  const answer = await site.engine.ask({ kind: 'signInLink', body: {} }, { signal });
  if (answer.kind !== 'signInLink')
    throw new OutageError('the engine made no link to the console', { retryable: true });
  const code = await addPerson(deps, approver);
  say('');
  say(
    'Open it in a browser. Each link works once; `console` makes another. The certificate is this machine’s own: the browser asks.',
  );
  say(`  as admin             ${url}/sign-in#${answer.link.code}`);
  say(`  as ben, who approves ${url}/sign-in#${code}`);
  say('');
}

function takesConnections(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect({ host: '127.0.0.1', port });
    const end = (isOpen: boolean) => {
      socket.destroy();
      resolve(isOpen);
    };
    socket.once('connect', () => end(true));
    socket.once('error', () => end(false));
  });
}

import { inspect } from 'node:util';
import { expect, it } from 'vitest';
import { createAnswerer } from '../../../bot/slack/answers.ts';
import { openSlackClients } from '../../../bot/slack/slack-clients.ts';

it('an answer that nobody got is said to be lost, and its text is not: it may hold a one-time code', async () => {
  const said: unknown[] = [];
  const quiet = () => undefined;
  const logger = { debug: quiet, info: quiet, warn: quiet, error: quiet, setLevel: quiet, setName: quiet };
  // Nobody listens there.
  const clients = openSlackClients('xoxb-none', 'http://127.0.0.1:1/', { ...logger, getLevel: () => 'error' as never });
  const lost = async () => {
    throw new Error('there is no such channel');
  };
  const answerer = createAnswerer(
    { user: 'U1', spot: undefined, publicThreadTs: undefined, responseUrl: 'http://127.0.0.1:1/respond' },
    { clients, channelOf: lost, nowMs: () => 0, warn: (...words) => void said.push(words) },
  );
  const code = '7K3M-9Q2W-XA4T';
  await answerer.toAsker({ text: `Type it in a terminal: dr link ${code}`, blocks: [] });
  const log = inspect(said, { depth: 10 });
  expect(log).toContain('could not be delivered');
  expect(log).toContain('there is no such channel');
  expect(log).not.toContain(code);
});

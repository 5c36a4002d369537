import { createInterface } from 'node:readline/promises';
import type { Message } from './conversations.ts';
import type { Dialog, Outcome } from './people.ts';
import { startTeam, type Team, textOfMessage } from './team.ts';

const help = `
  ana: status vm-7                       ana writes to the bot in her private chat
  ana #dr: @DR status                    ana writes into the channel dr
  ana clicks 3 Approve                   ana presses a button of message 3
  ana looks at 3                         ana opens message 3: her own view of it, if there is one
  ana fills Six-digit code=123456; Reason=seen    ana sends the dialog that is open
  quit
`;

/** A team on this machine's loopback, with whoever you name in it, to try the bot without Microsoft. Ends with `quit`. */
export async function runTeamsFake(options: { readonly port: number; readonly botPort: number }): Promise<void> {
  const team = await startTeam({ port: options.port });
  team.connect(`http://127.0.0.1:${options.botPort}/api/messages`);
  const { channel } = team;
  channel('dr');
  console.log(`Teams on the loopback listens at ${team.connector.url}. Put this into the bot's configuration:\n`);
  console.log(JSON.stringify({ teams: configurationOf(team, options.botPort) }, null, 2));
  console.log(`\nStart the bot with LIFEBOAT_TEAMS_SECRET=${team.connector.secret}. Then type:\n${help}`);
  const shown = showNew(team);
  const typed = createInterface({ input: process.stdin, output: process.stdout, prompt: '' });
  const state: State = { team, dialog: undefined };
  for await (const line of typed) {
    if (line.trim() === 'quit') break;
    await obey(line.trim(), state).catch((error: unknown) =>
      console.log(`  ! ${error instanceof Error ? error.message : error}`),
    );
  }
  clearInterval(shown);
  await team.close();
}

type State = { readonly team: Team; dialog: Dialog | undefined };

function configurationOf({ connector, settings }: Team, botPort: number): object {
  const { tokenIssuer, openIdMetadataUrl, tokenUrl, tokenScope } = settings.cloud;
  return {
    appId: connector.appId,
    tenantId: connector.tenantId,
    secret: 'env:LIFEBOAT_TEAMS_SECRET',
    port: botPort,
    serviceUrls: settings.serviceUrls,
    cloud: { tokenIssuer, openIdMetadataUrl, tokenUrl: tokenUrl('{tenant}'), tokenScope },
  };
}

function showNew({ connector }: Team): NodeJS.Timeout {
  let count = 0;
  const states = new Map<Message, number>();
  return setInterval(() => {
    for (const [index, message] of connector.conversations.all.entries()) {
      if (index < count && states.get(message) === message.editCount) continue;
      const edited = message.editCount > 0 ? ', edited' : '';
      if (message.by === 'bot')
        console.log(`\n[${index + 1}, ${message.place.name}${edited}] ${textOfMessage(message)}`);
      states.set(message, message.editCount);
    }
    count = connector.conversations.all.length;
  }, 200);
}

async function obey(line: string, state: State): Promise<void> {
  const { team } = state;
  const [, name = '', room, said] = /^([a-z0-9-]+)(?:\s+#([a-z0-9-]+))?:\s*(.*)$/.exec(line) ?? [];
  const [, clicker = '', number, button] = /^([a-z0-9-]+) clicks (\d+) (.+)$/.exec(line) ?? [];
  const [, looker = '', seen] = /^([a-z0-9-]+) looks at (\d+)$/.exec(line) ?? [];
  const [, filler = '', answers] = /^([a-z0-9-]+) fills (.+)$/.exec(line) ?? [];
  const message = team.connector.conversations.all[Number(number ?? seen) - 1];
  if (said !== undefined) {
    const status = await team.as(name).says(said, room === undefined ? undefined : team.channel(room));
    if (status >= 300) console.log(`  the bot answered HTTP ${status}`);
  } else if (button !== undefined && message !== undefined) {
    const client = team.as(clicker);
    const own = await client.looksAt(message);
    const hasOwn = own.kind === 'own-view' && own.text.includes(`[${button}]`);
    show(await client.clicks(hasOwn ? own : message, button, message), state);
  } else if (seen !== undefined && message !== undefined) {
    show(await team.as(looker).looksAt(message), state);
  } else if (answers !== undefined && state.dialog !== undefined) {
    const filled = answers.split(/;\s*/).map((one) => one.split(/=(.*)/s).slice(0, 2));
    show(await team.as(filler).fillsIn(state.dialog, Object.fromEntries(filled)), state);
  } else if (line !== '') {
    console.log(help);
  }
}

function show(outcome: Outcome, state: State): void {
  state.dialog = outcome.kind === 'dialog' ? outcome.dialog : undefined;
  const text = 'text' in outcome ? outcome.text.replaceAll('\n', '\n    ') : '';
  console.log(`  (${outcome.kind}, seen only by who clicked) ${text}`);
}

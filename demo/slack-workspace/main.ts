import { createInterface } from 'node:readline/promises';
import { carryOutDeed, narrate, promptHelp } from './prompt.ts';
import { startSlackWorkspace } from './workspace.ts';

/**
 * Runs a Slack workspace on this host until its input ends, to try a bot's configuration without Slack.
 * It has ana, ben, gus (a guest) and #dr. Nothing is kept when it ends.
 */
export async function runSlackFake(port: number): Promise<void> {
  const workspace = await startSlackWorkspace({ port });
  for (const name of ['ana', 'ben']) workspace.addUser(name);
  workspace.addUser('gus', 'guest');
  workspace.addChannel('dr', ['ana', 'ben', 'gus', 'Lifeboat']);
  console.log(`apiUrl          ${workspace.apiUrl}`);
  console.log(`botToken        ${workspace.botToken}`);
  console.log(`appToken        ${workspace.appToken}`);
  console.log(`signingSecret   ${workspace.signingSecret}`);
  console.log(['', 'Type what somebody does:', ...promptHelp.map((one) => `  ${one}`), ''].join('\n'));
  narrate(workspace, (text) => console.log(text));
  for await (const line of createInterface({ input: process.stdin })) {
    if (line.trim() === '') continue;
    try {
      const answer = await carryOutDeed(workspace, line);
      const said = answer ?? ['That is nothing somebody does here:', ...promptHelp].join('\n  ');
      if (said !== '') console.log(said);
    } catch (error) {
      console.log(`That does not work: ${error instanceof Error ? error.message : String(error)}`);
    }
  }
  await workspace.close();
}

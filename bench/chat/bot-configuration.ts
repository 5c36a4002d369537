import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { writeJson } from '../../demo/configurations.ts';
import type { SlackWorkspace } from '../../demo/slack-workspace/workspace.ts';

/** Writes what `lifeboat bot --config` needs to speak in this workspace, as docs/operations has an administrator do it. */
export function writeBotConfiguration(
  file: string,
  bot: { readonly connectionFile: string; readonly stateFolder: string; readonly workspace: SlackWorkspace },
): void {
  const { connectionFile, stateFolder, workspace } = bot;
  const secretFile = (name: string, secret: string) => {
    const path = join(stateFolder, name);
    writeFileSync(path, secret, { mode: 0o600 });
    return `file:${path}`;
  };
  writeJson(file, {
    connectionFile,
    stateFolder,
    slack: {
      mode: 'socket',
      apiUrl: workspace.apiUrl,
      botToken: secretFile('bot-token', workspace.botToken),
      appToken: secretFile('app-token', workspace.appToken),
    },
  });
}

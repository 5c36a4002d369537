import type { SlackWorkspace } from './workspace.ts';

/** Says each message when it comes and when it is edited, and each dialog when it opens or changes. */
export function narrate(workspace: SlackWorkspace, say: (text: string) => void): void {
  const told = new Map<string, number>();
  const dialogs = new Map<string, string>();
  workspace.onChange(() => {
    for (const message of workspace.messages()) {
      if (told.get(message.ts) === message.editCount) continue;
      say(`${workspace.tell(message)}${told.has(message.ts) ? '\n  (edited)' : ''}`);
      told.set(message.ts, message.editCount);
    }
    for (const name of workspace.people()) {
      const dialog = workspace.as(name).modal() ?? '';
      if (dialog !== '' && dialog !== dialogs.get(name)) say(`${name} has before them:\n${indented(dialog)}`);
      dialogs.set(name, dialog);
    }
  });
}

function indented(text: string): string {
  return text.replaceAll(/^/gm, '  | ');
}

export const promptHelp = [
  'ana: /dr status              ana types it in #dr',
  'ana in direct: /dr status    in a direct message',
  'ben clicks [Approve]         the newest such button in #dr (or: … at home, … in direct)',
  'ben fills Six-digit code = 123456; Reason = power work',
  'ben closes                   the dialog',
  'ben opens home               the home tab, shown as text',
] as const;

/** Does what a line says that somebody does, in the words of a transcript; undefined when it is none of them. */
export async function carryOutDeed(workspace: SlackWorkspace, line: string): Promise<string | undefined> {
  const [, name = '', deed = ''] =
    /^(\w+)(: .*| (?:in direct:|clicks|fills|closes|opens home).*)$/.exec(line.trim()) ?? [];
  if (!workspace.people().includes(name)) return undefined;
  const person = workspace.as(name);
  const [, button, where] = /^ clicks \[(.+)\]( at home| in direct)?$/.exec(deed) ?? [];
  if (button !== undefined) {
    await person.clicks(where === undefined ? '#dr' : where === ' at home' ? 'home' : '@Lifeboat', button);
    return '';
  }
  if (deed.startsWith(' fills ')) {
    const pairs = deed.slice(' fills '.length).split(';');
    await person.fillsIn(Object.fromEntries(pairs.map((pair) => pair.split('=').map((part) => part.trim()))));
    return '';
  }
  if (deed === ' closes') {
    person.closesModal();
    return '';
  }
  if (deed === ' opens home') {
    await person.opensHome();
    await workspace.until('the home tab', () => person.home() !== '');
    return person.home();
  }
  const isDirect = deed.startsWith(' in direct:');
  await person.types(isDirect ? '@Lifeboat' : '#dr', deed.slice(isDirect ? ' in direct: '.length : 2));
  return '';
}

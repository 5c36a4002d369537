import { textOfBlocks } from '../../bot/slack/block-text.ts';
import type { Channel, Message, OpenView, World } from './world.ts';

/**
 * A channel as text, as one person sees it: threads below what they belong to, edits in place.
 *
 * @param viewer undefined: only what everybody in the channel sees
 */
export function readChannel(channel: Channel, viewer: string | undefined, world: World): string {
  const visible = world.messages.filter(
    (message) => message.channel === channel.id && (message.visibleTo === undefined || message.visibleTo === viewer),
  );
  const roots = visible.filter((message) => message.threadTs === undefined);
  const orphans = visible.filter((message) => message.threadTs !== undefined && !roots.some(isParentOf(message)));
  return [...roots, ...orphans]
    .sort((a, b) => a.ts.localeCompare(b.ts))
    .flatMap((root) => [
      ...linesOf(root, world, ''),
      ...visible
        .filter((reply) => reply !== root && reply.threadTs === root.ts)
        .flatMap((reply) => linesOf(reply, world, '  ↳ ')),
    ])
    .join('\n');
}

function isParentOf(message: Message) {
  return (root: Message) => root.ts === message.threadTs;
}

/** Everything that happened, in the order in which it began; edits in place. */
export function readStory(world: World): string {
  return world.messages.map((message) => tellMessage(message, world)).join('\n');
}

/** One message with its channel before it. */
export function tellMessage(message: Message, world: World): string {
  const channel = world.channels.get(message.channel);
  const place = channel?.kind === 'im' ? channel.name : `#${channel?.name}`;
  return linesOf(message, world, message.threadTs === undefined ? `${place} ` : `${place} ↳ `).join('\n');
}

function linesOf(message: Message, world: World, indent: string): string[] {
  const name = world.users.get(message.user)?.name ?? message.user;
  const only =
    message.visibleTo === undefined || message.isDeed ? '' : ` (only ${nameOf(message.visibleTo, world)} sees)`;
  const also = message.isBroadcast ? ' (also to the channel)' : '';
  const lines = textOfMessage(message, world);
  const head = `${indent}${name}${only}${also}: ${lines[0] ?? ''}`.trimEnd();
  const margin = ' '.repeat(indent.length + 2);
  return [head, ...lines.slice(1).map((line) => `${margin}${line}`)];
}

/** What is read in a message: its blocks; its text only when it has none. Mentions are read as names. */
export function textOfMessage(message: Message, world: World): string[] {
  if (message.file !== undefined) return [`[file ${message.file.name}: ${message.file.altText}]`];
  const lines =
    message.blocks.length > 0 ? textOfBlocks(message.blocks) : [message.text.replace(/&(lt|gt|amp);/g, unescaped)];
  return lines.map((line) => line.replace(/<@([UW][A-Z0-9]+)>/g, (_, id: string) => `@${nameOf(id, world)}`));
}

function unescaped(entity: string): string {
  return entity === '&lt;' ? '<' : entity === '&gt;' ? '>' : '&';
}

function nameOf(id: string, world: World): string {
  return world.users.get(id)?.name ?? id;
}

/** A modal or a home tab as text. */
export function readView({ view }: OpenView): string {
  if (view.type === 'home') return textOfBlocks(view.blocks).join('\n');
  const buttons = [view.close?.text, view.submit?.text]
    .filter((label) => label !== undefined)
    .map((label) => `[${label}]`);
  return [`== ${view.title.text} ==`, ...textOfBlocks(view.blocks), buttons.join(' ')].join('\n');
}

import { type InboundActivity, mentionEntity } from './activity.ts';

type Mention = { readonly text: string; readonly userId: string; readonly name: string };

/** True when somebody turned to the bot: in a private chat always, elsewhere by its name. */
export function isAddressed(activity: InboundActivity): boolean {
  if (activity.conversation.conversationType === 'personal') return true;
  return mentionsIn(activity).some(({ userId }) => userId === activity.recipient.id);
}

/**
 * The command in a message: without the bot's own mention, other people's mentions as `<@id|name>`, which the reader of commands
 * knows from every platform. Quotation marks, dashes and `&lt;` are straightened there, once for all platforms.
 *
 * @param userOf the Entra object id of a mentioned person; undefined for someone unknown, who stays a mere word
 */
export async function lineOfMessage(
  activity: InboundActivity,
  userOf: (userId: string) => Promise<string | undefined>,
): Promise<string> {
  let text = activity.text ?? '';
  for (const mention of mentionsIn(activity).slice(0, mentionCountMax)) {
    const isBot = mention.userId === activity.recipient.id;
    const user = isBot || !text.includes(mention.text) ? undefined : await userOf(mention.userId);
    const name = mention.name.replace(/[<>|]/g, '');
    const meant = isBot ? ' ' : user === undefined ? `@${name}` : `<@${user}|${name}>`;
    text = text.replaceAll(mention.text, () => meant);
  }
  return decodeHtml(text.replace(/<\/?at[^>]*>/g, '')).trim();
}

const mentionCountMax = 20;

function mentionsIn(activity: InboundActivity): Mention[] {
  return (activity.entities ?? []).flatMap((entity) => {
    const parsed = mentionEntity.safeParse(entity);
    if (!parsed.success || parsed.data.text === '') return [];
    const { text, mentioned } = parsed.data;
    return [{ text, userId: mentioned.id, name: mentioned.name ?? '' }];
  });
}

/** What Teams writes for spaces, lines and quotation marks; `&lt;`, `&gt;` and `&amp;` are left to the reader of commands. */
function decodeHtml(text: string): string {
  return text
    .replace(/<br\s*\/?>|&nbsp;|&#160;/gi, ' ')
    .replace(/&quot;|&#34;/g, '"')
    .replace(/&#39;|&apos;/g, "'");
}

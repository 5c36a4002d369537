/**
 * One word of a command as the person meant it.
 *
 * `isLiteral`: it stood in quotation marks, or began with a reference, and is therefore never a flag.
 * `reference`: the whole word names a person, a channel or a group of the chat platform.
 */
export type Word = { readonly text: string; readonly isLiteral: boolean; readonly reference?: Reference };
export type Reference = { readonly kind: 'person' | 'channel' | 'group'; readonly id: string };

/** Words, or the reason why the text cannot be read without guessing. */
export type ReadText =
  | { readonly kind: 'words'; readonly words: readonly Word[] }
  | { readonly kind: 'refused'; readonly message: string };

type Refused = Extract<ReadText, { kind: 'refused' }>;
type Piece = { readonly kind: 'piece'; readonly text: string; readonly end: number; readonly reference?: Reference };
type ScannedWord = { readonly kind: 'word'; readonly word: Word; readonly end: number };

const textLengthMax = 4000;
const wordCountMax = 64;

// Zero-width characters, soft hyphens and marks of text direction: invisible, and they arrive with every copy and paste.
const invisible = /[\u00ad\u061c\u180e\u200b-\u200f\u202a-\u202e\u2060-\u206f\ufeff]/g;
const control = /\p{Cc}/u;
const doubleMarks = /[“”„‟«»]/g;
const singleMarks = /[‘’‚‛‹›]/g;
/** `<@U1|ana>`, `<#C1|dr>`, `<!subteam^S1|@oncall>`, `<!here>`, `<mailto:a@b|a@b>`, `<http://web01.corp|web01.corp>`. */
const referencePattern = /<([@#!]|mailto:|tel:|https?:\/\/)([^<>|\s]*)(?:\|([^<>]*))?>/y;

/**
 * Reads what a person typed, pasted or dictated into a chat or a terminal as words.
 *
 * Platforms and phones change text on its way: dashes grow together, quotation marks curl, spaces stop breaking,
 * host names become links. All of that is undone here, once. What could be read in two ways is refused. Source: CHAT 2.5
 */
export function readWords(raw: string): ReadText {
  if (raw.length > textLengthMax) return refused(`The command is longer than ${textLengthMax} characters.`);
  const text = withoutCodeMarks(straighten(raw));
  if (control.test(text)) return refused('The command has control characters in it; please type it again.');
  const words: Word[] = [];
  let position = 0;
  while (position < text.length) {
    if (text[position] === ' ') {
      position += 1;
      continue;
    }
    const scanned = scanWord(text, position);
    if (scanned.kind === 'refused') return scanned;
    words.push(scanned.word);
    position = scanned.end;
    if (words.length > wordCountMax) return refused(`The command has more than ${wordCountMax} words.`);
  }
  return { kind: 'words', words };
}

/** Words that a shell has separated already; nothing is unquoted or decoded a second time. */
export function wordsOfArguments(programArguments: readonly string[]): ReadText {
  const texts = programArguments.map(straighten);
  if (texts.some((text) => text.length > textLengthMax) || texts.length > wordCountMax) {
    return refused('The command is too long.');
  }
  if (texts.some((text) => control.test(text))) return refused('The command has control characters in it.');
  return { kind: 'words', words: texts.map(wordOfArgument) };
}

function wordOfArgument(text: string): Word {
  const isLiteral = text.includes(' ') && !/^--[A-Za-z-]+=/.test(text);
  return { text: isLiteral ? text : withPlainDashes(text), isLiteral };
}

function straighten(raw: string): string {
  return raw.replace(invisible, '').replace(/\s/g, ' ').replace(doubleMarks, '"').replace(singleMarks, "'").trim();
}

/** A line copied from one of our own cards comes with the back-ticks of its code block. */
function withoutCodeMarks(text: string): string {
  const match = /^(`{1,3})([^`]*)\1$/.exec(text);
  return match?.[2] === undefined ? text : match[2].trim();
}

function scanWord(text: string, start: number): ScannedWord | Refused {
  if (isMark(text[start])) {
    const quoted = scanQuoted(text, start);
    if (quoted.kind === 'refused') return quoted;
    return { kind: 'word', word: { text: decodeEntities(quoted.text), isLiteral: true }, end: quoted.end };
  }
  let collected = '';
  let position = start;
  let reference: Reference | undefined;
  while (position < text.length && text[position] !== ' ') {
    const piece = scanPiece(text, position, collected);
    if (piece.kind === 'refused') return piece;
    if (position === start && isEnd(text, piece.end)) reference = piece.reference;
    collected += piece.text;
    position = piece.end;
  }
  const isLiteral = text[start] === '<' && collected[0] !== '<';
  const decoded = decodeEntities(isLiteral ? collected : withPlainDashes(collected));
  return { kind: 'word', word: { text: decoded, isLiteral, ...(reference && { reference }) }, end: position };
}

/** The next piece of an unquoted word: a reference, a quoted flag value, or one character. */
function scanPiece(text: string, position: number, before: string): Piece | Refused {
  const character = text.charAt(position);
  if (character === '<') return scanReference(text, position);
  const opensValue = isMark(character) && before.endsWith('=') && /^[-–—―−]/.test(before);
  if (opensValue) return scanQuoted(text, position);
  if (character === '"') {
    return refused(
      `A quotation mark stands in the middle of \`${before}"…\`. Put the marks around the whole text, like --reason "power work".`,
    );
  }
  return { kind: 'piece', text: character, end: position + 1 };
}

function scanQuoted(text: string, start: number): Piece | Refused {
  const mark = text.charAt(start);
  let collected = '';
  let position = start + 1;
  while (position < text.length) {
    const character = text.charAt(position);
    const isClosing = character === mark && (mark === '"' || isEnd(text, position + 1));
    if (isClosing && !isEnd(text, position + 1)) {
      return refused(`After the quotation mark that closes "${collected}" a space is missing.`);
    }
    if (isClosing) return { kind: 'piece', text: collected.trim(), end: position + 1 };
    const piece: Piece | Refused =
      character === '<' ? scanReference(text, position) : { kind: 'piece', text: character, end: position + 1 };
    if (piece.kind === 'refused') return piece;
    collected += piece.text;
    position = piece.end;
  }
  return refused(
    `A quotation mark is never closed: \`${mark}${collected.slice(0, 40).trim()}\`. Close it, or leave it out.`,
  );
}

function scanReference(text: string, position: number): Piece | Refused {
  referencePattern.lastIndex = position;
  const match = referencePattern.exec(text);
  if (match === null) return { kind: 'piece', text: '<', end: position + 1 };
  const [whole, sign = '', body = '', label] = match;
  if (sign === '!' && /^(channel|here|everyone|group)$/.test(body)) {
    return refused(`A command cannot be addressed to everyone (@${body}); leave that out.`);
  }
  const reference = referenceOf(sign, body);
  const plain = sign === '@' || sign === '#' ? `${sign}${label ?? body}` : (label ?? linkText(sign, body));
  return { kind: 'piece', text: plain, end: position + whole.length, ...(reference && { reference }) };
}

function linkText(sign: string, body: string): string {
  return sign.startsWith('http') ? `${sign}${body}` : body;
}

function referenceOf(sign: string, body: string): Reference | undefined {
  if (sign === '@') return { kind: 'person', id: body };
  if (sign === '#') return { kind: 'channel', id: body };
  if (sign === '!' && body.startsWith('subteam^')) return { kind: 'group', id: body.slice('subteam^'.length) };
  return undefined;
}

/** Turns `—test`, `–test`, `−test` and `––test` into `--test`; a dash inside or at the end of a word is left alone. */
function withPlainDashes(word: string): string {
  return word.replace(/^[-–—―−]+(?=[A-Za-z])/, (dashes) => (/^-+$/.test(dashes) ? dashes : '--'));
}

/** Once and last: a text that says `&amp;lt;` means the four characters `&lt;`. */
function decodeEntities(text: string): string {
  return text.replace(/&(lt|gt|amp);/g, (_, name: string) => (name === 'lt' ? '<' : name === 'gt' ? '>' : '&'));
}

function isMark(character: string | undefined): boolean {
  return character === '"' || character === "'";
}

function isEnd(text: string, position: number): boolean {
  return position >= text.length || text[position] === ' ';
}

function refused(message: string): Refused {
  return { kind: 'refused', message };
}

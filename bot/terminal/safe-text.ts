// Everything that makes a terminal do something other than print: C0, DEL, C1 (ESC included), marks that turn the direction
// of text round, line separators, and code points without a meaning.
const dangerous = /[\p{Cc}\u061c\u200e\u200f\u2028-\u202e\u2066-\u206f\ufeff\p{Cs}\p{Co}\p{Cn}]/gu;

/**
 * A text from outside as one line that cannot move the cursor, change colours, forge a line of ours, or hide anything.
 *
 * What was there is shown as `�`, so that an attempt is seen. Tabs and line breaks become spaces.
 */
export function safeText(text: string): string {
  return text.replace(/[\t\r\n]+/g, ' ').replace(dangerous, '\ufffd');
}

const unbroken =
  /`[^`]*`[^\s`]*|[^\s`]*\d (?:ms|s|min|h|d|%|[KMGT]?i?B(?:\/s)?)(?![A-Za-z0-9])[^\s`]*|[^\s`]+(?:`[^`]*`[^\s`]*)?|`/g;
const wide =
  /[\u1100-\u115f\u2e80-\u303e\u3041-\ua4cf\uac00-\ud7a3\uf900-\ufaff\ufe30-\ufe6f\uff00-\uff60\uffe0-\uffe6\u{20000}-\u{3fffd}]|\p{Emoji_Presentation}/u;

let segmenter: Intl.Segmenter | undefined;

/** The segmenter is made when it is first needed: in a browser that takes a tenth of a second, and hardly any text of the page needs it. */
function graphemesOf(text: string): Iterable<Intl.SegmentData> {
  segmenter ??= new Intl.Segmenter('en', { granularity: 'grapheme' });
  return segmenter.segment(text);
}

/** How many columns a harmless text takes up: wide characters two, marks on other characters none. */
export function displayWidth(text: string): number {
  if (/^[\x20-\x7e]*$/.test(text)) return text.length;
  let width = 0;
  for (const { segment } of graphemesOf(text)) width += graphemeWidth(segment);
  return width;
}

function graphemeWidth(grapheme: string): number {
  if (/^\p{M}+$/u.test(grapheme)) return 0;
  return wide.test(grapheme) || grapheme.includes('\ufe0f') ? 2 : 1;
}

/** The text with spaces behind it, up to that many columns. */
export function padTo(text: string, width: number): string {
  return text + ' '.repeat(Math.max(0, width - displayWidth(text)));
}

/**
 * Breaks a text into lines of at most `width` columns: between words, and inside a word only when it is longer than a line.
 * Words between back-ticks stay together when they fit, because they are there to be copied; so do a number and its unit.
 */
export function wrapText(text: string, width: number): string[] {
  const lines: string[] = [];
  let line = '';
  for (const word of text.match(unbroken) ?? []) {
    const candidate = line === '' ? word : `${line} ${word}`;
    if (displayWidth(candidate) <= width) {
      line = candidate;
      continue;
    }
    if (line !== '') lines.push(line);
    const pieces = displayWidth(word) <= width ? [word] : breakLong(word, width);
    lines.push(...pieces.slice(0, -1));
    line = pieces.at(-1) ?? '';
  }
  return line === '' && lines.length > 0 ? lines : [...lines, line];
}

function breakLong(word: string, width: number): string[] {
  if (word.startsWith('`') && word.includes(' ')) return wrapText(word.replaceAll('`', ''), width);
  const pieces: string[] = [''];
  let lineWidth = 0;
  for (const { segment } of graphemesOf(word)) {
    const last = pieces.at(-1) ?? '';
    const segmentWidth = graphemeWidth(segment);
    const isFull = last !== '' && lineWidth + segmentWidth > width;
    if (isFull) pieces.push(segment);
    else pieces[pieces.length - 1] = last + segment;
    lineWidth = (isFull ? 0 : lineWidth) + segmentWidth;
  }
  return pieces;
}

import fc from 'fast-check';

/** What hurts readers and renderers of text: marks, dashes, invisible characters, markup, controls, other scripts. */
const nasty = [...'"\'`“”‘’«»—–−-=<>&;|*_~[](){}@#!:/\\ \t\r\n\0\u001b\u0085\u00a0\u200b\u202e\u2028\ufeff障é́🚒'];
const character = fc.oneof(
  { weight: 4, arbitrary: fc.constantFrom(...'abcxyzABC0129 ') },
  { weight: 3, arbitrary: fc.constantFrom(...nasty) },
  { weight: 1, arbitrary: fc.integer({ min: 0, max: 0x10ffff }).map((code) => String.fromCodePoint(code)) },
);

/** Any text at all, lone surrogates included. (fast-check's own unit `binary` first builds a table for two seconds.) */
export function anyText(lengthMax: number): fc.Arbitrary<string> {
  return fc.array(character, { maxLength: lengthMax }).map((characters) => characters.join('').slice(0, lengthMax));
}

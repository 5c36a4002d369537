import { encode } from 'uqr';
import { describe, expect, test } from 'vitest';
import { authenticatorCard } from '../../../bot/conversation/people-cards.ts';
import { qrLines } from '../../../bot/terminal/qr-lines.ts';
import { type RenderOptions, renderCard } from '../../../bot/terminal/render-card.ts';
import { displayWidth } from '../../../bot/terminal/safe-text.ts';

const secret = 'JBSWY3DPEHPK3PXPJBSWY3DPEHPK3PXP';
const uri = `otpauth://totp/Lifeboat:ana?issuer=Lifeboat&secret=${secret}&algorithm=SHA1&digits=6&period=30`;
const card = authenticatorCard({ kind: 'secret', uri, secret });
const drawn = (options: Partial<RenderOptions>) =>
  renderCard(card, { widthColumns: 80, isColored: false, commandPrefix: 'dr ', ...options });

/** The modules that the half blocks stand for, as a camera sees them. */
function modulesOf(lines: readonly string[], isColored: boolean): boolean[][] {
  const inked = { '█': [true, true], '▀': [true, false], '▄': [false, true], ' ': [false, false] } as const;
  const halves = (line: string, half: 0 | 1) =>
    [...line.slice(2)].map((block) => inked[block as keyof typeof inked][half] === isColored);
  return lines.flatMap((line) => [halves(line, 0), halves(line, 1)]);
}

const escapes = new RegExp(`${String.fromCharCode(27)}\\[[\\d;]*m`, 'g');

describe('a link for an authenticator app', () => {
  test.each([true, false])('is drawn module by module, with colours: %s', (isColored) => {
    const { data, size } = encode(uri, { ecc: 'L', border: 2 });
    const lines = (qrLines(uri, { width: 80, isColored }) ?? []).map((line) => line.replaceAll(escapes, ''));
    expect(modulesOf(lines, isColored).slice(0, size)).toEqual(data);
    expect(lines.every((line) => displayWidth(line) <= 80)).toBe(true);
  });

  test('is a code to scan on a terminal, and the link in a log, a pipe or a narrow window', () => {
    expect(drawn({ isTerminal: true })).toContain('▀');
    expect(drawn({ isTerminal: true })).toContain(secret);
    for (const options of [{}, { isTerminal: false }, { isTerminal: true, widthColumns: 40 }]) {
      const text = drawn(options);
      expect(text).not.toContain('▀');
      expect(text.replaceAll(/\s+/g, '')).toContain(uri);
    }
  });

  test('is whole in a window of 24 lines, above the prompt', () => {
    expect(qrLines(uri, { width: 80, isColored: true })?.length).toBeLessThanOrEqual(23);
    expect(drawn({ isTerminal: true }).split('\n').at(-1)).toMatch(/^ +█+$/);
  });
});

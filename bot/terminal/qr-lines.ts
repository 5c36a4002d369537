import { qrCodeOf } from '../qr-code.ts';

const blackOnWhite = '\u001b[30;107m';
const asBefore = '\u001b[0m';

/**
 * A text as a QR code of half blocks, two rows of it in a line; undefined when the terminal is too narrow for it.
 *
 * With colours it is black on white, whatever the terminal's are. Without, its light parts are drawn, as on a dark terminal.
 */
export function qrLines(
  text: string,
  view: { readonly width: number; readonly isColored: boolean },
): string[] | undefined {
  const { size, rows } = qrCodeOf(text, 2);
  if (size + 2 > view.width) return undefined;
  const pairs = Array.from(
    { length: Math.ceil(size / 2) },
    (_, index) => [rows[2 * index], rows[2 * index + 1]] as const,
  );
  return pairs.map(([upper = [], lower]) => {
    const blocks = upper.map((isDark, index) =>
      blockOf(isDark === view.isColored, (lower?.[index] ?? false) === view.isColored),
    );
    return `  ${view.isColored ? `${blackOnWhite}${blocks.join('')}${asBefore}` : blocks.join('')}`;
  });
}

function blockOf(isUpper: boolean, isLower: boolean): string {
  if (isUpper) return isLower ? '█' : '▀';
  return isLower ? '▄' : ' ';
}

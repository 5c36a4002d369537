import { Resvg } from '@resvg/resvg-js';
import { shorten } from '../card.ts';
import type { AdaptiveCard } from './activity.ts';
import { harmless, harmlessWords, line } from './card-elements.ts';
import { teamsLimits } from './settings.ts';

const widthsPixels = [1024, 800, 640, 480, 360, 240] as const;

/**
 * A picture as a card of its own, with the picture's bytes in it.
 *
 * Teams takes no file from a bot without asking the person each time, and only in private chats; a link would need a public server.
 * So the picture travels inside the card, made smaller until it fits. One that never fits is told in words.
 */
export function pictureCard(png: Buffer, altText: string): AdaptiveCard {
  for (const bytes of sizesOf(png)) {
    const card = cardWith(bytes, altText);
    if (Buffer.byteLength(JSON.stringify(card)) <= teamsLimits.cardBytes) return card;
  }
  const words = `Picture: ${altText}. It is too large for Teams; open it in the terminal or on the engine's host.`;
  return cardOf(line(words, { isSubtle: true }), altText);
}

function* sizesOf(png: Buffer): Generator<Buffer> {
  const size = sizeOf(png);
  if (size === undefined) return;
  if (size.width <= widthsPixels[0] && size.height <= widthsPixels[0]) yield png;
  for (const width of widthsPixels) if (width < size.width) yield scaled(png, size, width);
}

/** Width and height stand at the same place in every PNG; undefined for anything else. */
function sizeOf(png: Buffer): { readonly width: number; readonly height: number } | undefined {
  const isPng = png.length > 33 && png.readUInt32BE(0) === 0x89504e47 && png.toString('latin1', 12, 16) === 'IHDR';
  if (!isPng) return undefined;
  const size = { width: png.readUInt32BE(16), height: png.readUInt32BE(20) };
  return size.width > 0 && size.height > 0 && size.width * size.height <= 40_000_000 ? size : undefined;
}

function scaled(png: Buffer, size: { readonly width: number; readonly height: number }, width: number): Buffer {
  const box = `width="${size.width}" height="${size.height}"`;
  const href = `data:image/png;base64,${png.toString('base64')}`;
  const svg = `<svg xmlns="http://www.w3.org/2000/svg" ${box}><image ${box} href="${href}"/></svg>`;
  const height = (size.height * width) / size.width;
  const fit =
    height > widthsPixels[0]
      ? { mode: 'height' as const, value: widthsPixels[0] }
      : { mode: 'width' as const, value: width };
  return new Resvg(svg, { fitTo: fit, font: { loadSystemFonts: false } }).render().asPng();
}

function cardWith(png: Buffer, altText: string): AdaptiveCard {
  const url = `data:image/png;base64,${png.toString('base64')}`;
  const words = shorten(harmless(altText), 300);
  const picture = { type: 'Image', url, altText: words, size: 'stretch', msteams: { allowExpand: true } };
  return cardOf([picture, ...line(words, { isSubtle: true, size: 'small' }, { spacing: 'small' })], altText);
}

function cardOf(body: readonly unknown[], altText: string): AdaptiveCard {
  return {
    type: 'AdaptiveCard',
    $schema: 'http://adaptivecards.io/schemas/adaptive-card.json',
    version: '1.5',
    fallbackText: shorten(harmlessWords(altText), 150),
    body,
    msteams: { width: 'Full' },
  };
}

import { Resvg } from '@resvg/resvg-js';

/** A ring buoy, our own drawing; Teams wants it in colour on a full square, and as white lines on nothing. */
const ring = (color: string, width: number) =>
  `<circle cx="96" cy="96" r="52" fill="none" stroke="${color}" stroke-width="${width}"/>`;
const bands = (color: string, width: number) =>
  [45, 135, 225, 315]
    .map(
      (angle) => `<path d="M96 24v40" stroke="${color}" stroke-width="${width}" transform="rotate(${angle} 96 96)"/>`,
    )
    .join('');

const colorSvg = `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 192 192"><rect width="192" height="192" fill="#0b3d5c"/>${ring('#ffffff', 40)}${bands('#d83b2d', 30)}</svg>`;
const outlineSvg = `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 192 192"><circle cx="96" cy="96" r="84" fill="none" stroke="#fff" stroke-width="14"/><circle cx="96" cy="96" r="36" fill="none" stroke="#fff" stroke-width="14"/>${[45, 135, 225, 315].map((angle) => `<path d="M96 12v48" stroke="#fff" stroke-width="14" transform="rotate(${angle} 96 96)"/>`).join('')}</svg>`;

/** The two pictures that a Teams app brings along, as PNG: 192 x 192 in colour, 32 x 32 white on transparent. */
export function appIcons(): { readonly color: Buffer; readonly outline: Buffer } {
  return { color: png(colorSvg, 192), outline: png(outlineSvg, 32) };
}

function png(svg: string, width: number): Buffer {
  return new Resvg(svg, { fitTo: { mode: 'width', value: width }, font: { loadSystemFonts: false } }).render().asPng();
}

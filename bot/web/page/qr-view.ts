import { html, svg, type TemplateResult } from 'lit-html';
import { qrCodeOf } from '../../qr-code.ts';

/** A link as a QR code: dark on light in both themes, for cameras want it so. The link itself stands beneath. */
export function qrView(link: string, name: string): TemplateResult {
  const { size, rows } = qrCodeOf(link, 4);
  return html`<svg
    class="qr-code"
    role="img"
    aria-label=${name}
    viewBox="0 0 ${size} ${size}"
    shape-rendering="crispEdges"
    width="264"
    height="264"
  >
    ${svg`<rect width=${size} height=${size} fill="#fff" /><path d=${darkPath(rows)} fill="#000" />`}
  </svg>`;
}

/** One stroke for each run of dark modules in a row. */
function darkPath(rows: readonly (readonly boolean[])[]): string {
  return rows
    .map((row, y) => {
      const line = row.map((isDark) => (isDark ? '1' : '0')).join('');
      return [...line.matchAll(/1+/g)]
        .map(({ index, 0: run }) => `M${index} ${y}h${run.length}v1h-${run.length}z`)
        .join('');
    })
    .join('');
}

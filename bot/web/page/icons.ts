import { html, nothing, type SVGTemplateResult, svg, type TemplateResult } from 'lit-html';

/** Drawn on a field of 16 by 16; a shape of its own for every state, because a colour alone is not seen by everybody. */
const shapes = {
  good: svg`<circle cx="8" cy="8" r="6.25"/><path d="m5.2 8.2 2 2 3.8-4.2"/>`,
  working: svg`<path d="M13.8 6.5A6.2 6.2 0 0 0 2.6 5.2M2.2 9.5a6.2 6.2 0 0 0 11.2 1.3"/><path d="M2.4 2.4v3h3M13.6 13.6v-3h-3"/>`,
  warning: svg`<path d="M8 2.2 14.4 13.4H1.6Z"/><path d="M8 6.6v3M8 11.4v.2"/>`,
  bad: svg`<path d="M5.4 1.8h5.2l3.6 3.6v5.2l-3.6 3.6H5.4l-3.6-3.6V5.4Z"/><path d="M8 4.8v3.8M8 11v.2"/>`,
  unknown: svg`<circle cx="8" cy="8" r="6.25" stroke-dasharray="2.6 2"/><path d="M6.4 6.4c.2-2.2 3.4-2 3.2 0C9.5 7.4 8 7.6 8 9M8 11v.2"/>`,
  none: svg`<circle cx="8" cy="8" r="6.25"/><path d="M5.5 8h5"/>`,
  paused: svg`<circle cx="8" cy="8" r="6.25"/><path d="M6.5 5.8v4.4M9.5 5.8v4.4"/>`,
  moved: svg`<circle cx="8" cy="8" r="6.25"/><path d="M5 8h5.6M8.4 5.6 10.8 8l-2.4 2.4"/>`,
  drill: svg`<path d="M6.2 1.8h3.6M6.9 1.8v4.4L3 13a.9.9 0 0 0 .8 1.3h8.4A.9.9 0 0 0 13 13L9.1 6.2V1.8M4.8 10.2h6.4"/>`,
  site: svg`<path d="M2 14V5.2L8 2l6 3.2V14M1 14h14M6 14v-3.4h4V14M5.2 7.2h.2M8 7.2h.2M10.8 7.2h.2"/>`,
  host: svg`<rect x="2" y="2.5" width="12" height="4.6" rx="1"/><rect x="2" y="8.9" width="12" height="4.6" rx="1"/><path d="M4.4 4.8h.2M4.4 11.2h.2M8.6 4.8h3M8.6 11.2h3"/>`,
  copy: svg`<path d="M3 2v6.6a1.6 1.6 0 0 0 1.6 1.6H12M9.4 7.4l2.8 2.8-2.8 2.8"/>`,
  chevron: svg`<path d="m6 4 4 4-4 4"/>`,
  more: svg`<path d="M3.2 8h.2M7.9 8h.2M12.6 8h.2" stroke-width="2.2"/>`,
  search: svg`<circle cx="7" cy="7" r="4.6"/><path d="m10.6 10.6 3.6 3.6"/>`,
  overview: svg`<path d="M2 3.2h5M4.6 8H14M4.6 12.8H14M2 3.2v9.6h2.6M2 8h2.6M10 3.2h4"/>`,
  approvals: svg`<path d="M2.6 8.6 6 12l7.4-8"/>`,
  alerts: svg`<path d="M8 1.8c-2.8 0-4.2 2-4.2 4.4 0 3.6-1.6 4.6-1.6 5.6h11.6c0-1-1.6-2-1.6-5.6 0-2.4-1.4-4.4-4.2-4.4ZM6.4 13.8c.6.8 2.6.8 3.2 0"/>`,
  report: svg`<path d="M3.4 1.8h6l3.2 3.2v9.2H3.4ZM9.2 2v3.2h3.2M5.6 8h4.8M5.6 11h4.8"/>`,
  chat: svg`<path d="M2 3h12v8.2H7.4L4.2 14v-2.8H2Z"/>`,
  system: svg`<rect x="1.8" y="2.6" width="12.4" height="8.4" rx="1"/><path d="M5.4 13.6h5.2M8 11v2.6"/>`,
  light: svg`<circle cx="8" cy="8" r="3"/><path d="M8 1.4v1.4M8 13.2v1.4M1.4 8h1.4M13.2 8h1.4M3.3 3.3l1 1M11.7 11.7l1 1M12.7 3.3l-1 1M4.3 11.7l-1 1"/>`,
  dark: svg`<path d="M13.4 9.6A5.8 5.8 0 0 1 6.4 2.6a5.8 5.8 0 1 0 7 7Z"/>`,
  close: svg`<path d="m4 4 8 8M12 4l-8 8"/>`,
  person: svg`<circle cx="8" cy="5.2" r="2.8"/><path d="M2.6 14c.4-3 2.6-4.4 5.4-4.4s5 1.4 5.4 4.4"/>`,
  boat: svg`<path d="M1.8 9.4h12.4c-.6 2.6-2.6 4.4-6.2 4.4S2.4 12 1.8 9.4Z"/><path d="M8 9.2V1.8l4.4 5.4H8"/>`,
} as const satisfies Record<string, SVGTemplateResult>;

export type IconName = keyof typeof shapes;

/** A small drawing. Without `label` it only repeats what stands beside it, and is not read aloud. */
export function icon(name: IconName, label?: string): TemplateResult {
  return html`<svg
    class="icon icon-${name}"
    viewBox="0 0 16 16"
    aria-hidden=${label === undefined ? 'true' : nothing}
    role=${label === undefined ? nothing : 'img'}
    aria-label=${label ?? nothing}
  >${shapes[name]}</svg>`;
}

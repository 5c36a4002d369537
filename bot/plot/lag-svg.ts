import { dayMs, formatDuration, hourMs, minuteMs, secondMs } from '../../domain/units.ts';
import type { LagSeries } from '../../protocol/chat-api.ts';
import { strokeText, textWidth } from './stroke-font.ts';

const size = { width: 960, height: 520 } as const;
const area = { left: 150, right: 930, top: 110, bottom: 440 } as const;
const colors = {
  text: '#1f2328',
  faint: '#59636e',
  grid: '#d9dee3',
  line: '#0b5cad',
  fill: '#dbe9f7',
  warning: '#b35900',
  critical: '#b3261e',
} as const;
const titleHeight = 28;
const textHeight = 20;
/** Pixels of one column: narrower ones would show nothing but the teeth between two points. */
const columnWidth = 6;

/**
 * The lag of a machine over time as a picture: readable on a phone, on light ground whatever the theme.
 *
 * The curve is the worst lag in each narrow column, so that a short peak is never lost.
 */
export function lagSvg(series: LagSeries): string {
  const { thresholdMs, criticalMs = 3 * thresholdMs } = series;
  const peaks = columnPeaks(series, (area.right - area.left) / columnWidth);
  const newest = newestLag(series);
  const highest = Math.max(0, ...peaks.map((peak) => peak ?? 0));
  const isCriticalNear = highest > criticalMs / 2;
  const topMs = niceTop(Math.max(highest, thresholdMs, isCriticalNear ? criticalMs : 0) * 1.1);
  const y = (ms: number) => area.bottom - ((area.bottom - area.top) * ms) / topMs;
  const limits = [
    limitLine(y(thresholdMs), `limit ${formatDuration(thresholdMs)}`, colors.warning),
    ...(isCriticalNear ? [limitLine(y(criticalMs), `critical ${formatDuration(criticalMs)}`, colors.critical)] : []),
  ];
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" width="${size.width}" height="${size.height}" viewBox="0 0 ${size.width} ${size.height}">`,
    `<rect width="${size.width}" height="${size.height}" fill="#ffffff"/>`,
    ...title(series, newest, criticalMs),
    ...grid(topMs, y),
    ...curve(peaks, y),
    ...limits,
    ...timeAxis(series),
    '</svg>',
  ].join('\n');
}

function title(series: LagSeries, newest: number | undefined, criticalMs: number): string[] {
  const name = series.machineName;
  const words = newest === undefined ? 'no point yet' : `lag ${formatDuration(Math.max(secondMs, newest))}`;
  const isOver = newest !== undefined && newest > series.thresholdMs;
  const color = !isOver ? colors.text : newest > criticalMs ? colors.critical : colors.warning;
  const nameWidthMax = area.right - 60 - textWidth(words, titleHeight);
  const nameHeight = Math.min(titleHeight, (titleHeight * nameWidthMax) / textWidth(name, titleHeight));
  return [
    strokeText(name, { x: 30, y: 64, height: nameHeight, color: colors.text, isBold: true }),
    strokeText(words, { x: area.right, y: 64, height: titleHeight, color, anchor: 'right', isBold: true }),
  ];
}

function grid(topMs: number, y: (ms: number) => number): string[] {
  return [0, 0.25, 0.5, 0.75, 1].flatMap((share) => {
    const at = y(topMs * share).toFixed(1);
    // Quarters are seldom easy to read.
    const label = share === 0 ? '0' : share === 0.5 || share === 1 ? formatDuration(topMs * share) : '';
    const place = { x: area.left - 14, y: Number(at) + textHeight / 2, height: textHeight, anchor: 'right' } as const;
    return [
      `<path d="M${area.left} ${at}H${area.right}" stroke="${colors.grid}" stroke-width="2"/>`,
      strokeText(label, { ...place, color: colors.faint }),
    ];
  });
}

function limitLine(at: number, label: string, color: string): string {
  const line = `<path d="M${area.left} ${at.toFixed(1)}H${area.right}" stroke="${color}" stroke-width="3" stroke-dasharray="14 8"/>`;
  const place = { x: area.left + 12, y: at - 8, height: textHeight * 0.9, color } as const;
  return line + strokeText(label, { ...place, isBold: true });
}

/** Columns without a point are gaps in the curve. */
function curve(peaks: readonly (number | undefined)[], y: (ms: number) => number): string[] {
  const runs: string[][] = [[]];
  peaks.forEach((peak, index) => {
    if (peak === undefined) runs.push([]);
    else runs.at(-1)?.push(`${area.left + (index + 1) * columnWidth} ${y(peak).toFixed(1)}`);
  });
  return runs
    .filter((run) => run.length > 0)
    .flatMap((run) => {
      const [first = '', last = ''] = [run[0], run.at(-1)];
      const [startX, endX] = [first.split(' ')[0], last.split(' ')[0]];
      return [
        `<path d="M${startX} ${area.bottom}L${run.join('L')}L${endX} ${area.bottom}Z" fill="${colors.fill}"/>`,
        `<path d="M${run.join('L')}" fill="none" stroke="${colors.line}" stroke-width="4" stroke-linejoin="round" stroke-linecap="round"/>`,
      ];
    });
}

function timeAxis({ fromMs, toMs }: LagSeries): string[] {
  const isLong = toMs - fromMs > 2 * dayMs;
  const label = (atMs: number) => {
    const text = new Date(atMs).toISOString();
    return isLong ? text.slice(5, 10) : `${text.slice(11, 16)}Z`;
  };
  const place = { y: area.bottom + 44, height: textHeight, color: colors.faint } as const;
  return [
    strokeText(label(fromMs), { ...place, x: area.left, anchor: 'left' }),
    strokeText(label((fromMs + toMs) / 2), { ...place, x: (area.left + area.right) / 2, anchor: 'middle' }),
    strokeText(label(toMs), { ...place, x: area.right, anchor: 'right' }),
  ];
}

/**
 * The worst lag in each of `count` equal parts of the time; undefined before the first point.
 * After a sample the lag grows by the time that passes, until the next one.
 */
export function columnPeaks(series: LagSeries, count: number): (number | undefined)[] {
  const { fromMs, toMs, samples } = series;
  const columnMs = Math.max(1, toMs - fromMs) / count;
  const peaks: (number | undefined)[] = [];
  let index = -1;
  for (let column = 0; column < count; column += 1) {
    const endMs = fromMs + (column + 1) * columnMs;
    let peak = lagAt(samples[index], index < 0 ? 0 : Math.min(endMs, samples[index + 1]?.atMs ?? endMs));
    for (let next = samples[index + 1]; next !== undefined && next.atMs <= endMs; next = samples[index + 1]) {
      index += 1;
      const untilMs = Math.min(endMs, samples[index + 1]?.atMs ?? endMs);
      peak = Math.max(peak ?? 0, lagAt(next, untilMs) ?? 0);
    }
    peaks.push(peak);
  }
  return peaks;
}

/** The lag at the end of the time; undefined without a point. */
export function newestLag({ samples, toMs }: LagSeries): number | undefined {
  return lagAt(samples.at(-1), toMs);
}

function lagAt(sample: LagSeries['samples'][number] | undefined, atMs: number): number | undefined {
  return sample === undefined ? undefined : sample.lagMs + Math.max(0, atMs - sample.atMs);
}

const niceTopsMs = [
  ...[4, 8, 20, 40].map((count) => count * secondMs),
  ...[1, 2, 4, 8, 20, 40].map((count) => count * minuteMs),
  ...[1, 2, 4, 8, 12].map((count) => count * hourMs),
  ...[1, 2, 4, 8, 20, 40, 100].map((count) => count * dayMs),
];

/** The next larger value whose quarters are easy to read. Milliseconds. */
export function niceTop(ms: number): number {
  return niceTopsMs.find((top) => top >= ms) ?? ms;
}

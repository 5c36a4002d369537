/**
 * Letters as lines, so that plots look the same on every machine, also on one without fonts.
 *
 * A glyph is a list of strokes; a stroke is a list of points, two digits each: x from 0 to 4, y from 0 (top) over 6 (the line that
 * letters stand on) to 8 (the ends of g and p).
 */
const glyphs: Readonly<Record<string, string>> = {
  '0': '103041453616050110',
  '1': '112026 1636',
  '2': '01103041420646',
  '3': '01103041423313 334445361605',
  '4': '36300444',
  '5': '400003334445361605',
  '6': '30100105163645443303',
  '7': '004016',
  '8': '103041423313020110 1304051636454433',
  '9': '43130201103041453616',
  A: '062046 1434',
  B: '00063645443303 3342413000',
  C: '4130100105163645',
  D: '00062644422000',
  E: '40000646 0333',
  F: '400006 0333',
  G: '413010010516464323',
  H: '0006 4046 0343',
  I: '1030 2026 1636',
  J: '4045361605',
  K: '0006 400346',
  L: '000646',
  M: '0600234046',
  N: '06004640',
  O: '103041453616050110',
  P: '06003041423303',
  Q: '103041453616050110 2446',
  R: '06003041423303 2346',
  S: '413010010213334445361605',
  T: '0040 2026',
  U: '000516364540',
  V: '002640',
  W: '0016233640',
  X: '0046 4006',
  Y: '002340 2326',
  Z: '00400646',
  a: '12324346 441405163645',
  b: '0006 0312324345361605',
  c: '4332120305163645',
  d: '4046 4332120305163645',
  e: '044443321203051646',
  f: '302126 1232',
  g: '4332120305163645 42473818',
  h: '0006 0312324346',
  i: '2226 2020',
  j: '222718 2020',
  k: '0006 320436',
  l: '2026',
  m: '0602 03122326 23324346',
  n: '0602 0312324346',
  o: '123243453616050312',
  p: '0208 0312324345361605',
  q: '4248 4332120305163645',
  r: '0602 031232',
  s: '4212031434453606',
  t: '202536 1232',
  u: '0205163645 4246',
  v: '022642',
  w: '0216243642',
  x: '0246 4206',
  y: '0226 4218',
  z: '02420646',
  '.': '2626',
  ',': '2618',
  ':': '2323 2626',
  '-': '1434',
  _: '0747',
  '/': '4006',
  '(': '30212536',
  ')': '10212516',
  '·': '2424',
  ' ': '',
};
const unknown = '0040460600';
const advance = 5.6;

export type TextStyle = {
  /** Where the text stands: its left, middle or right end, and the line that letters stand on. */
  readonly x: number;
  readonly y: number;
  /** Height of a capital letter, in pixels. */
  readonly height: number;
  readonly color: string;
  readonly anchor?: 'left' | 'middle' | 'right';
  readonly isBold?: boolean;
};

/** The text as one SVG path. Characters without a glyph are boxes; nothing of the text gets into the markup. */
export function strokeText(text: string, style: TextStyle): string {
  const scale = style.height / 6;
  const shares = { left: 0, middle: 0.5, right: 1 } as const;
  const left = style.x - textWidth(text, style.height) * shares[style.anchor ?? 'left'];
  const parts = [...text].flatMap((character, index) => {
    const glyph = Object.hasOwn(glyphs, character) ? (glyphs[character] ?? unknown) : unknown;
    const strokes = glyph === '' ? [] : glyph.split(' ');
    return strokes.map((stroke) => strokePath(stroke, { left: left + index * advance * scale, y: style.y, scale }));
  });
  const width = (style.height * (style.isBold === true ? 0.17 : 0.12)).toFixed(1);
  return `<path d="${parts.join('')}" fill="none" stroke="${style.color}" stroke-width="${width}" stroke-linecap="round" stroke-linejoin="round"/>`;
}

/** How wide the text is, in pixels. */
export function textWidth(text: string, height: number): number {
  return Math.max(0, [...text].length * advance - 1.6) * (height / 6);
}

function strokePath(stroke: string, place: { left: number; y: number; scale: number }): string {
  const points = stroke.match(/../g) ?? [];
  const coordinates = points.map((point) => {
    const x = place.left + Number(point[0]) * place.scale;
    const y = place.y + (Number(point[1]) - 6) * place.scale;
    return `${x.toFixed(1)} ${y.toFixed(1)}`;
  });
  return `M${coordinates.join('L')}`;
}

/** Postgres takes no zero byte, and no half of a character in its jsonb: both become the sign for what cannot be read. */
export function storable(text: string): string {
  return text.toWellFormed().replaceAll('\u0000', '\uFFFD');
}

/** The same for every text in what a person ordered; it was checked before, so it is neither deep nor large. */
export function storableBody<Body>(body: Body): Body {
  const text = JSON.stringify(body, (_, value: unknown) => (typeof value === 'string' ? storable(value) : value));
  // What was checked was made of JSON, and nothing but its texts has changed.
  return JSON.parse(text) as Body;
}

import { createHash, randomBytes } from 'node:crypto';

/** Crockford's base 32, as in ids: can be read aloud. Twelve characters are 60 random bits. */
const alphabet = '0123456789ABCDEFGHJKMNPQRSTVWXYZ';
const codeLength = 12;

/** A fresh one-time code, e.g. `7K3M-9Q2W-XA4T`. */
export function newLinkCode(): string {
  const letters = Array.from(randomBytes(codeLength), (byte) => alphabet[byte & 31]).join('');
  return letters.replace(/(.{4})(?=.)/g, '$1-');
}

/** SHA-256 (hex) of a code as somebody typed it: case, dashes and look-alike letters do not matter. */
export function linkCodeHash(typed: string): string {
  const letters = typed.toUpperCase().replace(/[\s-]/g, '').replaceAll('O', '0').replace(/[IL]/g, '1');
  return createHash('sha256').update(letters).digest('hex');
}

import { encode } from 'uqr';

export type QrCode = {
  /** Modules of a side, with the quiet zone on both ends. */
  readonly size: number;
  /** Row by row; true is dark. */
  readonly rows: readonly (readonly boolean[])[];
};

/** What an authenticator app scans instead of being typed into. */
export const authenticatorLink = 'otpauth://totp/';

/**
 * A text as a QR code.
 *
 * @param quietModules light modules around it; the standard asks for 4, and readers get by with 2 where room is short
 */
export function qrCodeOf(text: string, quietModules: 2 | 4): QrCode {
  const { data, size } = encode(text, { ecc: quietModules === 4 ? 'M' : 'L', border: quietModules });
  return { size, rows: data };
}

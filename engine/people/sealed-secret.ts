import { createCipheriv, createDecipheriv, hkdfSync, randomBytes } from 'node:crypto';
import { OutageError } from '../../domain/outage.ts';

/** The key under which authenticator secrets are kept; derived, so that it is stored nowhere. */
export function authenticatorKeyOf(keyEncryptionKey: Buffer): Buffer {
  return Buffer.from(hkdfSync('sha256', keyEncryptionKey, '', 'lifeboat/people/1/authenticators', 32));
}

/** AES-256-GCM as `nonce.ciphertext.tag`, hex; it opens only for the same person. */
export function sealSecret(key: Buffer, person: string, secret: Uint8Array): string {
  const nonce = randomBytes(12);
  const cipher = createCipheriv('aes-256-gcm', key, nonce);
  cipher.setAAD(Buffer.from(`authenticator of ${person}`));
  const sealed = Buffer.concat([cipher.update(secret), cipher.final()]);
  return [nonce, sealed, cipher.getAuthTag()].map((part) => part.toString('hex')).join('.');
}

/** @throws OutageError when the row was changed, copied from another person, or sealed with another key */
export function openSecret(key: Buffer, person: string, sealedSecret: string): Buffer {
  const [nonce, sealed, tag] = sealedSecret.split('.').map((part) => Buffer.from(part, 'hex'));
  try {
    const decipher = createDecipheriv('aes-256-gcm', key, nonce ?? Buffer.alloc(12));
    decipher.setAAD(Buffer.from(`authenticator of ${person}`));
    decipher.setAuthTag(tag ?? Buffer.alloc(16));
    return Buffer.concat([decipher.update(sealed ?? Buffer.alloc(0)), decipher.final()]);
  } catch (cause) {
    throw new OutageError(`open the authenticator of ${person}: it was not sealed for them with this key`, {
      cause,
      retryable: false,
      nextStep: `Take it away and let ${person} set it up anew: \`lifeboat person reset-authenticator ${person}\`.`,
    });
  }
}

import { X509Certificate } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { createSecureContext } from 'node:tls';
import { OutageError } from '../../domain/outage.ts';

/** With what the console proves to browsers which server it is; PEM. */
export type ServerKey = { readonly certificate: string; readonly privateKey: string };

/** The certificate that the installation brings. @throws OutageError when the files cannot be read or do not fit each other */
export async function broughtServerKey(files: {
  readonly certificateFile: string;
  readonly privateKeyFile: string;
}): Promise<ServerKey> {
  try {
    const certificate = await readFile(files.certificateFile, 'utf8');
    const privateKey = await readFile(files.privateKeyFile, 'utf8');
    createSecureContext({ cert: certificate, key: privateKey });
    return { certificate, privateKey };
  } catch (cause) {
    throw new OutageError(
      `read the console's certificate ${files.certificateFile} with the key ${files.privateKeyFile}`,
      {
        cause,
        retryable: false,
        nextStep:
          'correct web.tls in the configuration of the bot (PEM, leaf first), or leave it out: the bot then makes its own',
      },
    );
  }
}

/** SHA-256 as browsers show it: `AB:CD:…`. */
export function fingerprintOf(key: ServerKey): string {
  return new X509Certificate(key.certificate).fingerprint256;
}

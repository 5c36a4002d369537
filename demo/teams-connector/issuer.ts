import { createSign, generateKeyPairSync, type KeyObject, randomUUID } from 'node:crypto';

/** Who vouches for the connector towards the bot, and gives the bot its own token: Entra and the Bot Framework in one. */
export type Issuer = {
  readonly keyId: string;
  readonly issuer: string;
  /** The public key, as the key endpoint shows it. */
  readonly keys: () => { readonly keys: readonly object[] };
  /** A token as Teams sends it with every activity; each claim can be made wrong. */
  readonly sign: (claims?: TokenClaims) => string;
  /** The bot's own token, for its id and secret; undefined when they are wrong. */
  readonly giveToken: (form: URLSearchParams, tenant: string) => string | undefined;
  readonly isOwnToken: (authorization: string | undefined) => boolean;
};

export type TokenClaims = {
  readonly issuer?: string;
  readonly audience?: string;
  readonly serviceUrl?: string;
  /** Seconds from now. */
  readonly expiresIn?: number;
  readonly algorithm?: 'RS256' | 'HS256' | 'none';
  /** Signed with a key that nobody has published, under the published key's name. */
  readonly isForged?: boolean;
  readonly keyId?: string;
};

export function createIssuer(options: {
  readonly appId: string;
  readonly tenantId: string;
  readonly secret: string;
  readonly serviceUrl: () => string;
}): Issuer {
  const pair = generateKeyPairSync('rsa', { modulusLength: 2048 });
  let forger: KeyObject | undefined;
  const keyId = randomUUID();
  const issuer = 'https://api.botframework.com';
  const given = new Set<string>();
  return {
    keyId,
    issuer,
    keys: () => ({
      keys: [{ ...pair.publicKey.export({ format: 'jwk' }), kid: keyId, use: 'sig', endorsements: ['msteams'] }],
    }),
    sign: (claims = {}) => {
      const nowS = Math.floor(Date.now() / 1000);
      const expiresIn = claims.expiresIn ?? 3600;
      const payload = {
        iss: claims.issuer ?? issuer,
        aud: claims.audience ?? options.appId,
        serviceurl: claims.serviceUrl ?? options.serviceUrl(),
        nbf: nowS - 3600,
        exp: nowS + expiresIn,
      };
      const header = { alg: claims.algorithm ?? 'RS256', typ: 'JWT', kid: claims.keyId ?? keyId };
      if (claims.isForged) forger ??= generateKeyPairSync('rsa', { modulusLength: 2048 }).privateKey;
      return signed(header, payload, claims.isForged && forger !== undefined ? forger : pair.privateKey);
    },
    giveToken: (form, tenant) => {
      const isRight =
        tenant === options.tenantId &&
        form.get('grant_type') === 'client_credentials' &&
        form.get('client_id') === options.appId &&
        form.get('client_secret') === options.secret &&
        form.get('scope') === 'https://api.botframework.com/.default';
      if (!isRight) return undefined;
      const token = `bot.${randomUUID()}`;
      given.add(token);
      return token;
    },
    isOwnToken: (authorization) => given.has((authorization ?? '').replace(/^Bearer /, '')),
  };
}

function signed(header: object, payload: object, key: KeyObject): string {
  const part = (value: object) => Buffer.from(JSON.stringify(value)).toString('base64url');
  const text = `${part(header)}.${part(payload)}`;
  return `${text}.${createSign('RSA-SHA256').update(text).sign(key).toString('base64url')}`;
}

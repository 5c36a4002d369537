/** How the bot is registered, and from whom it takes and to whom it sends anything. */
export type TeamsSettings = {
  /** The bot's application id in Entra. */
  readonly appId: string;
  /** The tenant that the bot is registered in. */
  readonly tenantId: string;
  /** Other tenants whose people may talk to it, and to whose conversations it delivers; the bot's own needs no mention. */
  readonly allowedTenants: readonly string[];
  readonly credential: { readonly kind: 'secret'; readonly secret: string } | { readonly kind: 'managed-identity' };
  /** Beginnings of service URLs that are answered; nothing else on the network is ever called for an activity. */
  readonly serviceUrls: readonly string[];
  readonly cloud: TeamsCloud;
  /** How the bot is addressed in a channel: the app's short name. */
  readonly botName: string;
  /** Port of the loopback listener; 0 for any free one. */
  readonly port: number;
};

/** Every tenant that the bot serves, its own first. */
export function tenantsOf({ tenantId, allowedTenants }: Pick<TeamsSettings, 'tenantId' | 'allowedTenants'>): string[] {
  return [...new Set([tenantId, ...allowedTenants])];
}

/** Who vouches for Teams, and who for us. */
export type TeamsCloud = {
  readonly tokenIssuer: string;
  readonly openIdMetadataUrl: string;
  /** Where a token for the connector is had. */
  readonly tokenUrl: (tenantId: string) => string;
  readonly tokenScope: string;
};

export const publicCloud: TeamsCloud = {
  tokenIssuer: 'https://api.botframework.com',
  openIdMetadataUrl: 'https://login.botframework.com/v1/.well-known/openidconfiguration',
  tokenUrl: (tenantId) => `https://login.microsoftonline.com/${tenantId}/oauth2/v2.0/token`,
  tokenScope: 'https://api.botframework.com/.default',
};

/** Where Teams' own connector stands. Sovereign clouds have theirs; they are set in the configuration. */
export const publicServiceUrls = ['https://smba.trafficmanager.net/'] as const;

/** Bounds of everything that comes in, goes out and waits. */
export const teamsLimits = {
  bodyBytes: 262_144,
  /** What the strictest of Microsoft's pages allow is 28 KB for a message; a card stays well under it. Source: CHAT 3.2 */
  cardBytes: 25_600,
  /** How old an activity may be, and how far ahead of our clock. */
  staleMs: 300_000,
  /** Teams gives up on an invoke after 15 s at most; before that we answer something. */
  invokeMs: 8000,
  /** The same with the time that it takes to find out who clicked. */
  invokeTotalMs: 12_000,
  /** More than 50 commands a second for as long as a slow engine takes to answer. */
  inFlightCount: 1000,
  refreshUserCount: 60,
  replayCount: 10_000,
  replayMs: 600_000,
} as const;

/**
 * True for a service URL that begins like an allowed one: same scheme, host and port, and a path below it.
 * https only, except for a loopback address that the configuration itself names.
 */
export function isAllowedServiceUrl(serviceUrl: string, allowed: readonly string[]): boolean {
  const url = parseUrl(serviceUrl);
  if (url === undefined || url.username !== '' || url.password !== '') return false;
  return allowed.some((prefix) => {
    const base = parseUrl(prefix);
    if (base === undefined || base.origin !== url.origin) return false;
    const folder = base.pathname.endsWith('/') ? base.pathname : `${base.pathname}/`;
    const isEncrypted = url.protocol === 'https:' || isLoopback(url.hostname);
    return isEncrypted && `${url.pathname}/`.startsWith(folder);
  });
}

function isLoopback(host: string): boolean {
  return host === '127.0.0.1' || host === '[::1]' || host === 'localhost';
}

function parseUrl(text: string): URL | undefined {
  return URL.canParse(text) ? new URL(text) : undefined;
}

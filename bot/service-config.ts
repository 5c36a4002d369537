import { readFile } from 'node:fs/promises';
import { z } from 'zod';
import { OutageError } from '../domain/outage.ts';
import { readConfigFile } from '../protocol/config-file.ts';
import { metricsConfig } from '../protocol/metrics-listener.ts';

const absolutePath = z.string().startsWith('/', 'must be an absolute path');
const port = z.number().int().min(1).max(65_535);
/** Where a secret is, never the secret itself: configurations are copied, backed up and shown. */
const secretReference = z
  .string()
  .regex(
    /^(file:\/.+|env:[A-Za-z_][A-Za-z0-9_]*)$/,
    'must be file:/absolute/path or env:NAME, never the secret itself',
  );
const ids = z.array(z.string().min(1).max(100)).max(50);

const slackConfig = z.discriminatedUnion('mode', [
  z.strictObject({
    /** Nothing listens: the bot connects to Slack. */
    mode: z.literal('socket'),
    botToken: secretReference,
    appToken: secretReference,
    allowedTenants: ids.optional(),
    apiUrl: z.url().optional(),
  }),
  z.strictObject({
    /** Behind a reverse proxy with TLS. */
    mode: z.literal('http'),
    botToken: secretReference,
    signingSecret: secretReference,
    host: z.string().default('127.0.0.1'),
    port,
    allowedTenants: ids.optional(),
    apiUrl: z.url().optional(),
  }),
]);
const teamsCloudConfig = z.strictObject({
  tokenIssuer: z.url(),
  openIdMetadataUrl: z.url(),
  /** `{tenant}` in it is replaced. */
  tokenUrl: z.string().min(1),
  tokenScope: z.string().min(1),
});
const teamsConfig = z.strictObject({
  appId: z.string().min(1).max(100),
  tenantId: z.string().min(1).max(100),
  /** Left out on a machine with a managed identity. */
  secret: secretReference.optional(),
  /** The day on which that secret ends, as Azure shows it: only there it can be seen. */
  secretExpiresOn: z.iso.date().optional(),
  port,
  botName: z.string().min(1).max(30).default('DR'),
  allowedTenants: ids.default([]),
  serviceUrls: z.array(z.url()).min(1).max(20).optional(),
  /** Of a sovereign cloud; Microsoft's public one if left out. */
  cloud: teamsCloudConfig.optional(),
});

/** Browsers know the console by this: scheme, host and port, nothing behind it. */
const consoleUrl = z
  .url({ protocol: /^https$/ })
  .refine((text) => new URL(text).pathname === '/' && !/[?#@]/.test(text), 'must be https://host or https://host:port')
  .transform((text) => new URL(text).origin);
const webConfig = z.strictObject({
  listen: z.strictObject({ host: z.string().min(1).max(253).default('127.0.0.1'), port }),
  /** Where browsers reach it, when that is not https://<host>:<port>. */
  url: consoleUrl.optional(),
  /** Left out: the bot makes its own certificate. PEM. */
  tls: z.strictObject({ certificateFile: absolutePath, privateKeyFile: absolutePath }).optional(),
});

/** The bot's configuration file. */
export const botConfig = z
  .strictObject({
    /** How the bot reaches the engine: the file that the engine writes, `<state>/bot/bot.json`. */
    connectionFile: absolutePath,
    /** Where it remembers places, and says to the watchdog that it is alive. */
    stateFolder: absolutePath,
    slack: slackConfig.optional(),
    teams: teamsConfig.optional(),
    /** The web console. */
    web: webConfig.optional(),
    metrics: metricsConfig.optional(),
  })
  .refine(
    ({ slack, teams, web }) => slack !== undefined || teams !== undefined || web !== undefined,
    'needs `slack`, `teams`, `web`, or several of them',
  );
export type BotConfig = z.infer<typeof botConfig>;
export type TeamsConfig = z.infer<typeof teamsConfig>;
export type SlackConfig = z.infer<typeof slackConfig>;
export type WebConfig = z.infer<typeof webConfig>;

/** @throws OutageError that says what is wrong with the file, and where in it */
export function readBotConfig(file: string): Promise<BotConfig> {
  return readConfigFile(file, botConfig);
}

/**
 * The secret that a reference leads to, without the line break at its end.
 *
 * @throws OutageError when it is not there, or empty; the message has the reference in it and never the secret
 */
export async function readSecret(
  reference: string,
  environment: Readonly<Record<string, string | undefined>>,
): Promise<string> {
  const found = reference.startsWith('env:')
    ? environment[reference.slice('env:'.length)]
    : await readFile(reference.slice('file:'.length), 'utf8').catch((cause: unknown) => {
        throw missingSecret(reference, cause);
      });
  const secret = found?.trim() ?? '';
  if (secret === '') throw missingSecret(reference);
  return secret;
}

function missingSecret(reference: string, cause?: unknown): OutageError {
  return new OutageError(`read the secret at ${reference}`, {
    cause: cause ?? 'it is empty or not there',
    retryable: false,
    nextStep: 'put the secret there, readable by this user only; docs/operations says where each one comes from',
  });
}

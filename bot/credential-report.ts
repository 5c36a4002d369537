import { X509Certificate } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { hostname } from 'node:os';
import { join } from 'node:path';
import { setTimeout as wait } from 'node:timers/promises';
import type { z } from 'zod';
import { OutageError } from '../domain/outage.ts';
import { hourMs, minuteMs } from '../domain/units.ts';
import type { credentialReportBody } from '../protocol/credential-api.ts';
import { readConnection } from './connection-file.ts';
import type { DeliveryLog } from './delivery/start-delivery.ts';
import type { BotClient } from './engine-client.ts';
import { isAbort } from './run-follower.ts';
import type { BotConfig } from './service-config.ts';

type Credential = z.input<typeof credentialReportBody>['credentials'][number];
export type CredentialReportDeps = {
  readonly engine: Pick<BotClient, 'reportCredentials'>;
  readonly log: DeliveryLog;
  readonly signal: AbortSignal;
};

const pauseMs = { afterReport: hourMs, afterFailure: minuteMs } as const;

/**
 * Tells the engine every hour until when what this bot needs is good: the engine has people told in time. Ends when the signal is raised.
 * Source: RELIABILITY 1
 */
export async function reportCredentials(config: BotConfig, deps: CredentialReportDeps): Promise<void> {
  const { engine, log, signal } = deps;
  while (!signal.aborted) {
    const isTold = await told(() => credentialsOf(config), engine, deps);
    await wait(isTold ? pauseMs.afterReport : pauseMs.afterFailure, undefined, { signal }).catch((error: unknown) => {
      if (!isAbort(error)) throw error;
    });
  }
  log.info('says nothing more of its certificates');
}

async function told(
  found: () => Promise<Credential[]>,
  engine: CredentialReportDeps['engine'],
  { log, signal }: CredentialReportDeps,
): Promise<boolean> {
  try {
    await engine.reportCredentials({ host: hostname(), credentials: await found() }, { signal });
    return true;
  } catch (error) {
    if (isAbort(error)) return true;
    if (!(error instanceof OutageError)) throw error;
    log.warn('could not report until when the certificates of the bot are good', error);
    return false;
  }
}

/** What this bot needs, and until when it is good. A file that cannot be read is left out: whoever needs it says so. */
export async function credentialsOf(config: BotConfig): Promise<Credential[]> {
  const { teams } = config;
  return [
    ...clientCertificate(config.connectionFile),
    ...(await consoleCertificate(config)),
    ...(teams?.secret === undefined || teams.secretExpiresOn === undefined
      ? []
      : [teamsSecret(teams.secret, teams.secretExpiresOn)]),
  ];
}

function clientCertificate(connectionFile: string): Credential[] {
  return certificate(readConnection(connectionFile).certificate, {
    name: 'The certificate of the bot',
    isRenewedByItself: true,
    nextStep:
      'On the host of the engine: see what the log of the engine says of renewal. On another host: copy `bot/` of the state folder of the ' +
      'engine there, and again at least every three days.',
  });
}

async function consoleCertificate({ web, stateFolder }: BotConfig): Promise<Credential[]> {
  if (web === undefined) return [];
  const isOwn = web.tls === undefined;
  const file = web.tls?.certificateFile ?? join(stateFolder, 'console.crt');
  // Not there: then the console does not run either, and says why.
  const pem = await readFile(file, 'utf8').catch(() => '');
  return certificate(pem, {
    name: 'The certificate of the web console',
    isRenewedByItself: isOwn,
    nextStep: isOwn
      ? 'The bot makes a new one 30 days before: see what its log says of the certificate of the console.'
      : `Put a new one into ${file}, with its key; the bot takes it into use within an hour.`,
  });
}

function certificate(pem: string, about: Omit<Credential, 'expiresAtMs'>): Credential[] {
  try {
    return [{ ...about, expiresAtMs: Date.parse(new X509Certificate(pem).validTo) }];
  } catch {
    // What is no certificate cannot be used; whoever needs it says so.
    return [];
  }
}

function teamsSecret(reference: string, lastDay: string): Credential {
  return {
    name: 'The client secret of the Teams bot',
    expiresAtMs: Date.parse(lastDay),
    isRenewedByItself: false,
    nextStep: `Make a new client secret in Azure, put it where ${reference} leads, set \`secretExpiresOn\` to its last day, and restart the bot.`,
  };
}

import { setTimeout as wait } from 'node:timers/promises';
import { SocketModeReceiver, type webApi } from '@slack/bolt';
import type { SlackLog } from './conversation.ts';
import { callTimeoutMs } from './slack-clients.ts';

const pauseMsMin = 100;
const pauseMsMax = 30_000;

/**
 * Slack's Socket Mode, connected again by ourselves: the library waits five seconds each time, and ends the program when Slack
 * refuses a new connection for good.
 */
export function createSocketLine(options: {
  readonly appToken: string;
  readonly apiUrl: string;
  readonly logger: webApi.Logger;
}): SocketModeReceiver {
  return new SocketModeReceiver({
    appToken: options.appToken,
    autoReconnectEnabled: false,
    logger: options.logger,
    installerOptions: {
      clientOptions: {
        slackApiUrl: options.apiUrl,
        timeout: callTimeoutMs,
        retryConfig: { retries: 2, minTimeout: 300, maxTimeout: 2000 },
        rejectRateLimitedCalls: true,
      },
    },
  });
}

/** Keeps the line open until the signal is raised; every failure is logged, and waited for longer. */
export function keepConnected(line: SocketModeReceiver, log: SlackLog, signal: AbortSignal): void {
  let failureCount = 0;
  let isConnecting = false;
  line.client.on('connected', () => {
    failureCount = 0;
  });
  line.client.on('disconnected', () => {
    if (!signal.aborted && !isConnecting) void reconnect();
  });
  const reconnect = async () => {
    isConnecting = true;
    while (!signal.aborted) {
      const isOpen = await pause(Math.min(pauseMsMax, pauseMsMin * 2 ** failureCount), signal);
      if (!isOpen) return;
      try {
        await line.client.start();
        log.info('slack: connected again');
        break;
      } catch (error) {
        failureCount = Math.min(failureCount + 1, 20);
        log.warn('slack: no connection; trying again', error);
      }
    }
    isConnecting = false;
  };
}

/** False when the signal was raised meanwhile. */
async function pause(ms: number, signal: AbortSignal): Promise<boolean> {
  // A raised signal ends the wait, which is all that its error says.
  return wait(ms, true, { signal, ref: false }).catch(() => false);
}

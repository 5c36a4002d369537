import packageFile from '../../package.json' with { type: 'json' };
import { listenForMetrics } from '../../protocol/metrics-listener.ts';
import type { DeliveryLog } from '../delivery/start-delivery.ts';
import type { BotConfig } from '../service-config.ts';
import { type BotMetrics, createBotMetrics } from './bot-metrics.ts';

export type ServedBotMetrics = Pick<BotMetrics, 'lines' | 'deliveries' | 'setOpenPages'> & {
  readonly close: () => Promise<void>;
};

/**
 * The bot's metrics where they are configured; else nothing is measured and nothing listens.
 *
 * @throws OutageError with a next step when the port cannot be had
 */
export async function serveBotMetrics(config: BotConfig, log: DeliveryLog): Promise<ServedBotMetrics> {
  const nothing = () => undefined;
  if (config.metrics === undefined) {
    return { lines: () => nothing, deliveries: () => nothing, setOpenPages: nothing, close: async () => {} };
  }
  const surfaces = (['slack', 'teams', 'web'] as const).filter((surface) => config[surface] !== undefined);
  const metrics = createBotMetrics(packageFile.version, surfaces);
  const listener = await listenForMetrics(config.metrics, metrics.render, (message) => log.warn(message));
  log.info(`metrics: ${listener.url}`);
  return {
    ...metrics,
    close: async () => {
      await listener.close();
      metrics.stop();
    },
  };
}

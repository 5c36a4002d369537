import { describeCauses } from '../../domain/outage.ts';
import { listenForMetrics, type MetricsListener } from '../../protocol/metrics-listener.ts';
import { createEngineMetrics, type EngineMetrics, type EngineMetricsDeps } from './engine-metrics.ts';

export type ServedMetrics = Pick<EngineMetrics, 'answered' | 'stepUp'> & {
  /** Begins to listen, when it was configured. @throws OutageError with a next step when the port cannot be had */
  readonly open: () => Promise<void>;
  readonly close: () => Promise<void>;
};

/** The engine's metrics where they are configured; else nothing is measured and nothing listens. */
export function servedMetrics(
  at: { readonly host: string; readonly port: number } | undefined,
  deps: Omit<EngineMetricsDeps, 'onTrouble'> & { readonly warn: (message: string) => void },
): ServedMetrics {
  const nothing = () => undefined;
  if (at === undefined) return { answered: nothing, stepUp: nothing, open: async () => {}, close: async () => {} };
  const onTrouble = (error: unknown) => deps.warn(`metrics: ${describeCauses(error)}`);
  const metrics = createEngineMetrics({ ...deps, onTrouble });
  let listener: MetricsListener | undefined;
  return {
    answered: metrics.answered,
    stepUp: metrics.stepUp,
    open: async () => {
      listener = await listenForMetrics(at, metrics.render, deps.warn);
    },
    close: async () => {
      await listener?.close();
      metrics.stop();
    },
  };
}

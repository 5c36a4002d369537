import { Counter, Histogram, Registry } from 'prom-client';

/** A request to the control API that was answered. */
export type AnsweredRequest = {
  readonly method: string;
  /** The route's pattern, never the path as it came: nobody can make series at will. */
  readonly route: string | undefined;
  readonly status: number;
  readonly seconds: number;
};

export type RequestMetrics = {
  readonly answered: (request: AnsweredRequest) => void;
  /** A six-digit code was asked for, and this is what came of it. */
  readonly stepUp: (outcome: string) => void;
  readonly text: () => Promise<string>;
};

/** Long polls wait up to 20 s on purpose. */
const secondsBuckets = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 25];

/** What this engine has answered since it was started. */
export function createRequestMetrics(): RequestMetrics {
  const registry = new Registry();
  const registers = [registry];
  const requests = new Counter({
    name: 'lifeboat_http_requests_total',
    help: 'Requests to the control API that were answered.',
    labelNames: ['method', 'route', 'status'],
    registers,
  });
  const durations = new Histogram({
    name: 'lifeboat_http_request_duration_seconds',
    help: 'How long answering took; long polls wait up to 20 s on purpose.',
    labelNames: ['route'],
    buckets: secondsBuckets,
    registers,
  });
  const codes = new Counter({
    name: 'lifeboat_step_up_total',
    help: 'Six-digit codes that were tried, by outcome.',
    labelNames: ['outcome'],
    registers,
  });
  for (const outcome of ['proven', 'wrong', 'used', 'locked', 'no-authenticator']) codes.inc({ outcome }, 0);
  return {
    answered: ({ method, route = 'unknown', status, seconds }) => {
      requests.inc({ method, route, status: String(status) });
      durations.observe({ route }, seconds);
    },
    stepUp: (outcome) => codes.inc({ outcome }),
    text: () => registry.metrics(),
  };
}

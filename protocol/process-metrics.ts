import { monitorEventLoopDelay } from 'node:perf_hooks';
import { counter, gauge, type MetricFamily } from './metric-family.ts';

const nanosecondsPerSecond = 1e9;
const resolutionMs = 20;

export type ProcessWatch = {
  /** Delays are those since the last call. */
  readonly families: () => MetricFamily[];
  readonly stop: () => void;
};

/** Measures this process for its metrics: cheap enough to run always. */
export function watchProcess(about: { readonly program: string; readonly version: string }): ProcessWatch {
  const delay = monitorEventLoopDelay({ resolution: resolutionMs });
  delay.enable();
  const startedAtSeconds = Math.round(performance.timeOrigin) / 1000;
  return {
    families: () => {
      const { rss, heapUsed } = process.memoryUsage();
      const { user, system } = process.cpuUsage();
      const delays = [0.5, 0.99, 1].map((part) => [delaySeconds(delay, part), `${part}`] as const);
      delay.reset();
      return [
        gauge('lifeboat_build_info', 'Always 1; which program and version this is.', [buildOf(about)], buildLabels),
        gauge('lifeboat_process_start_time_seconds', 'When the process started, in Unix time.', startedAtSeconds),
        counter('lifeboat_process_cpu_seconds_total', 'Processor time that was used.', (user + system) / 1e6),
        gauge('lifeboat_process_resident_memory_bytes', 'Memory that the process holds.', rss),
        gauge('lifeboat_process_heap_used_bytes', 'Memory of JavaScript objects.', heapUsed),
        gauge(
          'lifeboat_event_loop_delay_seconds',
          'By how much timers were late since the last scrape: median, 99th percentile and worst (quantile 1).',
          delays,
          ['quantile'],
        ),
      ];
    },
    stop: () => delay.disable(),
  };
}

const buildLabels = ['program', 'version', 'node'];

function buildOf({ program, version }: { readonly program: string; readonly version: string }) {
  return [1, program, version, process.version] as const;
}

/** The monitor counts its own period; what is beyond it is delay. Nothing measured yet: no delay seen. */
function delaySeconds(delay: ReturnType<typeof monitorEventLoopDelay>, part: number): number {
  if (delay.count === 0) return 0;
  const seconds = (part === 1 ? delay.max : delay.percentile(part * 100)) / nanosecondsPerSecond;
  return Math.max(0, seconds - resolutionMs / 1000);
}

import { cpus, loadavg, release, totalmem } from 'node:os';
import type { MachineDescription } from './results.ts';

export function describeMachine(): MachineDescription {
  const processors = cpus();
  return {
    processor: processors[0]?.model.trim() ?? 'unknown processor',
    coreCount: processors.length,
    memoryBytes: totalmem(),
    kernel: release(),
    node: process.version,
    loadBefore: loadavg()[0] ?? 0,
  };
}

import { z } from 'zod';
import type { RunId } from '../../../domain/ids.ts';
import { openStore } from '../../../engine/store/open.ts';
import { startExecutor } from '../../../engine/workflow/executor.ts';
import { newExecutorId } from '../../../engine/workflow/executor-id.ts';
import { createJobs } from '../../../engine/workflow/jobs.ts';
import { id } from '../../../protocol/api-fields.ts';
import { recordedTarget } from './recorded-target.ts';
import { recordedVault } from './recorded-vault.ts';

/** An engine reduced to its jobs, in a process of its own that tests may kill. Started by engine-control.ts. */
const settings = z
  .object({
    connectionString: z.string(),
    targetFolder: z.string(),
    bug: z.enum(['none', 'no-keys', 'no-removal']),
    silence: z.object({ silentForMs: z.number(), beatEveryMs: z.number() }).optional(),
  })
  .parse(JSON.parse(process.env.ENGINE_SETTINGS ?? '{}'));

const command = z.discriminatedUnion('what', [
  z.object({ what: z.literal('kill-at'), boundary: z.string() }),
  z.object({ what: z.literal('remove-old-jobs'), number: z.number() }),
  z.object({ what: z.literal('start'), number: z.number(), runId: id<RunId>('run') }),
  z.object({
    what: z.enum(['test-failover', 'cleanup']),
    number: z.number(),
    machineName: z.string(),
    idempotencyKey: z.string(),
  }),
]);
type Order = Extract<z.infer<typeof command>, { machineName: string }>;
let killAt: string | undefined;

const store = await openStore({ connectionString: settings.connectionString, onTrouble: () => undefined });
const target = recordedTarget(settings.targetFolder, settings.bug);
const boundary = (name: string) => {
  if (name === killAt) process.kill(process.pid, 'SIGKILL');
};
const log = (level: string) => (text: string) => process.send?.({ kind: 'log', text: `${level} ${text}` });
const executorId = await newExecutorId();
const executor = await startExecutor({
  ...{ store, target, boundary, executorId, vault: recordedVault(settings.targetFolder) },
  connectionString: settings.connectionString,
  log: { debug: () => undefined, info: log('info'), warn: log('warn'), error: log('error') },
  onFenced: () => process.exit(75),
  ...settings.silence,
});
const jobs = createJobs({ store, target, boundary, executor });

process.on('message', (message) => {
  const order = command.parse(message);
  if (order.what === 'kill-at') killAt = order.boundary;
  else if (order.what === 'remove-old-jobs') void removeOldJobs(order.number);
  else if (order.what === 'start') void start(order);
  else void obey(order);
});
process.on('disconnect', () => process.exit(0));
process.send?.({ kind: 'ready', executorId });

async function start({ number, runId }: { readonly number: number; readonly runId: RunId }): Promise<void> {
  await executor.start(runId);
  process.send?.({ kind: 'answer', number, outcome: { kind: 'started' } });
}

async function removeOldJobs(number: number): Promise<void> {
  const count = await executor.removeOldJobs();
  process.send?.({ kind: 'answer', number, outcome: { kind: 'removed', message: String(count) } });
}

async function obey(order: Order): Promise<void> {
  const { machineName, idempotencyKey } = order;
  const base = { machineName, idempotencyKey, requestedBy: 'ana' };
  try {
    const outcome =
      order.what === 'cleanup'
        ? await jobs.startCleanup({ ...base, note: '' })
        : await jobs.startTestFailover({ ...base, point: 'latest' });
    process.send?.({ kind: 'answer', number: order.number, outcome });
  } catch (error) {
    process.send?.({ kind: 'answer', number: order.number, outcome: { kind: 'threw', message: String(error) } });
  }
}

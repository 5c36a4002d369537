import { z } from 'zod';
import { OutageError } from '../../domain/outage.ts';
import { formatDuration, secondMs } from '../../domain/units.ts';
import { type QmpConnection, QmpError } from '../../protocol/qmp.ts';
import type { ShutdownOrder, ShutdownOutcome } from './change-tracker.ts';
import { askGuestAgent } from './guest-agent.ts';

const statusAnswer = z.object({ status: z.string(), running: z.boolean() });
/** The guest has switched itself off, and QEMU has kept its disks open for us. */
const switchedOff = 'shutdown';
const resetLimitMs = 10 * secondMs;
const lookEveryMs = 250;

async function runState(qmp: QmpConnection): Promise<z.infer<typeof statusAnswer>> {
  return statusAnswer.parse(await qmp.execute('query-status'));
}

export async function isGuestRunning(qmp: QmpConnection): Promise<boolean> {
  return (await runState(qmp)).running;
}

/**
 * Asks the guest to switch itself off, by its guest agent or else by the power button, and waits until it has. QEMU stays, so that what it
 * wrote last can be read. The guest is never killed, and one that does not stop runs on.
 *
 * A guest that obeys only after the limit is stopped for nothing: the caller looks after it (`startGuest`).
 */
export async function shutDownGuest(
  qmp: QmpConnection,
  order: ShutdownOrder & { readonly guestAgentPath?: string | undefined },
): Promise<ShutdownOutcome> {
  const before = await runState(qmp);
  if (before.status === switchedOff) return { kind: 'stopped', how: 'it was switched off already' };
  if (!before.running) {
    const message = `the machine is ${before.status}: it neither runs nor is it switched off`;
    return { kind: 'not-stopped', message, isRunning: false };
  }
  await qmp.execute('set-action', { shutdown: 'pause' });
  const byAgent = order.guestAgentPath === undefined ? 'none' : await askGuestAgent(order.guestAgentPath);
  if (byAgent !== 'asked') await qmp.execute('system_powerdown');
  const how = byAgent === 'asked' ? 'by its guest agent' : 'by the power button (ACPI)';
  return waitUntilOff(qmp, order, how);
}

async function waitUntilOff(qmp: QmpConnection, order: ShutdownOrder, how: string): Promise<ShutdownOutcome> {
  const untilMs = performance.now() + order.limitMs;
  for (;;) {
    order.signal.throwIfAborted();
    const state = await runState(qmp).catch((error: unknown) => {
      if (error instanceof OutageError && !qmp.isOpen()) return 'gone' as const;
      throw error;
    });
    if (state === 'gone') {
      const message = 'QEMU ended together with its guest, so what it wrote last cannot be read';
      return { kind: 'not-stopped', message, isRunning: false };
    }
    if (state.status === switchedOff) return { kind: 'stopped', how };
    if (performance.now() >= untilMs) {
      const message = `it was asked to switch itself off ${how} and did not within ${formatDuration(order.limitMs)}`;
      return { kind: 'not-stopped', message, isRunning: state.running };
    }
    await untilNext(qmp, Math.min(lookEveryMs, untilMs - performance.now()), order.signal);
  }
}

/** Until QEMU says that something happened, or the time is over. */
function untilNext(qmp: QmpConnection, timeMs: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const done = () => {
      clearTimeout(timer);
      stopListening();
      signal.removeEventListener('abort', done);
      resolve();
    };
    const stopListening = qmp.onEvent(done);
    const timer = setTimeout(done, Math.max(0, timeMs));
    signal.addEventListener('abort', done);
  });
}

/** Has the guest running again as before: from the start if it had switched itself off. Nothing to a guest that runs. */
export async function startGuest(qmp: QmpConnection): Promise<void> {
  const { status, running } = await runState(qmp);
  if (status === switchedOff) {
    const since = qmp.mark();
    await qmp.execute('system_reset');
    await qmp.waitForEvent('RESET', () => true, { timeoutMs: resetLimitMs, since });
  }
  // What QEMU does when nobody has told it otherwise.
  await qmp.execute('set-action', { shutdown: 'poweroff' });
  if (running) return;
  try {
    await qmp.execute('cont');
  } catch (cause) {
    if (!(cause instanceof QmpError)) throw cause;
    throw new OutageError(`start the machine again: ${cause.description}`, {
      cause,
      retryable: true,
      nextStep: 'Look at the machine on its host, and start it by hand.',
    });
  }
}

/** Stops the guest where it is, at once: another copy of it is in charge. Its memory and disks stay as they are, for people to look at. */
export async function holdGuest(qmp: QmpConnection): Promise<void> {
  await qmp.execute('stop');
}

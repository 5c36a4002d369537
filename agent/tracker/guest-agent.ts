import net from 'node:net';
import { describeCauses } from '../../domain/outage.ts';
import { secondMs } from '../../domain/units.ts';

/** An agent that is there answers at once; when none runs in the guest, nobody does. */
const answerLimitMs = 2 * secondMs;

/**
 * Asks the agent inside the guest (qemu-guest-agent) to shut the guest down.
 *
 * @param socketPath its channel as QEMU offers it, whether an agent listens behind it or not
 * @returns `none` when nobody answers there; then the power button is what is left
 */
export async function askGuestAgent(socketPath: string): Promise<'asked' | 'none'> {
  const socket = net.connect(socketPath);
  try {
    await once(socket, 'connect');
    const syncId = Math.floor(Math.random() * 2 ** 31);
    // Also clears what an earlier client left half said. Source: qemu-ga's guest-sync
    socket.write(`${JSON.stringify({ execute: 'guest-sync', arguments: { id: syncId } })}\n`);
    if (!(await answers(socket, (text) => text.includes(`${syncId}`)))) return 'none';
    // It has no answer when it is carried out; an error would come at once.
    socket.write(`${JSON.stringify({ execute: 'guest-shutdown', arguments: { mode: 'powerdown' } })}\n`);
    return (await answers(socket, (text) => text.includes('"error"'), secondMs)) ? 'none' : 'asked';
  } catch (error) {
    if (error instanceof Error && 'code' in error) return 'none';
    throw new Error(`ask the guest agent at ${socketPath}: ${describeCauses(error)}`);
  } finally {
    socket.destroy();
  }
}

function once(socket: net.Socket, event: string): Promise<void> {
  return new Promise((resolve, reject) => {
    socket.once(event, () => resolve());
    socket.once('error', reject);
  });
}

function answers(socket: net.Socket, fits: (text: string) => boolean, limitMs = answerLimitMs): Promise<boolean> {
  return new Promise((resolve) => {
    let text = '';
    const end = (isThere: boolean) => {
      clearTimeout(timer);
      socket.off('data', take);
      socket.off('close', gone);
      resolve(isThere);
    };
    const gone = () => end(false);
    const take = (chunk: Buffer) => {
      text = (text + chunk.toString('latin1')).slice(-65_536);
      if (fits(text)) end(true);
    };
    const timer = setTimeout(gone, limitMs);
    socket.on('data', take);
    socket.on('close', gone);
  });
}

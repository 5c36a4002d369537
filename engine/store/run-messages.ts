import { routes } from '../../protocol/control-api.ts';
import type { Database } from './database.ts';
import { addNote, addPicture, touchTopic } from './messages.ts';
import type { RunRecord } from './runs.ts';

const words = { 'test-failover': 'test failover', cleanup: 'cleanup', 'planned-failover': 'planned failover' } as const;

/**
 * A run has ended: its messages say so at once, their threads ring, and they get the picture of the console. Where nobody follows it,
 * nothing happens. Call it in the transaction that ends the run, before its event. Source: CHAT 5.4
 */
export async function noteRunEnd(db: Database, run: RunRecord): Promise<void> {
  const { id, machineName, failure, result } = run;
  const topic = `run:${id}` as const;
  await touchTopic(db, topic, { isNotifying: true });
  const isGood = failure === null;
  const title = `The ${words[run.kind]} of ${machineName} ${isGood ? 'is done' : 'failed'}`.slice(0, 150);
  const lines = [failure ?? result?.verification ?? ''].filter((line) => line !== '');
  const text = lines.map((line) => line.slice(0, 3000));
  const note = { title, tone: isGood ? 'good' : 'bad', text, copyLine: null } as const;
  await addNote(db, { topic, note, severity: isGood ? 'info' : 'warning', isNotifying: true });
  if (!result?.consolePicture) return;
  await addPicture(db, {
    topic,
    apiPath: routes.consolePicture.replace(':id', encodeURIComponent(id)),
    fileName: `${machineName}-console.png`,
    altText: `The console of ${machineName} after its start`,
  });
}

import { describeCauses, OutageError } from '../../domain/outage.ts';
import { appendEvent } from '../store/events.ts';
import { addNote } from '../store/messages.ts';
import type { Store } from '../store/open.ts';
import { duePagerCalls, notePagerFailed, notePagerSent, type PagerCall } from '../store/pager-calls.ts';
import { alertNote, alertTopic } from './apply-changes.ts';

const callLimitMs = 10_000;

export type PagerDeps = {
  readonly store: Store;
  /** Whatever wakes people: it gets a POST with JSON `{ source, about, title, text }`. Undefined: there is none. */
  readonly pagerUrl: string | undefined;
};

/** Calls the pager webhook for what wants it, at least once each, twenty attempts at most. Source: CHAT 5.3 */
export async function callPagers(deps: PagerDeps): Promise<void> {
  for (const call of await deps.store.read((db) => duePagerCalls(db))) {
    const failure = deps.pagerUrl === undefined ? 'no pager webhook is configured' : await post(deps.pagerUrl, call);
    await deps.store.write(async (db) => {
      if (failure === undefined) await notePagerSent(db, call.id);
      const isHopeless = deps.pagerUrl === undefined;
      const outcome = failure === undefined ? 'sent' : await notePagerFailed(db, call, { error: failure, isHopeless });
      if (outcome === 'later') return;
      const text = outcome === 'sent' ? 'The pager webhook was called.' : `The pager could not be called: ${failure}.`;
      if (call.about.startsWith('alr_')) {
        const note = alertNote(outcome === 'sent' ? 'warning' : 'bad', '', [text]);
        await addNote(db, { topic: alertTopic(call.about), note, severity: 'warning', isNotifying: false });
      }
      await appendEvent(db, { kind: `pager-${outcome}`, text: `${call.title} (${call.about}): ${text}` });
    });
  }
}

/** Why it failed; undefined when the webhook took it. */
async function post(url: string, { about, title, text }: PagerCall): Promise<string | undefined> {
  try {
    const response = await fetch(url, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ source: 'lifeboat', about, title, text }),
      signal: AbortSignal.timeout(callLimitMs),
      redirect: 'error',
    });
    await response.body?.cancel();
    if (response.ok) return undefined;
    throw new OutageError(`it answered with HTTP ${response.status}`, { retryable: true });
  } catch (error) {
    return describeCauses(error);
  }
}

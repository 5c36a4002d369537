import type { NoteView, SurfaceView } from '../../protocol/chat-api.ts';
import { type Card, shorten } from '../card.ts';
import { age, instant } from './time-words.ts';

const staleMs = 180_000;
const names = { slack: 'Slack', teams: 'Teams' } as const;

/** A line of a thread, a direct message, a digest: words only. */
export function noteCard(note: NoteView): Card {
  return {
    title: shorten(note.title, 150),
    tone: note.tone,
    audience: 'channel',
    text: note.text.slice(0, 10).map((paragraph) => shorten(paragraph, 1000)),
    ...(note.copyLine !== null && { copyLine: shorten(note.copyLine, 500) }),
  };
}

/** What the bot says by itself when the engine is silent: it cannot ask it what to say. Source: CHAT 5.2 (7) */
export function engineSilentCard(sinceMs: number, nowMs: number): Card {
  return {
    title: 'The engine does not answer',
    tone: 'bad',
    audience: 'channel',
    text: [
      `Nothing was heard from it since ${instant(sinceMs, nowMs)}. Commands are answered by it alone; alerts and approvals wait until it is back.`,
      'Replication goes on as far as the process server runs. Next: look at the engine and its database, and start it again.',
    ],
  };
}

export function engineBackCard(silentMs: number): Card {
  return {
    title: 'The engine answers again',
    tone: 'good',
    audience: 'channel',
    text: [`It was silent for ${age(silentMs)}. What happened meanwhile follows.`],
  };
}

/** One sentence for each chat that does not answer, or of which nothing is known. */
export function surfaceTroubles(surfaces: readonly SurfaceView[], nowMs: number): string[] {
  return surfaces.flatMap((surface) => {
    const name = names[surface.surface];
    const seen = instant(surface.reportedAtMs, nowMs);
    if (nowMs - surface.reportedAtMs > staleMs) return [`${name}: nothing was heard from its bot since ${seen}.`];
    return surface.isHealthy ? [] : [`${name}: does not answer: ${shorten(surface.detail, 200)}`];
  });
}

/** `Slack and Teams answer`, for the footer of a status. */
export function surfaceFooter(surfaces: readonly SurfaceView[], nowMs: number): string | undefined {
  const well = surfaces.filter((surface) => surface.isHealthy && nowMs - surface.reportedAtMs <= staleMs);
  const known = [...new Set(well.map((surface) => names[surface.surface]))];
  if (known.length === 0) return undefined;
  return `${known.join(' and ')} ${known.length === 1 ? 'answers' : 'answer'}`;
}

import { assertNever, invariant } from '../../domain/invariant.ts';
import { OutageError } from '../../domain/outage.ts';
import { type DeliveryOutcome, type DeliveryView, lagSeries, type MessageRef } from '../../protocol/chat-api.ts';
import type { RefusalBody } from '../../protocol/control-api.ts';
import { type Card, shorten } from '../card.ts';
import { type ChatSurface, DeliveryError } from '../chat-surface.ts';
import type { BotClient } from '../engine-client.ts';
import { lagPlotPng } from '../plot/lag-plot.ts';
import { cardOfRun, cardOfSubject } from './card-of-subject.ts';
import type { ObserveDelivery } from './observed-delivery.ts';

export type DeliverDeps = {
  readonly engine: Pick<BotClient, 'ask' | 'download'>;
  readonly surface: ChatSurface;
  readonly nowMs: () => number;
  readonly signal: AbortSignal;
  readonly observe?: ObserveDelivery;
};

const unknownErrorRetryMs = 30_000;

/**
 * Shows one message, as it is true now.
 *
 * @returns what became of it
 * @throws OutageError when the engine cannot be asked for what is to be shown: then the message is claimed again later
 */
export async function deliverOne(delivery: DeliveryView, deps: DeliverDeps): Promise<DeliveryOutcome> {
  const content = await contentOf(delivery, deps);
  if (content.kind === 'gone') return { kind: 'undeliverable', error: content.why };
  try {
    return { kind: 'delivered', ref: await show(delivery, content, deps.surface) };
  } catch (error) {
    if (error instanceof DeliveryError && error.isRateLimited) deps.observe?.({ kind: 'rate-limited' });
    return outcomeOf(error);
  }
}

type Content =
  | { readonly kind: 'card'; readonly card: Card }
  | { readonly kind: 'picture'; readonly png: Buffer; readonly fileName: string; readonly altText: string }
  | { readonly kind: 'gone'; readonly why: string };

async function contentOf({ subject }: DeliveryView, deps: DeliverDeps): Promise<Content> {
  switch (subject.kind) {
    case 'run':
      return runContent(subject.runId, deps);
    case 'picture':
      return pictureContent(subject, deps);
    case 'approval':
    case 'alert':
    case 'note':
      return { kind: 'card', card: cardOfSubject(subject, deps.nowMs()) };
    default:
      return assertNever(subject);
  }
}

async function runContent(runId: string, { engine, nowMs, signal }: DeliverDeps): Promise<Content> {
  const answer = await engine.ask({ kind: 'run', id: runId }, { signal });
  if (answer.kind === 'refusal') return goneOrOutage(answer.refusal);
  invariant(answer.kind === 'run', 'a run was asked for');
  const { run } = answer;
  // Only tells when a drill ends by itself.
  const about = run.kind === 'test-failover' && run.state === 'succeeded';
  const machine = about ? await engine.ask({ kind: 'machine', name: run.machineName }, { signal }) : undefined;
  if (machine?.kind === 'refusal') checkUnknown(machine.refusal);
  const card = cardOfRun(run, machine?.kind === 'machine' ? machine.machine : undefined, nowMs());
  return card === undefined ? { kind: 'gone', why: 'the run has nothing to show' } : { kind: 'card', card };
}

function goneOrOutage(refusal: RefusalBody): Content {
  checkUnknown(refusal);
  return { kind: 'gone', why: shorten(refusal.message, 400) };
}

/**
 * Only what the engine does not know is gone for good: without its database, for one, it refuses everything.
 *
 * @throws OutageError for any other refusal
 */
function checkUnknown({ kind, message, nextStep }: RefusalBody): void {
  if (kind === 'unknown-target') return;
  throw new OutageError('asking the engine for what is to be shown', {
    cause: message,
    retryable: true,
    ...(nextStep !== null && { nextStep }),
  });
}

type PictureSubject = Extract<DeliveryView['subject'], { kind: 'picture' }>;

/** A picture of a console as it is; the lag plot is drawn here from the curve. */
async function pictureContent(subject: PictureSubject, { engine, signal }: DeliverDeps): Promise<Content> {
  const { apiPath, fileName, altText } = subject;
  const downloaded = await engine.download(apiPath, { signal });
  if (downloaded.kind === 'png') return { kind: 'picture', png: downloaded.png, fileName, altText };
  if (downloaded.kind === 'unknown') return { kind: 'gone', why: shorten(downloaded.why, 400) };
  const series = lagSeries.safeParse(downloaded.body);
  if (!series.success) return { kind: 'gone', why: `there is no picture at ${apiPath}` };
  return { kind: 'picture', png: lagPlotPng(series.data), fileName, altText };
}

type Shown = Exclude<Content, { kind: 'gone' }>;

async function show(delivery: DeliveryView, content: Shown, surface: ChatSurface): Promise<MessageRef> {
  const { place, ref, parentRef, isNotifying, mentions } = delivery;
  if (content.kind === 'picture') return surface.postPicture({ place, parentRef, ...content });
  const { card } = content;
  const post = () => surface.post({ place, card, parentRef, isNotifying, mentions });
  if (ref === null) return post();
  try {
    return await surface.update({ place, ref, card });
  } catch (error) {
    // Somebody deleted it: people must see it all the same.
    if (error instanceof DeliveryError && error.isMessageGone) return post();
    throw error;
  }
}

/** An error that no surface foresaw is tried again and said, like any other. */
function outcomeOf(error: unknown): DeliveryOutcome {
  const words = shorten(error instanceof Error ? error.message : String(error), 400);
  if (!(error instanceof DeliveryError)) return { kind: 'later', retryAfterMs: unknownErrorRetryMs, error: words };
  const { retryAfterMs } = error;
  if (retryAfterMs === undefined) return { kind: 'undeliverable', error: words };
  return { kind: 'later', retryAfterMs: Math.min(3_600_000, Math.max(0, Math.ceil(retryAfterMs))), error: words };
}

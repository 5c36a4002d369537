import type { OverviewView } from '../../../protocol/console-api.ts';
import type { Page } from './page.ts';
import type { Topic } from './talk.ts';

/** A card is fetched at most once in so long a time, however fast its subject changes. */
const pauseMs = 1000;
/** A card that somebody sees is asked for again after so long, even when the live site says nothing new: its times go on. A run is quick. */
const lookAgainMs = 30_000;
const lookAgainAtRunMs = 5000;
const busyMsMax = 35_000;
/** Under way at once. */
const fetchCountMax = 4;

/** What is to be done about the topics now: pure, so that it can be asked after each change of the state. */
export type TopicWork =
  | { readonly kind: 'follow'; readonly topic: string }
  | { readonly kind: 'lead'; readonly from: string; readonly to: string }
  | { readonly kind: 'fetch'; readonly topic: string; readonly seen: string | undefined };

/**
 * The cards that are old, the runs that requests have led to, and the request whose page is open.
 *
 * @param isInSight of a topic: whether somebody sees its card now. Asked only of cards whose times alone are old
 */
export function topicWork(
  page: Pick<Page, 'state' | 'nowMs'>,
  isInSight: (topic: string) => boolean = () => true,
): TopicWork[] {
  const { state, nowMs } = page;
  if (state.site === undefined) return [];
  const { site, talk } = state;
  const work: TopicWork[] = routeWork(page);
  const due: { topic: string; seen: string | undefined; askedAtMs: number }[] = [];
  for (const [name, topic] of Object.entries(talk.topics)) {
    const run = runOf(site, name);
    if (run !== undefined && !Object.hasOwn(talk.topics, run)) work.push({ kind: 'lead', from: name, to: run });
    const seen = seenOf(site, name);
    const age = ageOf(name, topic, { seen, nowMs });
    if (age === 'changed' || (age === 'old' && isInSight(name)))
      due.push({ topic: name, seen, askedAtMs: topic.askedAtMs });
  }
  const busyCount = Object.values(talk.topics).filter((topic) => isUnderWay(topic, nowMs)).length;
  // Those that have waited longest, so that each has its turn.
  const next = due.sort((a, b) => a.askedAtMs - b.askedAtMs).slice(0, Math.max(0, fetchCountMax - busyCount));
  return [...work, ...next.map(({ topic, seen }): TopicWork => ({ kind: 'fetch', topic, seen }))];
}

/**
 * Keeps the cards of all followed topics true: to be called after each render. Does nothing when nothing is old,
 * and never asks for the same card twice at once.
 */
export function followTopics(page: Page): void {
  for (const work of topicWork(page, isInSight)) {
    if (work.kind === 'follow') page.dispatch({ kind: 'talk-topic-followed', topic: work.topic });
    else if (work.kind === 'lead') page.dispatch({ kind: 'talk-topic-led', from: work.from, to: work.to });
    else void fetchCard(page, work.topic, work.seen);
  }
}

/** True when any part of the topic's card is inside the window, and the window in front. */
function isInSight(topic: string): boolean {
  if (document.visibilityState !== 'visible') return false;
  return [...document.querySelectorAll(`[data-topic="${CSS.escape(topic)}"]`)].some((element) => {
    const { top, bottom, height } = element.getBoundingClientRect();
    return height > 0 && bottom > 0 && top < window.innerHeight;
  });
}

async function fetchCard(page: Page, topic: string, seen: string | undefined): Promise<void> {
  page.dispatch({ kind: 'talk-topic-asked', topic, seen, atMs: page.nowMs });
  const answer = await page.api.card(topic);
  page.dispatch({ kind: 'talk-topic-shown', topic, answer });
}

/** The open page of a request follows it when the live site no longer holds it, and the run that it led to. */
function routeWork({ state }: Pick<Page, 'state'>): TopicWork[] {
  const { route, site, talk } = state;
  if (route.kind !== 'approval' || site === undefined) return [];
  const approval = site.approvals.find(({ id }) => id === route.id);
  const wanted = approval === undefined ? `approval:${route.id}` : runTopic(approval.runId);
  return wanted === undefined || Object.hasOwn(talk.topics, wanted) ? [] : [{ kind: 'follow', topic: wanted }];
}

function isUnderWay({ isBusy, askedAtMs }: Topic, nowMs: number): boolean {
  return isBusy && nowMs - askedAtMs < busyMsMax;
}

/** `changed`: it says what is no longer so; `old`: only its times. */
function ageOf(
  name: string,
  topic: Topic,
  { seen, nowMs }: { seen: string | undefined; nowMs: number },
): 'new' | 'old' | 'changed' {
  const sinceMs = nowMs - topic.askedAtMs;
  if (topic.isFinal || isUnderWay(topic, nowMs) || sinceMs < pauseMs) return 'new';
  if (topic.card === undefined || seen !== topic.seen) return 'changed';
  return sinceMs >= (name.startsWith('run:') ? lookAgainAtRunMs : lookAgainMs) ? 'old' : 'new';
}

/** What the live site says of a topic, as one word that changes with it. */
function seenOf(site: OverviewView, topic: string): string | undefined {
  const [kind, id] = topic.split(':');
  const approval = kind === 'approval' ? site.approvals.find((one) => one.id === id) : undefined;
  const alert = kind === 'alert' ? site.alerts.find((one) => one.id === id) : undefined;
  if (approval !== undefined) return `${approval.revision} ${approval.state} ${approval.runId}`;
  if (alert !== undefined) return `${alert.revision} ${alert.state}`;
  const run = kind === 'run' ? site.runs.find((one) => one.id === id) : undefined;
  return run === undefined ? undefined : `${run.state} ${run.steps.map((step) => step.state).join(' ')}`;
}

function runOf(site: OverviewView, topic: string): string | undefined {
  const approval = site.approvals.find(({ id }) => topic === `approval:${id}`);
  return approval === undefined ? undefined : runTopic(approval.runId);
}

function runTopic(runId: string | null): string | undefined {
  return runId === null ? undefined : `run:${runId}`;
}

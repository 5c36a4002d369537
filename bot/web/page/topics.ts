import type { OverviewView } from '../../../protocol/console-api.ts';
import type { Page } from './page.ts';
import type { Topic } from './talk.ts';

/** A card is fetched at most once in so long a time, however fast its subject changes. */
const pauseMs = 1000;
/** A running thing is looked at again after so long, even when the live site says nothing new: its times go on. */
const lookAgainMs = 5000;
const busyMsMax = 35_000;

/** What is to be done about the topics now: pure, so that it can be asked after each change of the state. */
export type TopicWork =
  | { readonly kind: 'follow'; readonly topic: string }
  | { readonly kind: 'lead'; readonly from: string; readonly to: string }
  | { readonly kind: 'fetch'; readonly topic: string; readonly seen: string | undefined };

/** The cards that are old, the runs that requests have led to, and the request whose page is open. */
export function topicWork(page: Pick<Page, 'state' | 'nowMs'>): TopicWork[] {
  const { state, nowMs } = page;
  if (state.site === undefined) return [];
  const { site, talk } = state;
  const work: TopicWork[] = routeWork(page);
  for (const [name, topic] of Object.entries(talk.topics)) {
    const run = runOf(site, name);
    if (run !== undefined && !Object.hasOwn(talk.topics, run)) work.push({ kind: 'lead', from: name, to: run });
    const seen = seenOf(site, name);
    if (isOld(topic, seen, nowMs)) work.push({ kind: 'fetch', topic: name, seen });
  }
  return work;
}

/**
 * Keeps the cards of all followed topics true: to be called after each render. Does nothing when nothing is old,
 * and never asks for the same card twice at once.
 */
export function followTopics(page: Page): void {
  for (const work of topicWork(page)) {
    if (work.kind === 'follow') page.dispatch({ kind: 'talk-topic-followed', topic: work.topic });
    else if (work.kind === 'lead') page.dispatch({ kind: 'talk-topic-led', from: work.from, to: work.to });
    else void fetchCard(page, work.topic, work.seen);
  }
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

function isOld(topic: Topic, seen: string | undefined, nowMs: number): boolean {
  const sinceMs = nowMs - topic.askedAtMs;
  if (topic.isFinal || (topic.isBusy && sinceMs < busyMsMax) || sinceMs < pauseMs) return false;
  return topic.card === undefined || seen !== topic.seen || sinceMs >= lookAgainMs;
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

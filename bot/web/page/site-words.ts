import type { AlertView, ApprovalView } from '../../../protocol/chat-api.ts';
import type { OverviewView } from '../../../protocol/console-api.ts';
import type { MachineView, RunView } from '../../../protocol/control-api.ts';
import { isUnattended, worstAlertsFirst } from '../../conversation/alert-cards.ts';
import { isMineToDecide } from '../../conversation/approval-cards.ts';
import { countWords } from '../../conversation/machine-cards.ts';
import { enabledWords } from '../../conversation/machine-words.ts';
import { myPart } from './approval-words.ts';
import type { PageState } from './model.ts';

/** What waits for this person, most urgent first. */
export type NeedsMe = {
  readonly approvals: readonly ApprovalView[];
  /** What was done without an approver, and this person may look at afterwards. */
  readonly reviews: readonly ApprovalView[];
  readonly alerts: readonly AlertView[];
  readonly runs: readonly RunView[];
};

const nothing: NeedsMe = { approvals: [], reviews: [], alerts: [], runs: [] };

export function needsMe({ site, me }: Pick<PageState, 'site' | 'me'>): NeedsMe {
  if (site === undefined) return nothing;
  return {
    approvals: site.approvals
      .filter((approval) => isMineToDecide(approval, me?.name))
      .sort((a, b) => a.expiresAtMs - b.expiresAtMs),
    reviews: site.approvals
      .filter((approval) => myPart(approval, me).kind === 'review')
      .sort((a, b) => (a.review?.dueAtMs ?? 0) - (b.review?.dueAtMs ?? 0)),
    alerts: worstAlertsFirst(site.alerts.filter(isUnattended)),
    runs: site.runs.filter((run) => run.state === 'active').sort((a, b) => b.startedAtMs - a.startedAtMs),
  };
}

/** How many decisions, reviews and alerts wait: the number in the title of the tab. */
export function waitingCount(state: Pick<PageState, 'site' | 'me'>): number {
  const { approvals, reviews, alerts } = needsMe(state);
  return approvals.length + reviews.length + alerts.length;
}

/** The machine that a name stands for, as the engine takes it: the one that is protected, of guests of one name on several hosts. */
export function machineOfName(site: OverviewView | undefined, name: string): MachineView | undefined {
  const named = site?.machines.filter((machine) => machine.name === name) ?? [];
  return named.find(({ protection }) => protection.kind !== 'not-protected') ?? named[0];
}

/** Which other hosts have a guest of this name; undefined when none has. */
export function twinWords(site: OverviewView | undefined, { name, hostName }: MachineView): string | undefined {
  const others = site?.machines.filter((other) => other.name === name && other.hostName !== hostName) ?? [];
  if (others.length === 0) return undefined;
  const hosts = others.map((other) => other.hostName).join(', ');
  return `${hosts} ${others.length === 1 ? 'has' : 'have'} a guest of the name ${name} too. This page is about the one of ${hostName}.`;
}

/** `3 sites · 42 hosts · 1000 machines · 961 Enabled` */
export function siteWords(site: OverviewView): string {
  const siteCount = new Set(site.hosts.map((host) => host.siteName)).size;
  const parts = [
    countWords(siteCount, 'site'),
    countWords(site.hosts.length, 'host'),
    countWords(site.machines.length, 'machine'),
  ];
  return [...parts, enabledWords(site.machines)].join(' · ');
}

/** The name of the open page, for the tab. */
export function routeWords({ route }: Pick<PageState, 'route'>): string {
  switch (route.kind) {
    case 'overview':
      return 'Overview';
    case 'machine':
      return route.name;
    case 'approvals':
      return 'Approvals';
    case 'approval':
      return `Approval ${route.id}`;
    case 'alerts':
      return 'Alerts';
    case 'report':
      return route.machine === undefined ? 'Report' : `Report of ${route.machine}`;
    case 'sign-in':
      return 'Sign in';
    case 'unknown':
      return 'Not found';
    default:
      return route satisfies never;
  }
}

/** `(2) Overview · Lifeboat`, and says when it is not live: a tab in the background is all that some people see. */
export function titleWords(state: PageState): string {
  const count = waitingCount(state);
  const stale = state.freshness.kind === 'stale' && state.site !== undefined ? 'stale · ' : '';
  return `${count === 0 ? '' : `(${count}) `}${stale}${routeWords(state)} · Lifeboat`;
}

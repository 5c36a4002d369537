import path from 'node:path';
import type { Browser, Page } from 'playwright-core';
import { expect } from 'vitest';
import type { ApiAnswer } from '../../bot/api-call.ts';
import { executeChatLine } from '../../bot/chat-line.ts';
import { lineOfForm } from '../../bot/conversation/forms.ts';
import type { EngineClient } from '../../bot/engine-client.ts';
import { bundlePage } from '../../bot/web/page-bundle.ts';
import type { LineReply, Me, SiteParts } from '../../bot/web/wire.ts';
import type { MachineId } from '../../domain/ids.ts';
import type { AlertView, ApprovalView } from '../../protocol/chat-api.ts';
import type { OverviewView } from '../../protocol/console-api.ts';
import { engineOf, machine, newest, nowMs, worlds } from '../bot/recorded-answers.ts';
import { launchBrowser, openPage } from '../fixtures/browser.ts';
import { lagAlert, pendingApproval } from '../teams/small-engine.ts';
import { windowIntoState } from './page-checks.ts';
import { alteredPage, type PageHarness, startPageHarness } from './page-harness.ts';

/** The conversation of the page in a real browser, before canned answers, at the time when those were given. */
export type ConversationSite = {
  readonly page: Page;
  readonly harness: PageHarness;
  readonly faults: readonly string[];
  /** Opens an address as `who`, in a site with `more` in it. */
  readonly open: (address: string, more?: Partial<OverviewView>, who?: Me) => Promise<void>;
  readonly openChat: () => Promise<void>;
  /** Types a line into the chat, and waits until it was sent and all is drawn. */
  readonly sendTyped: (line: string) => Promise<void>;
  /** Somebody looks at it later, and the site has moved on. */
  readonly later: (passedMs: number, parts?: SiteParts) => Promise<void>;
  /** The real conversation behind the page, over recorded answers of an engine. */
  readonly talksWith: (engine: Pick<EngineClient, 'ask'>) => void;
  /** Where somebody wants to look at them, pictures are kept there. */
  readonly picture: (name: string) => Promise<void>;
  readonly close: () => Promise<void>;
};

export const me: Me = { name: 'ben', roles: ['approver'], hasAuthenticator: true, isOnCall: false };
export const pending: ApprovalView = {
  ...pendingApproval,
  requestedAtMs: nowMs - 60_000,
  expiresAtMs: nowMs + 1_700_000,
};
export const alert: AlertView = { ...lagAlert, openedAtMs: nowMs - 240_000, changedAtMs: nowMs };
export const ben = {
  surface: 'teams',
  tenant: 't',
  user: 'u',
  displayName: 'ben',
  kind: 'member',
  envelope: 'e',
} as const;

/** Waits for what is drawn, not for the clock; the limit is only for a page that hangs. */
export const eventually = <Seen>(look: () => Seen | Promise<Seen>) =>
  expect.poll(look, { timeout: 20_000, interval: 25 });

export const well = () => engineOf(worlds.well ?? { machines: [] });

function siteWith(more: Partial<OverviewView> = {}): OverviewView {
  return {
    atMs: nowMs,
    hosts: [],
    machines: ['vm-7', 'vm-8', 'db-1'].map((name) => machine(name, { id: 'mch_ABCDEFGHJK' as MachineId })),
    runs: [],
    approvals: [pending],
    alerts: [alert],
    surfaces: [],
    versions: { engine: '0.1.0', node: '24', postgres: '18', vault: 'directory', accelerator: 'tcg' },
    eventNumber: 1,
    ...more,
  };
}

export async function startConversationSite(): Promise<ConversationSite> {
  let clockMs = nowMs;
  const bundle = await alteredPage(await bundlePage(), [windowIntoState]);
  const start = { site: siteWith(), me, bundle, nowMs: () => clockMs };
  const [harness, browser]: [PageHarness, Browser] = await Promise.all([startPageHarness(start), launchBrowser()]);
  const { page, faults } = await openPage(browser);
  return {
    page,
    harness,
    faults,
    open: async (address, more = {}, who = me) => {
      harness.setSite(siteWith(more));
      harness.setMe(who);
      harness.linesSent.length = 0;
      clockMs = nowMs;
      await page.clock.setFixedTime(clockMs);
      await page.goto(`${harness.url}${address}`);
      await page
        .getByText(/^\s*live/)
        .first()
        .waitFor();
    },
    openChat: async () => {
      const isShown = (await page.getByRole('log').count()) > 0;
      if (!isShown) await page.getByRole('navigation', { name: 'Main' }).getByRole('button', { name: 'Chat' }).click();
      await page.getByRole('log').waitFor();
    },
    sendTyped: async (line) => {
      const before = harness.linesSent.length;
      await page.getByRole('combobox', { name: 'Command' }).fill(line);
      await page.keyboard.press('Enter');
      await eventually(() => harness.linesSent.length).toBe(before + 1);
      await eventually(() => page.locator('[aria-busy="true"]:not(.topic), .waiting').count()).toBe(0);
    },
    later: async (passedMs, parts = {}) => {
      clockMs += passedMs;
      await page.clock.setFixedTime(clockMs);
      harness.emit({ kind: 'change', atMs: clockMs, ...parts });
      await page.getByText(`live · ${new Date(clockMs).toISOString().slice(11, 19)}Z`).waitFor();
    },
    talksWith: (engine) => talkWith(harness, engine),
    picture: async (name) => {
      const kept = process.env.LIFEBOAT_PAGE_PICTURES;
      if (kept !== undefined) await page.screenshot({ path: path.join(kept, `${name}.png`) });
    },
    close: async () => {
      await browser.close();
      await harness.close();
    },
  };
}

function talkWith(harness: PageHarness, engine: Pick<EngineClient, 'ask'>): void {
  const deps = {
    engine,
    speaker: { session: 's', isBegunByPerson: true } as const,
    newKey: () => 'key',
    nowMs: () => nowMs,
  };
  const replied = async (line: string): Promise<LineReply> => {
    const { cards: said, form, follow } = await executeChatLine(line, deps);
    return { kind: 'reply', cards: said, files: [], ...(form && { form }), ...(follow && { topic: follow.topic }) };
  };
  harness.answers.line = replied;
  harness.answers.form = ({ kind, context }, answers) => replied(lineOfForm(kind, context, answers));
}

/** What is drawn beyond the edge of the window, or cut off, in words. */
export const overflowScript = `(() => {
  const width = document.documentElement.clientWidth;
  const isHidden = (element) => element.closest('.visually-hidden, .skip-link') !== null;
  return [...document.querySelectorAll('#page *')].filter((element) => {
    if (isHidden(element)) return false;
    const box = element.getBoundingClientRect();
    return box.width > 0 && (box.right > width + 1 || box.left < -1);
  }).map((element) => element.className + ': ' + element.textContent.trim().slice(0, 60));
})()`;

/** The engine's answer to a planned failover of vm-7: its plan, or that the request waits. */
export function planned(isDryRun: boolean): ApiAnswer {
  if (!isDryRun) return { kind: 'order', answer: { kind: 'approval', approval: pending, message: 'ben is asked.' } };
  const { impact, checks, eligible } = pending;
  const target = {
    target: 'qemu at hv-2',
    vmName: 'vm-7',
    network: 'production',
    accelerator: 'tcg',
    shutdownLimitMs: 120_000,
  };
  const plan = {
    digest: 'ab'.repeat(32),
    machineName: 'vm-7',
    newestPoint: newest,
    lagMs: 9000,
    ...target,
    neededCount: 1,
    eligible,
    impact,
    checks,
    steps: ['stop vm-7', 'start vm-7 at the target'],
    measured: null,
    measuredDrills: null,
  };
  return { kind: 'order', answer: { kind: 'failover-plan', plan } };
}

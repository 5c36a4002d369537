import { z } from 'zod';
import { id } from './api-fields.ts';
import { alertView, approvalView, personName, surfaceView } from './chat-api.ts';
import { hostView, machineView, runView, versionView } from './control-api.ts';

/**
 * What the web console adds to the control API: who looks at it, the whole site at a glance, and reports.
 * Times are epoch milliseconds by the database's clock. Source: A4, A6, A12; issue 4
 */

// ── who looks ──────────────────────────────────────────────────────────────────────────────────────────────
/** Header of a bot's request on behalf of somebody who signed in at its web console: the session's token. The engine, not the bot, knows whose it is. */
export const sessionHeader = 'lifeboat-session';
/** With the value `1` on a GET for a session: a person began it. A page that stands open asks by itself too, and that is no use of the session. */
export const begunByPersonHeader = 'lifeboat-begun-by-person';

/** A one-time link to the console, good for minutes. `url` is null while no console has said where it is. */
export const signInLinkAnswer = z.object({
  url: z.url().nullable(),
  code: z.string(),
  expiresAtMs: z.number(),
});
export const signInBody = z.object({
  /** Of a link, of `dr link`, or the first admin's set-up code. */
  code: z.string().min(1).max(200),
  /** Where the browser is, for the audit trail and for counting wrong tries. */
  address: z.string().max(100).default(''),
});
export const signInAnswer = z.object({
  /** 256 random bits; the engine keeps its hash only. */
  token: z.string(),
  person: personName,
  /** However busy the session is. */
  expiresAtMs: z.number(),
  /** It ends earlier when nothing is asked for so long. */
  idleLimitMs: z.number(),
});
export const signOutBody = z.object({
  /** Every session of this person, also in other browsers. */
  isEverywhere: z.boolean().default(false),
});
/** The bot says at its start, and every minute, where its console is reached. */
export const consoleAddressBody = z.object({ url: z.url({ protocol: /^https$/ }) });

// ── the site at a glance ───────────────────────────────────────────────────────────────────────────────────
export const overviewView = z.object({
  /** The database's clock at the moment of this look. */
  atMs: z.number(),
  hosts: z.array(hostView),
  machines: z.array(machineView),
  /** Active ones, and the newest fifty. */
  runs: z.array(runView),
  /** Open ones, and those that ended in the last hour. */
  approvals: z.array(approvalView),
  /** Not recovered yet. */
  alerts: z.array(alertView),
  surfaces: z.array(surfaceView),
  versions: versionView,
  /** The number of the newest event that is in it. */
  eventNumber: z.number().int(),
});

// ── reports ────────────────────────────────────────────────────────────────────────────────────────────────
export const reportQuery = z.object({
  /** One machine; all of them if left out. */
  machine: z.string().max(100).optional(),
  fromMs: z.coerce.number().int().min(0),
  toMs: z.coerce.number().int().min(0),
});
const spread = z.object({ medianMs: z.number(), worstMs: z.number() }).nullable();
const runTimes = z.object({ rpoMs: spread, rtoMs: spread }).default({ rpoMs: null, rtoMs: null });
export const reportView = z.object({
  machineName: z.string().nullable(),
  fromMs: z.number(),
  toMs: z.number(),
  madeAtMs: z.number(),
  madeBy: z.string(),
  summary: z.object({
    machineCount: z.number().int(),
    drillCount: z.number().int(),
    verifiedDrillCount: z.number().int(),
    failoverCount: z.number().int(),
    failedRunCount: z.number().int(),
    /** Drills from an older point than the newest that could be started then: they are in no `rpoMs`. */
    chosenPointDrillCount: z.number().int().default(0),
    /** Runs that nobody approved, and those of them that nobody has reviewed. */
    breakGlassCount: z.number().int().default(0),
    unreviewedBreakGlassCount: z.number().int().default(0),
    /** Machines of the report that are protected and had no verified drill in the period. */
    machinesWithoutDrill: z.array(z.string()),
    /** Over the drills that succeeded and have measured it: what would have been lost. Null when there were none. */
    drillTimes: runTimes,
    /** The same of failovers: what was lost. */
    failoverTimes: runTimes,
    /** Over drills and failovers together, which are two different things: for consoles that know no other. */
    rpoMs: spread,
    rtoMs: spread,
  }),
  /** Oldest first, at most 500; `isCut` says that there were more. */
  runs: z.array(
    z.object({
      run: runView,
      /** Where the machine was started; null in runs that never said so. */
      target: z.string().nullable().default(null),
      approval: approvalView.nullable(),
      hasPicture: z.boolean(),
      /** Of a drill: its newest clean-up, and what was noted with it; null when there was none. */
      cleanup: z
        .object({
          runId: id<string>('run'),
          state: z.enum(['active', 'succeeded', 'failed']),
          requestedBy: z.string(),
          startedAtMs: z.number(),
          note: z.string(),
        })
        .nullable()
        .default(null),
    }),
  ),
  isCut: z.boolean(),
  /** Of the machines in `runs`: from which lag on people are told of it now. What it was when a run began is not recorded. */
  lagLimits: z.array(z.object({ machineName: z.string(), limitMs: z.number() })).default([]),
  /** Failovers that were asked for in the period and ended without a run: rejected, expired, withdrawn, superseded. Oldest first, at most 200. */
  requests: z.array(approvalView).default([]),
  areRequestsCut: z.boolean().default(false),
  /** The audit trail at the moment of the report: whoever keeps the report can prove later that nothing before it was changed. */
  audit: z.object({ headDigest: z.string(), headNumber: z.number().int(), isChainWhole: z.boolean() }),
});

export const consoleRoutes = {
  signInLink: '/v1/console/links',
  signIn: '/v1/console/sessions',
  signOut: '/v1/console/sign-out',
  consoleAddress: '/v1/bot/console',
  overview: '/v1/overview',
  report: '/v1/report',
} as const;

export type SignInLinkAnswer = z.infer<typeof signInLinkAnswer>;
export type SignInAnswer = z.infer<typeof signInAnswer>;
export type OverviewView = z.infer<typeof overviewView>;
export type ReportView = z.infer<typeof reportView>;

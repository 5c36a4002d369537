import type { Grant, Role } from '../domain/access.ts';
import type { RunnableVerb } from './verb-table.ts';

/** `vm:x` or a bare `x`: one machine. `host:x`: all machines of a host. */
export type Target = { readonly kind: 'vm' | 'host'; readonly name: string };

export type ListObject = 'vms' | 'plans' | 'hosts' | 'runs' | 'alerts' | 'approvals';
export const machineFilters = ['enabled', 'replicating', 'not-enabled', 'paused', 'failed-over'] as const;
export const runFilters = ['active', 'succeeded', 'failed'] as const;
export const approvalFilters = [
  'pending',
  'executing',
  'succeeded',
  'failed',
  'rejected',
  'expired',
  'withdrawn',
] as const;
export const alertFilters = ['open', 'acknowledged', 'snoozed', 'muted', 'recovered'] as const;
export type ListFilter =
  | (typeof machineFilters)[number]
  | (typeof runFilters)[number]
  | (typeof approvalFilters)[number]
  | (typeof alertFilters)[number];
export type PointFilter = 'all' | 'application-consistent' | 'crash-consistent';
export type ShowSubject = { readonly kind: 'run' | 'drill' | 'approval' | 'alert'; readonly id: string } | Target;

/** A time as it was typed: what it means depends on when it is read. Clocks are UTC. */
export type TimeWord =
  | { readonly kind: 'clock'; readonly hour: number; readonly minute: number }
  | { readonly kind: 'instant'; readonly atMs: number }
  | { readonly kind: 'in'; readonly ms: number };

/** Who is meant: somebody named in the chat platform's own way, or a person by name. */
export type PersonWord =
  | { readonly kind: 'user'; readonly id: string }
  | { readonly kind: 'person'; readonly name: string };

/** What a decision is about; revision and digest are of what the person saw. */
export type DecisionTarget = {
  readonly approval: string;
  readonly revision: number | undefined;
  readonly digest8: string | undefined;
};

/** A line of the grammar that may be carried out. Durations are milliseconds. */
export type Command =
  | { readonly verb: 'overview' }
  | { readonly verb: 'help'; readonly topic: RunnableVerb | undefined }
  | { readonly verb: 'status'; readonly target: Target | undefined; readonly isPublic: boolean }
  | {
      readonly verb: 'list';
      readonly object: ListObject;
      readonly state: ListFilter | undefined;
      readonly page: number;
    }
  | { readonly verb: 'show'; readonly subject: ShowSubject }
  | { readonly verb: 'points'; readonly machine: string; readonly filter: PointFilter }
  | {
      readonly verb: 'lag';
      readonly target: Target | undefined;
      /** Looks back so far; undefined: only the lag now. */
      readonly sinceMs: number | undefined;
    }
  | { readonly verb: 'whoami' }
  | { readonly verb: 'version' }
  | MachineCommand
  | DecisionCommand
  | AlertCommand
  | SetUpCommand
  /** Words of the grammar that this version understands and cannot do. */
  | { readonly verb: 'not-available'; readonly asked: string; readonly instead: string };

/** Orders about one machine. */
export type MachineCommand =
  | {
      readonly verb: 'enable';
      readonly machine: string;
      readonly policy: string;
      readonly host: string | undefined;
    }
  | { readonly verb: 'pause'; readonly machine: string; readonly forMs: number; readonly reason: string }
  | { readonly verb: 'resume'; readonly machine: string }
  | { readonly verb: 'resync'; readonly machine: string; readonly reason: string }
  | {
      readonly verb: 'bookmark';
      readonly machine: string;
      readonly reason: string;
      readonly isApplicationConsistent: boolean;
    }
  | {
      readonly verb: 'test-failover';
      readonly machine: string;
      readonly point: string;
      readonly isDryRun: boolean;
    }
  | {
      readonly verb: 'planned-failover';
      readonly machine: string;
      /** Empty only in a dry run. */
      readonly reason: string;
      /** Not before this time. */
      readonly at: TimeWord | undefined;
      readonly isDryRun: boolean;
      /** Set for a break-glass: the name that was typed to confirm it. */
      readonly typedName: string | undefined;
      /** Six digits, for a break-glass only. */
      readonly code: string | undefined;
    }
  /** `failover vm-7` without a mode: a card or a form asks, nothing runs. */
  | { readonly verb: 'failover-question'; readonly machine: string; readonly point: string }
  | { readonly verb: 'cleanup'; readonly machine: string; readonly note: string }
  | {
      readonly verb: 'threshold';
      readonly machine: string;
      readonly warnMs: number;
      readonly criticalMs: number;
      readonly reason: string;
    }
  | {
      readonly verb: 'tag';
      readonly machine: string;
      readonly add: readonly string[];
      readonly remove: readonly string[];
      readonly reason?: string;
    };

export type DecisionCommand =
  | { readonly verb: 'approvals'; readonly isMine: boolean }
  | (DecisionTarget & { readonly verb: 'approve'; readonly code: string | undefined; readonly reason: string })
  /** Without a reason a card or a form asks for it, and nothing happens. */
  | (DecisionTarget & { readonly verb: 'reject'; readonly reason: string | undefined })
  | (DecisionTarget & { readonly verb: 'withdraw' })
  | { readonly verb: 'review'; readonly approval: string; readonly note: string };

export type SnoozeTime =
  | { readonly kind: 'for'; readonly ms: number }
  | { readonly kind: 'until'; readonly hour: number; readonly minute: number };
export type AlertCommand =
  | { readonly verb: 'alerts' }
  | { readonly verb: 'ack' | 'unack' | 'unsnooze' | 'escalate'; readonly alert: string }
  /** Without a time a card or a form asks for it. */
  | { readonly verb: 'snooze'; readonly alert: string; readonly time: SnoozeTime | undefined }
  | { readonly verb: 'mute'; readonly alert: string; readonly reason: string };

export type SetUpCommand =
  | {
      readonly verb: 'subscribe';
      /** The platform's id of a channel; undefined: where the line was written. */
      readonly channel: string | undefined;
      readonly severity: 'info' | 'warning' | 'critical';
      readonly host: string | undefined;
      readonly site: string | undefined;
      readonly isOn: boolean;
    }
  /** Undefined: only say who is on call. */
  | { readonly verb: 'oncall'; readonly persons: readonly PersonWord[] | undefined }
  | { readonly verb: 'people' }
  | {
      readonly verb: 'role';
      readonly person: PersonWord;
      readonly role: Role | 'none';
      readonly scope: Grant['scope'];
      readonly reason: string;
    }
  | { readonly verb: 'link'; readonly code: string | undefined }
  | { readonly verb: 'authenticator'; readonly code: string | undefined }
  /** A link to the web console, or the end of every session there. */
  | { readonly verb: 'console'; readonly isSignOut: boolean }
  | { readonly verb: 'audit'; readonly about: string; readonly isCsv: boolean };

/** Why a line is not a command. It was not executed, and neither was the corrected line. */
export type UsageProblem = {
  readonly message: string;
  /** The line as it was probably meant; it is a valid command. */
  readonly correctedLine?: string;
  /** The verb whose usage helps. */
  readonly verb?: RunnableVerb;
};

export type ParsedLine =
  | { readonly kind: 'command'; readonly command: Command }
  | { readonly kind: 'usage'; readonly problem: UsageProblem };

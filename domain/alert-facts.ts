import type { AlertThresholds } from './alert-threshold.ts';

/** What alerts are decided from, as it is at one look. Times are epoch milliseconds by the database's clock; lengths are milliseconds. */
export type AlertFacts = {
  readonly nowMs: number;
  /** Since when looks have followed each other: silence before that may have been our own. */
  readonly resumedAtMs: number;
  readonly heartbeatEveryMs: number;
  readonly machines: readonly MachineFacts[];
  readonly hosts: readonly HostFacts[];
  readonly drills: readonly {
    readonly machineName: string;
    readonly vmName: string;
    readonly openMs: number;
    readonly limitMs: number;
  }[];
  readonly messages: {
    readonly dead: readonly { readonly place: string; readonly count: number; readonly lastError: string }[];
    readonly waiting: readonly {
      readonly surface: string;
      readonly count: number;
      readonly oldestMs: number;
      readonly oldestCriticalMs: number;
    }[];
  };
  readonly reviews: readonly {
    readonly approvalId: string;
    readonly machineName: string;
    readonly requestedBy: string;
    readonly dueAtMs: number;
  }[];
  /** Undefined while our own have not been looked at. */
  readonly credentials: readonly CredentialFacts[] | undefined;
  /** Why the audit trail cannot be trusted, by its last check; undefined when it can. */
  readonly auditProblem: string | undefined;
  /** What the engine found out by trying; undefined while it has not tried yet. */
  readonly probes: ProbeFacts;
  /** Changes that wait at the hosts for the process servers, now and at the look before. */
  readonly queuedBytes: { readonly now: number; readonly before: number };
};

export type MachineFacts = {
  readonly name: string;
  readonly host: string | undefined;
  /** The only process server that it can use; undefined when there are several. */
  readonly processServer: string | undefined;
  readonly protection: 'initial-replication' | 'protected' | 'failed-over';
  /** Undefined while there is no available recovery point. */
  readonly lagMs: number | undefined;
  readonly thresholds: AlertThresholds;
  readonly resyncRequired: string | undefined;
  /** A person asked for the comparison, and no point has become available since. */
  readonly isResyncAsked: boolean;
  /** What its agent cannot do now. */
  readonly failing: string | undefined;
  /** Why nobody is told of it now. */
  readonly mutedWhy: string | undefined;
  /** When its source was last found running although it must stay stopped. */
  readonly runningAlthoughHeldAtMs: number | undefined;
};

export type HostFacts = {
  readonly name: string;
  /** Since its agent's last heartbeat, or its enrolment. */
  readonly silentMs: number;
  /** Machines that it protects now. */
  readonly machineNames: readonly string[];
  /** Where changes wait at the host, as it said last; undefined when it does not say. */
  readonly spool: SpoolFacts | undefined;
};

export type SpoolFacts = {
  readonly usedBytes: number;
  readonly bytesMax: number;
  /** What it lies on, which may be full before the spool is; null when that is not known. */
  readonly fileSystem: { readonly usedBytes: number; readonly freeBytes: number } | null;
};

export type CredentialFacts = {
  readonly name: string;
  readonly expiresAtMs: number;
  /** Renewed or copied long before, again and again: then its age alone is no news. */
  readonly isRenewedByItself: boolean;
  /** How it is renewed, in words. */
  readonly nextStep?: string | undefined;
};

export type ProbeFacts = {
  readonly vault: { readonly description: string; readonly failure: string | undefined } | undefined;
  readonly processServers: readonly { readonly url: string; readonly failure: string | undefined }[] | undefined;
  readonly disks: readonly { readonly name: string; readonly usedPercent: number }[] | undefined;
};

import type { KeyObject } from 'node:crypto';
import type { PlanView } from '../../protocol/control-api.ts';
import type { ApprovalDeps } from '../approvals/deps.ts';
import type { AuditAnchors } from '../audit-anchor.ts';
import type { CertificateAuthority, IssuedKeyPair } from '../certificate-authority.ts';
import type { EnrolmentDeps } from '../enrolment.ts';
import type { recogniseSession } from '../people/console-session.ts';
import type { redeemConsoleCode } from '../people/console-sign-in.ts';
import type { PointKeeper } from '../recovery-points.ts';
import type { Store } from '../store/open.ts';

/** What the control API and the schedule need of the durable jobs. */
export type Workflow = {
  /** Decides what a test failover would do; nothing runs. */
  planTestFailover(request: {
    readonly machineName: string;
    /** `latest`, or a recovery point's id. */
    readonly point: string;
    readonly requestedBy: string;
  }): Promise<PlanOutcome>;
  /** Plans, then starts. The same idempotency key answers with the same run. */
  startTestFailover(request: {
    readonly machineName: string;
    readonly point: string;
    readonly requestedBy: string;
    readonly idempotencyKey: string;
  }): Promise<StartOutcome>;
  startCleanup(request: {
    readonly machineName: string;
    readonly note: string;
    readonly requestedBy: string;
    readonly idempotencyKey: string;
  }): Promise<StartOutcome>;
};

export type WorkflowRefusal = {
  readonly kind: 'refused';
  readonly message: string;
  /** What the person may have meant, e.g. recovery points. */
  readonly candidates?: readonly string[] | undefined;
  readonly nextStep?: string | undefined;
};
export type PlanOutcome = { readonly kind: 'plan'; readonly plan: PlanView } | WorkflowRefusal;
export type StartOutcome = { readonly kind: 'started'; readonly runId: string } | WorkflowRefusal;

export type ConsoleRules = {
  readonly recogniseSession: typeof recogniseSession;
  readonly redeemConsoleCode: typeof redeemConsoleCode;
};

export type ApiDeps = {
  readonly store: Store;
  readonly points: PointKeeper;
  readonly workflow: Workflow;
  readonly approvals: Omit<ApprovalDeps, 'store' | 'heartbeatEveryMs'>;
  /** Other rules of the web console than ours; tests prove with broken ones that attacks are noticed. */
  readonly console?: Partial<ConsoleRules>;
  readonly enrolment: EnrolmentDeps;
  readonly certificateAuthority: CertificateAuthority;
  /** Opens the secrets of authenticators; see people/sealed-secret.ts. */
  readonly authenticatorKey: Buffer;
  /** What the vault says of the audit trail, so that a removed end is noticed. */
  readonly auditAnchors: AuditAnchors;
  /** The engine's own certificate. */
  readonly serverKey: IssuedKeyPair;
  /** The Ed25519 key that signs replication grants. */
  readonly grantKey: KeyObject;
  /** URLs of the process servers, in the order in which agents try them. */
  readonly processServers: readonly string[];
  readonly heartbeatEveryMs: number;
  /** Console pictures are read from below this folder only. */
  readonly stateFolder: string;
  readonly versions: { readonly engine: string; readonly vault: string; readonly accelerator: string };
  /** Wall clock, for certificates; what expires in the database goes by the database's clock. */
  readonly nowMs: () => number;
  /** Errors of our own that the caller was only told of in general words. */
  readonly onError: (error: unknown) => void;
  /** For metrics: what was answered, by route. */
  readonly onAnswered?: (request: {
    readonly method: string;
    /** Its pattern; undefined when there is no such route. */
    readonly route: string | undefined;
    readonly status: number;
    readonly seconds: number;
  }) => void;
};

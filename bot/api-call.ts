import type { z } from 'zod';
import type {
  bookmarkBody,
  CommandAnswer,
  cleanupBody,
  enableBody,
  HostView,
  MachineView,
  PointView,
  pauseBody,
  RefusalBody,
  RunView,
  resumeBody,
  resyncBody,
  testFailoverBody,
  versionView,
  whoamiView,
} from '../protocol/control-api.ts';

export type WhoamiView = z.infer<typeof whoamiView>;
export type VersionView = z.infer<typeof versionView>;

/** A question to the engine; nothing changes, so it may be asked again. */
export type ApiQuery =
  | { readonly kind: 'whoami' }
  | { readonly kind: 'version' }
  | { readonly kind: 'machines' }
  | { readonly kind: 'machine'; readonly name: string }
  | { readonly kind: 'points'; readonly machine: string }
  | { readonly kind: 'hosts' }
  | { readonly kind: 'runs' }
  | { readonly kind: 'run'; readonly id: string };

/** An order to the engine; it is sent with an idempotency key, so that sending it again does it once. */
export type ApiOrder =
  | { readonly kind: 'enable'; readonly body: z.input<typeof enableBody> }
  | { readonly kind: 'pause'; readonly body: z.input<typeof pauseBody> }
  | { readonly kind: 'resume'; readonly body: z.input<typeof resumeBody> }
  | { readonly kind: 'resync'; readonly body: z.input<typeof resyncBody> }
  | { readonly kind: 'bookmark'; readonly body: z.input<typeof bookmarkBody> }
  | { readonly kind: 'testFailover'; readonly body: z.input<typeof testFailoverBody> }
  | { readonly kind: 'cleanup'; readonly body: z.input<typeof cleanupBody> };

export type ApiCall = ApiQuery | ApiOrder;

/** What the engine said to a call. A refusal is an answer; an engine that cannot be asked is an OutageError. */
export type ApiAnswer =
  | { readonly kind: 'whoami'; readonly whoami: WhoamiView }
  | { readonly kind: 'version'; readonly version: VersionView }
  | { readonly kind: 'machines'; readonly machines: readonly MachineView[] }
  | { readonly kind: 'machine'; readonly machine: MachineView }
  | { readonly kind: 'points'; readonly points: readonly PointView[] }
  | { readonly kind: 'hosts'; readonly hosts: readonly HostView[] }
  | { readonly kind: 'runs'; readonly runs: readonly RunView[] }
  | { readonly kind: 'run'; readonly run: RunView }
  | { readonly kind: 'order'; readonly answer: CommandAnswer }
  | { readonly kind: 'refusal'; readonly refusal: RefusalBody };

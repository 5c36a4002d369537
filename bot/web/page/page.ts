import type { Api } from './api.ts';
import type { PageEvent, PageState } from './model.ts';

/** What every view gets. Views only read; whatever happens goes through `dispatch`, `go` or `api`. */
export type Page = {
  readonly state: PageState;
  readonly dispatch: (event: PageEvent) => void;
  /** Now by the engine's clock, whole seconds change it. Epoch milliseconds. */
  readonly nowMs: number;
  /** To a path of this page, as a click on a link does it. */
  readonly go: (path: string) => void;
  readonly api: Api;
};

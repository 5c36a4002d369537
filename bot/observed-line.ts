import type { ParsedLine } from './command.ts';
import type { EngineClient } from './engine-client.ts';

/** What became of a line that somebody wrote, for metrics. */
export type ObservedLine = {
  /** A verb of the grammar, or `none`: nobody can make others. */
  readonly verb: string;
  readonly outcome: LineOutcome;
  readonly seconds: number;
};
export const lineOutcomes = ['answered', 'form', 'refused', 'not-understood', 'outage', 'error'] as const;
export type LineOutcome = (typeof lineOutcomes)[number];
export type ObserveLine = (line: ObservedLine) => void;

/** Watches one line from its words to its reply. A refusal is seen where it comes from, so that no card needs to be read. */
export function watchLine(parsed: ParsedLine, engine: Pick<EngineClient, 'ask'>, observe: ObserveLine | undefined) {
  const beganAtMs = performance.now();
  const verb = parsed.kind === 'command' ? parsed.command.verb : (parsed.problem.verb ?? 'none');
  let refused: LineOutcome | undefined;
  const end = (outcome: LineOutcome) => observe?.({ verb, outcome, seconds: (performance.now() - beganAtMs) / 1000 });
  return {
    engine: {
      ask: async (...asked: Parameters<EngineClient['ask']>) => {
        const answer = await engine.ask(...asked);
        if (answer.kind === 'refusal') refused = answer.refusal.kind === 'outage' ? 'outage' : 'refused';
        return answer;
      },
    },
    replied: ({ form }: { readonly form?: unknown }) => {
      if (parsed.kind === 'usage') end('not-understood');
      else if (form !== undefined) end('form');
      else end(refused ?? 'answered');
    },
    failed: end,
  };
}

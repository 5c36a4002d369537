import { OutageError } from '../domain/outage.ts';
import type { ApiAnswer, ApiCall } from './api-call.ts';
import { callsAfter, type Decision, plotCalls } from './conversation/decide.ts';

type Asking = Extract<Decision, { kind: 'ask' }>;

/**
 * Asks the engine all that a line needs, one call after the other.
 *
 * @param isPlotted whether the answer may have pictures with it
 * @throws OutageError when the engine cannot be asked for the thing itself; what only goes with it may be missing
 */
export async function gatherAnswers(
  decision: Asking,
  isPlotted: boolean,
  ask: (call: ApiCall) => Promise<ApiAnswer>,
): Promise<ApiAnswer[]> {
  const answers: ApiAnswer[] = [];
  for (const call of decision.calls) answers.push(await ask(call));
  for (const call of callsAfter(decision.command, answers)) answers.push(await ask(call));
  const plots = isPlotted ? plotCalls(decision.command, answers) : [];
  for (const call of [...plots, ...decision.extras]) {
    const answer = await ask(call).catch((error: unknown) => {
      if (error instanceof OutageError) return undefined;
      throw error;
    });
    if (answer !== undefined && answer.kind !== 'refusal') answers.push(answer);
  }
  return answers;
}

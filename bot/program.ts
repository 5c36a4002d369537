import { randomUUID } from 'node:crypto';
import { userInfo } from 'node:os';
import path from 'node:path';
import { describeCauses, OutageError } from '../domain/outage.ts';
import { parseArguments } from './chat-command.ts';
import { findConnection } from './connection-file.ts';
import { decide } from './conversation/decide.ts';
import { createEngineClient } from './engine-client.ts';
import { type ExitCode, executeArguments, type LineDeps, type LineResult } from './execute-line.ts';
import { type TerminalDeps, terminalSurface } from './main.ts';
import type { Surface } from './terminal/screen.ts';

export type ProgramDeps = {
  /** Without `node` and the file's name. */
  readonly programArguments: readonly string[];
  readonly environment: Readonly<Record<string, string | undefined>>;
  readonly workingDirectory: string;
  readonly repositoryFolder: string;
  readonly output: TerminalDeps['output'];
  readonly errorOutput: TerminalDeps['output'];
  readonly nowMs: () => number;
  /** Registers what Ctrl-C does: it stops the waiting, and what was started goes on. */
  readonly onInterrupt: (stop: () => void) => void;
};

type ProgramFlags = {
  readonly isJson: boolean;
  readonly isWaiting: boolean;
  readonly person: string | undefined;
  readonly rest: readonly string[];
  readonly problem: string | undefined;
};

/** The program `dr`: one command in the words of chat. Resolves with the exit code: 0, 1, 2 or 3. */
export async function runProgram(deps: ProgramDeps): Promise<ExitCode> {
  const flags = programFlags(deps);
  if (flags.problem !== undefined) return fail({ flags, deps }, flags.problem, 2);
  // A line that needs no engine (a mistake, the help of a verb) is answered without one.
  const decision = decide(parseArguments(flags.rest), { nowMs: deps.nowMs() });
  const isHelp = decision.kind === 'ask' && decision.command.verb === 'help';
  const noEngine = (message: string) =>
    isHelp ? runLine(flags, deps, nobodyBecause(message)) : fail({ flags, deps }, message, 3);
  try {
    if (decision.kind !== 'ask') return await runLine(flags, deps, nobody);
    const found = findConnection({
      stateFolders: stateFolders(deps),
      person: flags.person,
      loginName: userInfo().username,
    });
    if (found.kind === 'absent') return await noEngine(found.message);
    const engine = createEngineClient(found.connection);
    try {
      return await runLine(flags, deps, engine);
    } finally {
      await engine.close();
    }
  } catch (error) {
    if (!(error instanceof OutageError)) throw error;
    const next = error.nextStep === undefined ? '' : `\nNext: ${error.nextStep}`;
    return noEngine(`${describeCauses(error)}${next}`);
  }
}

const nobody: LineDeps['engine'] = {
  ask: () => Promise.reject(new Error('broken invariant: this line asks nothing of the engine')),
};

/** The help is shown all the same, with the reason beside it. */
function nobodyBecause(message: string): LineDeps['engine'] {
  return { ask: () => Promise.reject(new OutageError(message, { retryable: false })) };
}

/** Where the engine of this folder keeps its state; the first one that has people in it is taken. */
function stateFolders(deps: ProgramDeps): string[] {
  const given = deps.environment.LIFEBOAT_STATE;
  if (given !== undefined && given !== '') return [path.resolve(deps.workingDirectory, given)];
  const here = path.join(deps.workingDirectory, '.lifeboat');
  const beside = path.join(deps.repositoryFolder, '.lifeboat');
  return here === beside ? [here] : [here, beside];
}

/** Takes out the flags of the program itself; the rest are words of the grammar. */
function programFlags(deps: ProgramDeps): ProgramFlags {
  const rest: string[] = [];
  let isJson = false;
  let isWaiting = true;
  let problem: string | undefined;
  let person = deps.environment.LIFEBOAT_PERSON;
  const waiting = [...deps.programArguments];
  for (let word = waiting.shift(); word !== undefined; word = waiting.shift()) {
    if (word === '--json') isJson = true;
    else if (word === '--no-wait') isWaiting = false;
    else if (word === '--as') {
      person = waiting.shift();
      if (person === undefined) problem = '--as needs a name: --as <name>';
    } else if (word.startsWith('--as=')) person = word.slice('--as='.length);
    else rest.push(word);
  }
  return { isJson, isWaiting, person: person === '' ? undefined : person, rest, problem };
}

async function runLine(flags: ProgramFlags, deps: ProgramDeps, engine: LineDeps['engine']): Promise<ExitCode> {
  const stopping = new AbortController();
  deps.onInterrupt(() => stopping.abort());
  const result = await executeArguments(flags.rest, {
    engine,
    ...(!flags.isJson && { surface: surfaceFor(flags, deps) }),
    nowMs: deps.nowMs,
    newKey: () => randomUUID(),
    signal: stopping.signal,
    isWaiting: flags.isWaiting,
  });
  if (flags.isJson) writeJson(deps, jsonResult(result));
  else for (const file of result.files) deps.output.write(file.bytes);
  return result.exitCode;
}

/** What programs read: how it ended, what the engine answered, and the cards' words for those who log them. */
function jsonResult(result: LineResult): unknown {
  const { outcome, answers, cards } = result;
  return { outcome, answers, messages: cards.map((card) => [card.title, ...(card.text ?? [])].join('\n')) };
}

/** Answers go to the output; a line that was not understood goes to the error output, out of the way of pipes. */
function surfaceFor(flags: ProgramFlags, deps: ProgramDeps): Surface {
  const decision = decide(parseArguments(flags.rest), { nowMs: deps.nowMs() });
  const isMistake = decision.kind !== 'ask' && decision.reply.outcome === 'usage';
  // A table for a spreadsheet has the output to itself: `dr audit vm-7 --csv > audit.csv`.
  const isFile = decision.kind === 'ask' && decision.command.verb === 'audit' && decision.command.isCsv;
  const output = isMistake || isFile ? deps.errorOutput : deps.output;
  const noColor = deps.environment.NO_COLOR;
  const isColored = output.isTTY === true && (noColor === undefined || noColor === '');
  return terminalSurface({ output, isColored, commandPrefix: prefixOf(flags, deps) });
}

/** What stands before a line to copy. npm says which script it runs; then `dr` itself is on nobody's PATH. */
function prefixOf({ person }: ProgramFlags, deps: ProgramDeps): string {
  const asPerson = person === undefined || person === deps.environment.LIFEBOAT_PERSON ? '' : `--as ${person} `;
  return `${deps.environment.npm_lifecycle_event === 'dr' ? 'npm run dr -- ' : 'dr '}${asPerson}`;
}

function fail(failure: { flags: ProgramFlags; deps: ProgramDeps }, message: string, exitCode: ExitCode): ExitCode {
  const { flags, deps } = failure;
  if (flags.isJson) writeJson(deps, { outcome: exitCode === 2 ? 'usage' : 'outage', answers: [], messages: [message] });
  else deps.errorOutput.write(`${message}\n`);
  return exitCode;
}

function writeJson(deps: ProgramDeps, value: unknown): void {
  deps.output.write(`${JSON.stringify(value, undefined, 2)}\n`);
}

import type { ApiAnswer } from './api-call.ts';
import { auditFiles, type ReplyFile } from './audit-file.ts';
import type { Command } from './command.ts';
import { lagPlotPng, lagPlotWords } from './plot/lag-plot.ts';

/** The files that go with the answers to a command in chat. */
export function filesOf(command: Command, answers: readonly ApiAnswer[], nowMs: number): ReplyFile[] {
  const series = answers.find((answer) => answer.kind === 'lagSeries')?.series;
  if (command.verb !== 'lag' || series === undefined) return auditFiles(command, answers, nowMs);
  const fileName = `lag-${series.machineName}.png`;
  const picture = { fileName, mediaType: 'image/png', audience: 'asker' } as const;
  return [{ ...picture, bytes: lagPlotPng(series), altText: lagPlotWords(series) }];
}

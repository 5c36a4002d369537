import { machineName } from '../../protocol/api-fields.ts';
import type { PointView } from '../../protocol/control-api.ts';
import type { AuditAnswer } from '../../protocol/people-api.ts';
import { type Asker, answerTo } from './ask-engine.ts';
import { runForWeb } from './picture-address.ts';
import { notFound, WebProblem } from './problem.ts';
import type { MachineDetail } from './wire.ts';

/** All that the machine's page shows, asked for at once. @throws WebProblem when there is no such machine, or it may not be seen */
export async function machineDetail(name: string, sinceMs: number, asker: Asker): Promise<MachineDetail> {
  if (!machineName.safeParse(name).success) throw notFound('No machine has such a name.');
  const [{ machine }, points, runs, lag, audit] = await Promise.all([
    answerTo({ kind: 'machine', name }, asker),
    unlessRefused(answerTo({ kind: 'points', machine: name }, asker)),
    answerTo({ kind: 'runs', machine: name }, asker),
    unlessRefused(answerTo({ kind: 'lagSeries', machine: name, sinceMs }, asker)),
    // The page asks again and again: to follow the whole chain each time would keep the engine from its work.
    unlessRefused(answerTo({ kind: 'audit', about: name, isUnchecked: true }, asker)),
  ]);
  return {
    kind: 'machine',
    machine,
    points: newestFirst('problem' in points ? [] : points.points),
    runs: [...runs.runs].sort((a, b) => b.startedAtMs - a.startedAtMs).map(runForWeb),
    lag: 'problem' in lag ? null : lag.series,
    audit: 'problem' in audit ? withoutAudit(audit.problem.message) : audit.audit,
  };
}

/** A part that is refused (a machine without protection has no points) does not hide the rest; being signed out does. */
async function unlessRefused<Answer>(answer: Promise<Answer>): Promise<Answer | WebProblem> {
  try {
    return await answer;
  } catch (error) {
    const isPart = error instanceof WebProblem && error.problem.why !== 'signed-out' && error.problem.why !== 'outage';
    if (isPart) return error;
    throw error;
  }
}

function newestFirst(points: readonly PointView[]): PointView[] {
  return [...points].sort((a, b) => b.takenAtMs - a.takenAtMs);
}

/** Whether the trail is whole is not known to who may not read it: the reason stands in its place. */
function withoutAudit(why: string): AuditAnswer {
  return { entries: [], isChainWhole: false, headDigest: '', problem: why };
}

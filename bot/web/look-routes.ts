import { z } from 'zod';
import { isId } from '../../domain/ids.ts';
import { OutageError } from '../../domain/outage.ts';
import { reportQuery } from '../../protocol/console-api.ts';
import { routes } from '../../protocol/control-api.ts';
import type { ApiDeps } from './api-deps.ts';
import { type Asker, answerTo, meOf, optionsOf } from './ask-engine.ts';
import { cardOfTopic } from './card-of-topic.ts';
import { machineDetail } from './machine-detail.ts';
import { runForWeb } from './picture-address.ts';
import { notFound, problemOfRefusal } from './problem.ts';
import { sandboxPolicy } from './security-headers.ts';
import type { WebApp, WebRequest } from './server.ts';
import { admittedAsker, parsed } from './session-routes.ts';
import { machineQuery } from './web-requests.ts';
import { webPaths } from './wire.ts';

const nameInPath = z.object({ name: z.string().min(1).max(200) });

/** What the page asks for when somebody looks closer. */
export function addLookRoutes(app: WebApp, deps: ApiDeps): void {
  const { engine, nowMs } = deps;
  const askerOf = (request: WebRequest) => admittedAsker(request, deps);
  app.get(webPaths.me, async (request) => meOf(await askerOf(request)));
  app.get(`${webPaths.machine}:name`, async (request) => {
    const asker = await askerOf(request);
    const { sinceMs } = parsed(machineQuery, request.query);
    return machineDetail(parsed(nameInPath, request.params).name, sinceMs, asker);
  });
  app.get(`${webPaths.card}:name`, async (request) => {
    const asker = await askerOf(request);
    return cardOfTopic(parsed(nameInPath, request.params).name, asker, nowMs());
  });
  app.get(`${webPaths.picture}:name`, async (request, reply) => {
    const asker = await askerOf(request);
    const png = await pictureOf(parsed(nameInPath, request.params).name, asker, deps);
    return reply.header('content-security-policy', sandboxPolicy).type('image/png').send(png);
  });
  app.get(webPaths.report, async (request) => {
    const asker = await askerOf(request);
    const { machine, fromMs, toMs } = parsed(reportQuery, request.query);
    const query = { fromMs, toMs, ...(machine !== undefined && { machine }) };
    const report = await engine.report(query, optionsOf(asker));
    if ('refusal' in report) throw problemOfRefusal(report.refusal);
    return { ...report, runs: report.runs.map((one) => ({ ...one, run: runForWeb(one.run) })) };
  });
}

async function pictureOf(runId: string, asker: Asker, { engine }: ApiDeps): Promise<Buffer> {
  if (!isId('run', runId)) throw notFound('There is no such run.');
  const { run } = await answerTo({ kind: 'run', id: runId }, asker);
  const missing = notFound('This run has no picture.');
  if (run.result === null || run.result.consolePicture === null) throw missing;
  const path = routes.consolePicture.replace(':id', encodeURIComponent(runId));
  const got = await engine.download(path, optionsOf(asker)).catch((error: unknown) => {
    // The engine answered, and has no picture: its file is gone.
    throw error instanceof OutageError && !error.retryable ? missing : error;
  });
  if (got.kind !== 'png') throw missing;
  return got.png;
}

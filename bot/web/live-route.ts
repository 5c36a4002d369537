import type { ApiDeps } from './api-deps.ts';
import type { LiveSessions } from './live-sessions.ts';
import { openLiveStream } from './live-stream.ts';
import { addressOf, liftTimeLimit, type WebApp, type WebReply } from './server.ts';
import { sessionOf } from './session-routes.ts';
import { webPaths } from './wire.ts';

/** The live stream of the site. It has no end of its own. */
export function addLiveRoute(app: WebApp, { limits, log }: ApiDeps, live: LiveSessions): void {
  app.get(webPaths.live, async (request, reply) => {
    const admission = live.admit({ session: sessionOf(request), address: addressOf(request) });
    const isGzipWelcome = /\bgzip\b/.test(request.headers['accept-encoding'] ?? '');
    const headers = sentHeaders(reply);
    const onCutOff = () => log.info('a page of the console reads too slowly: its live stream was cut off');
    reply.hijack();
    liftTimeLimit(reply);
    try {
      const options = { headers, isGzipWelcome, unreadBytesMax: limits.unreadBytes, onCutOff };
      await admission.serve(openLiveStream(reply.raw, options));
    } catch (error) {
      log.warn('a live stream failed', error);
      reply.raw.destroy();
    } finally {
      admission.giveBack();
    }
    return reply;
  });
}

function sentHeaders(reply: WebReply): Record<string, string> {
  return Object.fromEntries(Object.entries(reply.getHeaders()).map(([name, value]) => [name, String(value)]));
}

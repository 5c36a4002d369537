import type { Writable } from 'node:stream';
import { constants, createGzip } from 'node:zlib';
import type { LiveEvent } from './wire.ts';

/** One browser that listens. Never throws: a stream that broke is ended, and the browser comes again. */
export type LiveStream = {
  readonly send: (event: LiveEvent) => void;
  readonly end: () => void;
  /** Raised when the browser is gone, or was cut off. */
  readonly signal: AbortSignal;
};

/** Of HTTP/1.1 or HTTP/2. */
type Response = Writable & { readonly writeHead: (status: number, headers: Record<string, string>) => unknown };

type Options = {
  readonly headers: Readonly<Record<string, string>>;
  readonly isGzipWelcome: boolean;
  /** A reader that leaves more than this unread is cut off: memory is for those who read. */
  readonly unreadBytesMax: number;
  readonly onCutOff: () => void;
};

/** Begins a stream of server-sent events. */
export function openLiveStream(response: Response, options: Options): LiveStream {
  const gone = new AbortController();
  const headers = {
    ...options.headers,
    'content-type': 'text/event-stream; charset=utf-8',
    'x-accel-buffering': 'no',
    vary: 'accept-encoding',
    ...(options.isGzipWelcome && { 'content-encoding': 'gzip' }),
  };
  response.writeHead(200, headers);
  // Flushed after each event: the page has it at once.
  const gzip = options.isGzipWelcome ? createGzip({ level: 4, flush: constants.Z_SYNC_FLUSH }) : undefined;
  gzip?.pipe(response);
  const sink: Writable = gzip ?? response;
  const stop = () => {
    gone.abort();
    gzip?.destroy();
  };
  response.on('close', stop);
  // A connection that breaks is the browser's business; `close` follows.
  response.on('error', stop);
  gzip?.on('error', () => response.destroy());
  const unreadBytes = () =>
    response.writableLength + (gzip === undefined ? 0 : gzip.writableLength + gzip.readableLength);
  return {
    signal: gone.signal,
    send(event) {
      if (gone.signal.aborted) return;
      if (unreadBytes() > options.unreadBytesMax) {
        options.onCutOff();
        response.destroy();
        return stop();
      }
      sink.write(`data: ${JSON.stringify(event)}\n\n`);
    },
    end() {
      if (!gone.signal.aborted) sink.end();
    },
  };
}

import type { Asset, PageBundle } from './page-bundle.ts';
import { badRequest, notFound } from './problem.ts';
import { sendProblem, type WebApp, type WebReply, type WebRequest } from './server.ts';

export type ServedRoute = { readonly method: string; readonly url: string };

export type PageVisits = {
  readonly served: readonly ServedRoute[];
  /** Somebody loads the page, with these cookies: who it is has not been asked yet. */
  readonly onVisit: (cookies: string | undefined) => void;
};

/** The shell and what it loads: static, the same for everybody, and open to everybody. */
export function addPageRoutes(app: WebApp, { shell, assets }: PageBundle, { served, onVisit }: PageVisits): void {
  for (const asset of assets) {
    app.get(asset.path, async (request, reply) => {
      const { body, encoding } = encodedFor(request, asset);
      void reply.headers({ 'cache-control': 'public, max-age=31536000, immutable', vary: 'accept-encoding' });
      if (encoding !== undefined) void reply.header('content-encoding', encoding);
      return reply.type(asset.contentType).send(body);
    });
  }
  app.setNotFoundHandler(async (request, reply) => {
    const path = request.url.split('?', 1)[0] ?? '';
    if (isPagePath(path) && request.method === 'GET') {
      onVisit(request.headers.cookie);
      return reply.type('text/html; charset=utf-8').send(shell);
    }
    const methods = isPagePath(path) ? ['GET'] : methodsOf(path, served);
    return methods.length === 0
      ? sendProblem(notFound('There is nothing at this path.'), reply)
      : wrongMethod(methods, reply);
  });
}

/** Which page is at a path is the page's own business: all that is not ours gets the shell. */
function isPagePath(path: string): boolean {
  return !/^\/(api|assets|metrics)(\/|$)|^\/(favicon\.ico|robots\.txt)$/.test(path);
}

function methodsOf(path: string, served: readonly ServedRoute[]): string[] {
  const pattern = (url: string) => new RegExp(`^${url.replaceAll('.', '\\.').replaceAll(/:\w+/g, '[^/]+')}$`);
  return [...new Set(served.filter(({ url }) => pattern(url).test(path)).map(({ method }) => method))];
}

function wrongMethod(methods: readonly string[], reply: WebReply): WebReply {
  void reply.header('allow', methods.join(', '));
  return sendProblem(badRequest(`This path takes ${methods.join(' and ')} only.`, 405), reply);
}

type Encoded = { readonly body: Buffer; readonly encoding?: string };

function encodedFor(request: WebRequest, asset: Asset): Encoded {
  const accepted = request.headers['accept-encoding'] ?? '';
  if (/\bbr\b/.test(accepted)) return { body: asset.brotli, encoding: 'br' };
  if (/\bgzip\b/.test(accepted)) return { body: asset.gzip, encoding: 'gzip' };
  return { body: asset.plain };
}

import type { IncomingHttpHeaders } from 'node:http';
import { badRequest, WebProblem } from './problem.ts';

/** What the browser says of a request, before anything of it is read. */
export type Knock = {
  readonly method: string;
  readonly path: string;
  readonly headers: IncomingHttpHeaders & { readonly ':authority'?: string | undefined };
};

/**
 * Turns away what does not come from our own page: another name for this host (DNS rebinding), another site's script (forged requests).
 * Says why, or undefined for what may come in.
 *
 * @param hosts by which names browsers reach us, as `URL.host` writes them
 */
export function turnedAway(knock: Knock, hosts: ReadonlySet<string>): WebProblem | undefined {
  const host = hostOf(knock.headers);
  if (host === undefined || !hosts.has(host)) {
    const nextStep = `Open it at https://${[...hosts][0]}; \`web.url\` in the configuration of the bot adds another name.`;
    const message = 'This console is not reached by this name.';
    return new WebProblem(421, { why: 'bad-request', message, nextStep });
  }
  if (knock.method === 'POST') return foreignPost(knock, host);
  return knock.path.startsWith('/api/') ? foreignLook(knock) : undefined;
}

/** HTTP/2 has `:authority`; where both are, they must say the same. */
function hostOf(headers: Knock['headers']): string | undefined {
  const names = [headers[':authority'], headers.host].filter((name) => name !== undefined).map(normalized);
  return new Set(names).size === 1 ? names[0] : undefined;
}

function normalized(host: string): string | undefined {
  if (!/^[A-Za-z0-9.:[\]-]{1,260}$/.test(host)) return undefined;
  return URL.canParse(`https://${host}`) ? new URL(`https://${host}`).host : undefined;
}

/** Browsers name the site that a POST comes from; what names none was not sent by our page. */
function foreignPost({ headers }: Knock, host: string): WebProblem | undefined {
  const { origin } = headers;
  const site = siteIn(headers);
  const isForeign =
    (origin !== undefined && origin !== `https://${host}`) || (site !== undefined && site !== 'same-origin');
  if (isForeign || (origin === undefined && site === undefined)) return forged();
  const type = headers['content-type']?.split(';')[0]?.trim().toLowerCase();
  return type === 'application/json' ? undefined : badRequest('The body must be application/json.', 415);
}

/** `none`: typed into the address bar, or a bookmark. */
function foreignLook({ headers }: Knock): WebProblem | undefined {
  const site = siteIn(headers);
  return site === undefined || site === 'same-origin' || site === 'none' ? undefined : forged();
}

function siteIn(headers: Knock['headers']): string | undefined {
  const site = headers['sec-fetch-site'];
  return Array.isArray(site) ? site.join() : site;
}

function forged(): WebProblem {
  const nextStep = 'Use the page of the console itself.';
  return new WebProblem(403, {
    why: 'refused',
    message: "This request does not come from the console's own page.",
    nextStep,
  });
}

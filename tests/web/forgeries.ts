import { readFile } from 'node:fs/promises';
import path from 'node:path';
import { text } from 'node:stream/consumers';
import { connect } from 'node:tls';
import type { Browser, ConsoleSite } from './console-site.ts';

/** What the console must turn away. Each attempt says what came in all the same; the planted bugs prove that it would say so. */

/** Other names for this host, as a foreign page can make one (DNS rebinding). */
export async function foreignNames(site: ConsoleSite): Promise<string[]> {
  const { port } = site.web;
  const names = ['evil.example', `evil.example:${port}`, `127.0.0.1.evil.example:${port}`, '127.0.0.1', 'a b', ''];
  const statuses = await Promise.all(names.map((name) => statusUnder(site, name)));
  return names.filter((_, index) => statuses[index] !== '421').map((name) => `under the name "${name}"`);
}

/** POSTs with somebody's session that our own page did not send. */
export async function foreignPosts(site: ConsoleSite, victim: Browser): Promise<string[]> {
  const { url, port } = site.web;
  const forged: Record<string, string>[] = [
    {},
    { origin: 'https://evil.example' },
    { origin: 'null' },
    { origin: `https://localhost:${port}` },
    { origin: url.replace('https', 'http') },
    { 'sec-fetch-site': 'cross-site' },
    { 'sec-fetch-site': 'same-site' },
    { 'sec-fetch-site': 'none' },
    { origin: url, 'sec-fetch-site': 'cross-site' },
    { origin: 'https://evil.example', 'sec-fetch-site': 'same-origin' },
  ];
  return post(site, victim, {
    attempts: forged.map((headers) => ({ 'content-type': 'application/json', ...headers })),
    status: 403,
  });
}

/** POSTs of a kind that a form of any page can send without being asked first. */
export async function foreignTypes(site: ConsoleSite, victim: Browser): Promise<string[]> {
  const types = ['text/plain', 'application/x-www-form-urlencoded', 'multipart/form-data; boundary=x', ''];
  const attempts = types.map((type) => ({ origin: site.web.url, ...(type !== '' && { 'content-type': type }) }));
  return post(site, victim, { attempts, status: 415 });
}

type Posts = { readonly attempts: readonly Record<string, string>[]; readonly status: number };

async function post(site: ConsoleSite, victim: Browser, { attempts, status }: Posts): Promise<string[]> {
  const cameIn: string[] = [];
  for (const { method, url } of site.web.routes.filter((route) => route.method === 'POST')) {
    for (const headers of attempts) {
      // The victim keeps its session, whatever an answer says.
      const answer = await victim.ask(url, { method, headers, body: '{}' });
      if (answer.status !== status) cameIn.push(`${url} ${JSON.stringify(headers)}: ${answer.status}`);
    }
  }
  return cameIn;
}

/** Data that another site's page asks for in somebody's name. */
export async function foreignLooks(_site: ConsoleSite, victim: Browser): Promise<string[]> {
  const sites = ['cross-site', 'same-site'];
  const answers = await Promise.all(sites.map((from) => victim.get('/api/machines/vm-7', { 'sec-fetch-site': from })));
  return sites.filter((_, index) => answers[index]?.status !== 403);
}

/** Cookies that are no session, and a session beside one that somebody else has set. */
export async function foreignCookies(site: ConsoleSite, victim: Browser): Promise<string[]> {
  const own = victim.cookie ?? '';
  const token = own.slice(own.indexOf('=') + 1);
  const cookies = [
    '',
    '__Host-lifeboat=',
    `lifeboat=${token}`,
    `x${own}`,
    `__Host-lifeboat=no spaces in it`,
    `${own}; ${own}`,
  ];
  const cameIn: string[] = [];
  for (const [index, cookie] of cookies.entries()) {
    const stranger = site.browser();
    const { status } = await stranger.get('/api/machines/vm-7', cookie === '' ? {} : { cookie });
    if (status !== 401) cameIn.push(`cookie ${index}: ${status}`);
  }
  return cameIn;
}

/** Cookies of new sessions that scripts, other sites or other hosts could use. */
export async function openCookies(site: ConsoleSite): Promise<string[]> {
  const answer = await site.browser().post('/api/sign-in', { code: await site.codeOf('ana') });
  const [cookie = ''] = [answer.headers['set-cookie']].flat();
  const strict = /^__Host-lifeboat=[A-Za-z0-9_-]{43}; Path=\/; Secure; HttpOnly; SameSite=Strict; Max-Age=\d+$/;
  return strict.test(cookie) ? [] : [cookie.replace(/=[^;]*/, '=…')];
}

export async function statusUnder(site: ConsoleSite, host: string): Promise<string | undefined> {
  return (await rawAnswer(site, getUnder(host))).split(' ', 2)[1];
}

export function getUnder(host: string): string {
  return `GET / HTTP/1.1\r\nHost: ${host}\r\nConnection: close\r\n\r\n`;
}

/** What comes back for bytes that no browser sends. */
export async function rawAnswer(site: ConsoleSite, bytes: string): Promise<string> {
  const ca = await consoleCertificate(site);
  const socket = connect({ port: site.web.port, host: '127.0.0.1', ca, ALPNProtocols: ['http/1.1'] });
  socket.setEncoding('utf8').end(bytes);
  return text(socket);
}

export function consoleCertificate(site: ConsoleSite): Promise<string> {
  return readFile(path.join(site.folder, 'console.crt'), 'utf8');
}

/** Addresses, hosts and cookies that are none: what they got that is no answer of ours. */
export async function brokenRequests(site: ConsoleSite): Promise<string[]> {
  const host = `Host: 127.0.0.1:${site.web.port}\r\nConnection: close\r\n`;
  const addresses = ['//', 'http://[', '/%', '/%ff', '/api/machines/%', '/api/cards/%c0%80', '*', '/api/live?%'];
  const headers = ['Cookie: __Host-lifeboat=%', 'Cookie: ;;=;', 'Host: [', 'Origin: ://', 'Content-Length: -1'];
  const requests = [
    ...addresses.map((address) => `GET ${address} HTTP/1.1\r\n${host}\r\n`),
    ...headers.map((header) => `GET /api/me HTTP/1.1\r\n${host}${header}\r\n\r\n`),
  ];
  const answers = await Promise.all(requests.map((bytes) => rawAnswer(site, bytes)));
  return requests.filter((_, index) => !/^HTTP\/1\.1 (200|4\d\d) /.test(answers[index] ?? ''));
}

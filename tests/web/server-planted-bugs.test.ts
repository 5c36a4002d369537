import { randomUUID } from 'node:crypto';
import { mkdir, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { afterAll, beforeAll, expect, test } from 'vitest';
import type { startWeb } from '../../bot/web/start-web.ts';
import { type Alteration, altered } from '../fixtures/altered-modules.ts';
import { startTestPostgres, type TestPostgres } from '../fixtures/postgres.ts';
import { type Browser, type ConsoleSite, startConsoleSite } from './console-site.ts';
import { foreignCookies, foreignLooks, foreignNames, foreignPosts, foreignTypes, openCookies } from './forgeries.ts';

/** The attempts to get into the console, against a console one of whose guards is switched off: each notices. */

// Below node_modules, so that the altered console finds the same packages.
const folder = join(import.meta.dirname, '../../node_modules/.cache/lifeboat-planted', randomUUID());
let postgres: TestPostgres;
beforeAll(async () => {
  await mkdir(folder, { recursive: true });
  postgres = await startTestPostgres();
});
afterAll(async () => {
  await postgres?.stop();
  await rm(folder, { recursive: true, force: true });
});

async function consoleWithout(guards: readonly Alteration[]): Promise<typeof startWeb> {
  const script = await altered('bot/web/start-web.ts', guards, { platform: 'node', packages: 'external' });
  const file = join(folder, `${randomUUID()}.mjs`);
  await writeFile(file, script);
  // What `start-web.ts` exports, but for the guards.
  const module = (await import(pathToFileURL(file).href)) as { startWeb: typeof startWeb };
  return module.startWeb;
}

const off = (file: string, from: string, to: string): Alteration => ({ file: `bot/web/${file}`, from, to });

type Attempt = (site: ConsoleSite, victim: Browser) => Promise<string[]>;
const plants: readonly (readonly [bug: string, attempt: Attempt, guards: readonly Alteration[]])[] = [
  ['it answers under every name', foreignNames, [off('admission.ts', ' || !hosts.has(host)) {', ') {')]],
  [
    'it takes a POST from every page',
    foreignPosts,
    [off('admission.ts', 'return forged();\n  const type', 'void forged;\n  const type')],
  ],
  [
    'it shows data to every page',
    foreignLooks,
    [off('admission.ts', '? foreignLook(knock) : undefined', '? undefined : foreignLook(knock)')],
  ],
  [
    'it reads a body of every type, and so does the framework below it',
    foreignTypes,
    [
      off('admission.ts', "type === 'application/json' ? undefined", 'type !== null ? undefined'),
      off('server.ts', "app.removeContentTypeParser('text/plain');", ''),
    ],
  ],
  [
    'its cookie has a name that other hosts can set',
    foreignCookies,
    [off('session-cookie.ts', "cookieName = '__Host-lifeboat'", "cookieName = 'lifeboat'")],
  ],
  [
    'it takes the first of two sessions',
    foreignCookies,
    [off('session-cookie.ts', 'found.length === 1 ?', 'found.length > 0 ?')],
  ],
  ['scripts can read its cookie', openCookies, [off('session-cookie.ts', 'Secure; HttpOnly;', 'Secure;')]],
  ['other sites can send its cookie', openCookies, [off('session-cookie.ts', 'SameSite=Strict', 'SameSite=None')]],
];

test.each(plants)('a console is found out when %s', async (_bug, attempt, guards) => {
  const start = await consoleWithout(guards);
  const site = await startConsoleSite(await postgres.freshStore(), { start });
  try {
    const victim = site.browser();
    await victim.signIn('ana');
    expect(await attempt(site, victim)).not.toEqual([]);
  } finally {
    await site.stop();
  }
});

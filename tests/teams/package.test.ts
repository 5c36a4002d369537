import { execFile } from 'node:child_process';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { unzipSync } from 'fflate';
import { describe, expect, test } from 'vitest';
import { parseLine } from '../../bot/chat-command.ts';
import { isHomeLine } from '../../bot/teams/home.ts';
import { packageOptions } from '../../bot/teams/manifest.ts';
import { makeTeamsPackage, teamsPackage } from '../../bot/teams/package-main.ts';

const appId = '11111111-2222-4333-8444-555555555555';
const files = () => unzipSync(teamsPackage(packageOptions.parse({ appId })));
type Manifest = {
  readonly manifestVersion: string;
  readonly id: string;
  readonly name: { readonly short: string; readonly full: string };
  readonly description: { readonly short: string; readonly full: string };
  readonly icons: { readonly color: string; readonly outline: string };
  readonly permissions: readonly string[];
  readonly validDomains: readonly string[];
  readonly bots: readonly {
    readonly botId: string;
    readonly scopes: readonly string[];
    readonly commandLists: readonly {
      readonly scopes: readonly string[];
      readonly commands: readonly { readonly title: string; readonly description: string }[];
    }[];
  }[];
};
const manifest = (): Manifest => JSON.parse(Buffer.from(files()['manifest.json'] ?? []).toString());

describe('the app package', () => {
  test('has the manifest and its two icons at the top, and nothing else', () => {
    expect(Object.keys(files()).sort()).toEqual(['color.png', 'manifest.json', 'outline.png']);
  });

  test('asks for all three scopes and nothing that it does not need', () => {
    const [bot] = manifest().bots;
    expect(bot?.scopes).toEqual(['personal', 'team', 'groupChat']);
    expect(bot?.botId).toBe(appId);
    expect(manifest().permissions).toEqual(['identity', 'messageTeamMembers']);
    expect(manifest().validDomains).toEqual([]);
  });

  test('stays inside the lengths of schema 1.17', () => {
    const { name, description, bots } = manifest();
    const [list] = bots[0]?.commandLists ?? [];
    expect([name.short.length <= 30, name.full.length <= 100]).toEqual([true, true]);
    expect([description.short.length <= 80, description.full.length <= 4000]).toEqual([true, true]);
    expect(list?.commands.length).toBeLessThanOrEqual(10);
    for (const { title, description: words } of list?.commands ?? [])
      expect([title, title.length <= 32, words.length <= 128]).toEqual([title, true, true]);
  });

  test('every command of its menu is one of the grammar, or asks for what it lacks', () => {
    for (const { title } of manifest().bots[0]?.commandLists[0]?.commands ?? []) {
      if (isHomeLine(title)) continue;
      const parsed = parseLine(title);
      const verb = parsed.kind === 'command' ? parsed.command.verb : parsed.problem.verb;
      expect([title, verb]).not.toEqual([title, undefined]);
    }
  });

  test('its icons have the sizes that Teams wants; the outline is white on nothing', async () => {
    const { Resvg } = await import('@resvg/resvg-js');
    for (const [name, size] of [
      ['color.png', 192],
      ['outline.png', 32],
    ] as const) {
      const png = Buffer.from(files()[name] ?? []);
      expect([name, png.readUInt32BE(16), png.readUInt32BE(20)]).toEqual([name, size, size]);
    }
    const outline = Buffer.from(files()['outline.png'] ?? []).toString('base64');
    const svg = `<svg xmlns="http://www.w3.org/2000/svg" width="32" height="32"><image width="32" height="32" href="data:image/png;base64,${outline}"/></svg>`;
    const { pixels } = new Resvg(svg).render();
    const colors = Array.from({ length: 1024 }, (_, index) => pixels.subarray(index * 4, index * 4 + 4));
    // Premultiplied: white at any opacity has equal parts of red, green and blue, each as much as its opacity.
    expect(colors.every(([r, g, b, a]) => r === g && g === b && Math.abs((a ?? 0) - (r ?? 0)) <= 2)).toBe(true);
    expect(colors.filter(([, , , a]) => a === 0).length).toBeGreaterThan(300);
    expect(colors.filter(([, , , a]) => a === 255).length).toBeGreaterThan(50);
  });

  test('is the same for the same options', () => {
    const options = packageOptions.parse({ appId });
    expect(teamsPackage(options).equals(teamsPackage(options))).toBe(true);
  });

  test.each([
    ['an id that is none', { appId: 'my-bot' }],
    ['a name that is too long', { appId, name: 'x'.repeat(31) }],
    ['a website without encryption', { appId, website: 'http://example.com' }],
    ['a version that is none', { appId, version: 'latest' }],
  ])('%s is refused with a next step', async (_, options) => {
    await expect(makeTeamsPackage(options, '/nonexistent/x.zip')).rejects.toMatchObject({
      name: 'OutageError',
      nextStep: expect.any(String),
    });
  });

  test('the program makes it', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'lifeboat-teams-'));
    const out = join(folder, 'app.zip');
    const root = join(import.meta.dirname, '../..');
    const { stdout } = await promisify(execFile)(
      process.execPath,
      [join(root, 'bin/lifeboat.ts'), 'teams-package', '--app-id', appId, '--name', 'DR test', '--out', out],
      { timeout: 60_000 },
    );
    expect(stdout).toContain(out);
    const made = unzipSync(await readFile(out));
    expect(JSON.parse(Buffer.from(made['manifest.json'] ?? []).toString())).toMatchObject({
      id: appId,
      name: { short: 'DR test' },
    });
    await rm(folder, { recursive: true });
  });
});

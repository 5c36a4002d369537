import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { dirname, join, normalize, relative } from 'node:path';
import { describe, expect, test } from 'vitest';

/** The layers of DESIGN 1, as a test: what may import what, and how large a room may grow. */
const root = join(import.meta.dirname, '../..');
const files = execFileSync('git', ['ls-files', '--cached', '--others', '--exclude-standard', '*.ts'], { cwd: root })
  .toString()
  .split('\n')
  .filter((file) => file !== '' && !file.startsWith('node_modules/'));
const shipped = files.filter((file) => !file.startsWith('tests/') && !file.startsWith('bench/'));

type Import = { readonly file: string; readonly target: string };

function importsOf(file: string): Import[] {
  const text = readFileSync(join(root, file), 'utf8');
  const pattern =
    /(?:^|\n)\s*(?:import|export)\s[^'"`;]*?from\s+['"]([^'"]+)['"]|import\(\s*['"]([^'"]+)['"]\s*\)|(?:^|\n)import\s+['"]([^'"]+)['"]/g;
  return [...text.matchAll(pattern)].map((match) => {
    const target = match[1] ?? match[2] ?? match[3] ?? '';
    return { file, target: target.startsWith('.') ? normalize(join(dirname(file), target)) : target };
  });
}

const imports = shipped.flatMap(importsOf);
const inside = (folder: string) => (path: string) => path.startsWith(`${folder}/`);
const isMain = (file: string) => file.endsWith('main.ts') || file.startsWith('bin/') || file.startsWith('demo/');

function violations(rule: (edge: Import) => boolean): string[] {
  return imports.filter(rule).map((edge) => `${edge.file} imports ${edge.target}`);
}

describe('the layers', () => {
  test('the domain imports nothing but the domain', () => {
    expect(violations(({ file, target }) => inside('domain')(file) && !inside('domain')(target))).toEqual([]);
  });

  test('the protocol imports only the protocol, the domain, Node and zod', () => {
    expect(
      violations(
        ({ file, target }) =>
          inside('protocol')(file) &&
          !(inside('protocol')(target) || inside('domain')(target) || target.startsWith('node:') || target === 'zod'),
      ),
    ).toEqual([]);
  });

  test.each(['bot', 'engine', 'agent'])('%s imports neither of the two other programs', (program) => {
    const others = ['bot', 'engine', 'agent'].filter((name) => name !== program);
    expect(
      violations(({ file, target }) => inside(program)(file) && others.some((name) => inside(name)(target))),
    ).toEqual([]);
  });

  test('only main files know demo and bin', () => {
    expect(
      violations(({ file, target }) => !isMain(file) && (inside('demo')(target) || inside('bin')(target))),
    ).toEqual([]);
  });

  test('the process server reads no table', () => {
    expect(
      violations(({ file, target }) => inside('engine/process-server')(file) && inside('engine/store')(target)),
    ).toEqual([]);
  });

  test('the watchdog needs nothing but Node, so that nothing can take it down with it', () => {
    expect(
      violations(
        ({ file, target }) => inside('watchdog')(file) && !inside('watchdog')(target) && !target.startsWith('node:'),
      ),
    ).toEqual([]);
  });

  test('the vault and the target are leaves of the engine', () => {
    const allowed: Record<string, string[]> = {
      'engine/vault': ['engine/vault'],
      'engine/target': ['engine/target', 'engine/vault'],
    };
    for (const [folder, reach] of Object.entries(allowed)) {
      const wrong = violations(
        ({ file, target }) =>
          inside(folder)(file) && inside('engine')(target) && !reach.some((name) => inside(name)(target)),
      ).filter((edge) => !isMain(edge.split(' ')[0] ?? ''));
      expect(wrong).toEqual([]);
    }
  });
});

describe('libraries that stay in one room', () => {
  const rooms: [string, RegExp, RegExp][] = [
    ['drizzle-orm and pg', /^(drizzle-orm|pg)(\/|$)/, /^engine\/store\//],
    ['the Azure blob client', /^@azure\/(storage-blob|identity)/, /^engine\/vault\/azure-blob/],
    ['the durable-execution library', /^@dbos-inc\//, /^engine\/workflow\//],
    [
      'the certificate library',
      /^(@peculiar\/x509|reflect-metadata)/,
      /^(engine\/certificate-authority|agent\/identity|agent\/enrolment|bot\/web\/certificate\.ts$)/,
    ],
    ['fastify', /^fastify/, /^(engine\/api|bot\/web)\//],
    ['the bundler', /^esbuild/, /^bot\/web\/page-bundle\.ts$/],
    ['what draws the page', /^(lit-html|uplot)(\/|$)/, /^bot\/web\/page\//],
    ['metrics', /^prom-client/, /^(engine\/metrics|engine\/process-server|bot\/metrics)/],
    ['node-cron', /^node-cron/, /^engine\/schedule/],
    ['Slack', /^@slack\//, /^bot\/slack\//],
    ['the Bot Framework', /^bot(builder|framework)/, /^bot\/teams\/bot-framework\.ts$/],
    ['one-time codes', /^otpauth/, /^(engine\/people\/|demo\/slack-conversation)/],
    ['QR codes', /^uqr/, /^bot\/qr-code\.ts$/],
    ['pictures', /^@resvg\//, /^bot\/(plot|teams)\//],
  ];
  test.each(rooms)('%s', (_name, library, room) => {
    expect(violations(({ file, target }) => library.test(target) && !room.test(file))).toEqual([]);
  });
});

describe('purity of the domain', () => {
  const impure = /\bawait\b|\basync\b|Date\.now|new Date\(\)|Math\.random|\bprocess\.|setTimeout|setInterval|console\./;
  test('no waiting, no clock, no randomness, no console', () => {
    const wrong = shipped.filter(inside('domain')).flatMap((file) =>
      codeLines(file)
        .filter(({ text }) => impure.test(text))
        .map(({ number }) => `${file}:${number}`),
    );
    expect(wrong).toEqual([]);
  });
});

describe('the size of a room', () => {
  test('no shipped file has more than 400 lines', () => {
    const long = shipped.map((file) => ({
      file,
      lines: readFileSync(join(root, file), 'utf8').split('\n').length - 1,
    }));
    expect(long.filter(({ lines }) => lines > 400)).toEqual([]);
  });
});

describe('habits', () => {
  test('no escape from the type checker', () => {
    const escapes = /@ts-(ignore|expect-error|nocheck)|\bas any\b|: any\b|<any>|biome-ignore(?!.*:\s*\S{3,})/;
    const self = relative(root, import.meta.filename);
    const wrong = files
      .filter((file) => file !== self)
      .flatMap((file) =>
        codeLines(file)
          .filter(({ text }) => escapes.test(text))
          .map(({ number }) => `${file}:${number}`),
      );
    expect(wrong).toEqual([]);
  });

  test('no error is swallowed without the reason beside it', () => {
    const swallowed =
      /catch\s*(\([^)]*\))?\s*\{\s*\}|\.catch\(\s*\(\s*\w*\s*\)\s*=>\s*(\{\s*\}|undefined|null|''|false)\s*\)/;
    const wrong = shipped.flatMap((file) => {
      const lines = readFileSync(join(root, file), 'utf8').split('\n');
      const hasReason = (index: number) => /\/\/|\*\//.test(`${lines[index - 1]} ${lines[index]}`);
      return lines.flatMap((line, index) =>
        swallowed.test(line) && !hasReason(index) ? [`${file}:${index + 1} ${line.trim()}`] : [],
      );
    });
    expect(wrong).toEqual([]);
  });

  test('no marks of unfinished work and no tests that are switched off', () => {
    const marks = /\b(TODO|FIXME|XXX)\b|\b(test|it|describe)\.(only|skip)\(/;
    const self = relative(root, import.meta.filename);
    const wrong = files
      .filter((file) => file !== self)
      .flatMap((file) =>
        codeLines(file)
          .filter(({ text }) => marks.test(text))
          .map(({ number }) => `${file}:${number}`),
      );
    expect(wrong).toEqual([]);
  });

  test('no drawers: files are named after what they do', () => {
    expect(files.filter((file) => /(^|\/)(utils?|helpers?|shared|common|misc|lib)(\.ts|\/)/.test(file))).toEqual([]);
  });

  test('nothing that ships needs the folder beside the repository', () => {
    expect(shipped.filter((file) => readFileSync(join(root, file), 'utf8').includes('../shared'))).toEqual([]);
  });
});

function codeLines(file: string): { text: string; number: number }[] {
  return readFileSync(join(root, file), 'utf8')
    .split('\n')
    .map((text, index) => ({ text, number: index + 1 }))
    .filter(({ text }) => !/^\s*(\/\/|\*|\/\*)/.test(text));
}

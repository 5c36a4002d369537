import { createHash } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { basename, dirname, extname, join } from 'node:path';
import { promisify } from 'node:util';
import { brotliCompress, constants, gzip } from 'node:zlib';
import { buildSync, type OutputFile } from 'esbuild';
import { invariant } from '../../domain/invariant.ts';
import { OutageError } from '../../domain/outage.ts';

/** One file of the page as it is sent; its name has the digest of its content in it, so that browsers may keep it for ever. */
export type Asset = {
  /** `/assets/main-<digest>.js` */
  readonly path: string;
  readonly contentType: string;
  readonly plain: Buffer;
  readonly gzip: Buffer;
  readonly brotli: Buffer;
};
export type PageBundle = {
  /** The HTML at every path of the page. It holds nothing of the site. */
  readonly shell: Buffer;
  readonly assets: readonly Asset[];
  /** What a first visit loads, gzip. */
  readonly gzipBytes: number;
};

export const assetFolder = '/assets/';
const pageFolder = join(import.meta.dirname, 'page');
const contentTypes: Readonly<Record<string, string>> = {
  '.js': 'text/javascript; charset=utf-8',
  '.css': 'text/css; charset=utf-8',
  '.svg': 'image/svg+xml',
};

/**
 * Makes the page in memory: one script, one style sheet. Nothing is written, and nothing has to be built before the bot starts.
 *
 * @param entry the script to begin with; the console's own if left out
 * @throws OutageError when it cannot be made
 */
export async function bundlePage(entry: string = join(pageFolder, 'main.ts')): Promise<PageBundle> {
  const built = build(entry);
  const icon = await readFile(join(pageFolder, 'icon.svg'));
  const files = [...built, { path: named('icon', icon), contents: icon }];
  const assets = await Promise.all(files.map(assetOf));
  const shell = shellOf(await readFile(join(pageFolder, 'shell.html'), 'utf8'), assets);
  const sizes = assets.map((asset) => asset.gzip.length);
  return { shell, assets, gzipBytes: sizes.reduce((sum, size) => sum + size, shell.length) };
}

/** Synchronous on purpose: the bundler's program has ended when this returns, and none stays behind. */
function build(entry: string): Pick<OutputFile, 'path' | 'contents'>[] {
  try {
    const { outputFiles } = buildSync({
      entryPoints: [entry],
      bundle: true,
      minify: true,
      format: 'esm',
      target: 'es2022',
      platform: 'browser',
      charset: 'utf8',
      legalComments: 'none',
      write: false,
      outdir: dirname(entry),
      entryNames: 'main-[hash]',
      logLevel: 'silent',
    });
    return outputFiles;
  } catch (cause) {
    throw new OutageError(`make the page of the web console from ${entry}`, {
      cause,
      retryable: false,
      nextStep: 'the files of the page or of node_modules are not whole: run `npm ci`, or take the program again',
    });
  }
}

function named(name: string, content: Uint8Array): string {
  const digest = createHash('sha256').update(content).digest('hex').slice(0, 8);
  return `${name}-${digest}.svg`;
}

async function assetOf({ path, contents }: Pick<OutputFile, 'path' | 'contents'>): Promise<Asset> {
  const contentType = contentTypes[extname(path)];
  invariant(contentType !== undefined, `the page has a file of a kind that is not served: ${path}`);
  const plain = Buffer.from(contents);
  const [gzipped, brotli] = await Promise.all([
    promisify(gzip)(plain, { level: 9 }),
    promisify(brotliCompress)(plain, { params: { [constants.BROTLI_PARAM_QUALITY]: 9 } }),
  ]);
  return { path: `${assetFolder}${basename(path)}`, contentType, plain, gzip: gzipped, brotli };
}

function shellOf(template: string, assets: readonly Asset[]): Buffer {
  const pathOf = (extension: string) => assets.find(({ path }) => path.endsWith(extension))?.path;
  const style = pathOf('.css');
  const filled = template
    .replace('{{script}}', pathOf('.js') ?? '')
    .replace('{{icon}}', pathOf('.svg') ?? '')
    .replace('{{style}}', style === undefined ? '' : `<link rel="stylesheet" href="${style}">`);
  return Buffer.from(filled);
}

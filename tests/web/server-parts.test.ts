import { createPrivateKey, X509Certificate } from 'node:crypto';
import { mkdir, mkdtemp, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { Writable } from 'node:stream';
import { connect } from 'node:tls';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { brokenLimits } from '../../bot/card.ts';
import { runCard } from '../../bot/conversation/run-cards.ts';
import { ownServerKey } from '../../bot/web/certificate.ts';
import type { WebLimits } from '../../bot/web/limits.ts';
import { openLiveStream } from '../../bot/web/live-stream.ts';
import { bundlePage } from '../../bot/web/page-bundle.ts';
import { cardForWeb, runForWeb } from '../../bot/web/picture-address.ts';
import { createRateWindow } from '../../bot/web/rate-window.ts';
import { fingerprintOf } from '../../bot/web/server-key.ts';
import { sessionIn } from '../../bot/web/session-cookie.ts';
import { applyChange, changeBetween, isEmptyChange, machineKey } from '../../bot/web/site-changes.ts';
import { startWeb, type WebConsole } from '../../bot/web/start-web.ts';
import { OutageError } from '../../domain/outage.ts';
import { dayMs } from '../../domain/units.ts';
import type { OverviewView } from '../../protocol/console-api.ts';
import { machine, nowMs, verifiedRun } from '../bot/recorded-answers.ts';
import { smallPage } from './console-site.ts';

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(path.join(tmpdir(), 'lifeboat-web-parts-'));
});
afterAll(() => rm(folder, { recursive: true }));

describe('the changes between two looks', () => {
  const versions = { engine: '0.1.0', node: 'v24', postgres: '18', vault: 'folder', accelerator: 'tcg' };
  const look = (more: Partial<OverviewView>): OverviewView => ({
    ...{
      atMs: nowMs,
      hosts: [],
      machines: [],
      runs: [],
      approvals: [],
      alerts: [],
      surfaces: [],
      versions,
      eventNumber: 1,
    },
    ...more,
  });
  const seven = machine('vm-7', { lagMs: 4000 });

  it('leave out what only became older, and bring the page to the same site', () => {
    const before = look({ machines: [seven, machine('vm-8')] });
    const older = { ...seven, lagMs: 6000 };
    const quiet = changeBetween(
      before,
      look({ atMs: nowMs + 2000, machines: [older, machine('vm-8', { lagMs: 11_000 })] }),
    );
    expect(isEmptyChange(quiet)).toBe(true);
    expect(applyChange(before, quiet).machines[0]).toEqual(older);
    const late = look({
      atMs: nowMs + 2000,
      machines: [{ ...seven, lagMs: 90_000 }, machine('vm-8', { lagMs: 11_000 })],
    });
    expect(changeBetween(before, late).machines?.changed).toEqual([{ ...seven, lagMs: 90_000 }]);
    expect(applyChange(before, changeBetween(before, late)).machines).toEqual(late.machines);
  });

  it('bring of the hosts only those that were heard, or are new or gone', () => {
    const host = (name: string, lastSeenMs: number): OverviewView['hosts'][number] => ({
      ...{ name, siteName: 'main', agentVersion: '1', lastSeenMs, certificateExpiresAtMs: nowMs, guestNames: ['vm-7'] },
    });
    const before = look({ hosts: [host('hv-1', 1), host('hv-2', 1), host('hv-4', 1)] });
    const after = look({ hosts: [host('hv-1', 1), host('hv-2', 2), host('hv-3', 2)] });
    const change = changeBetween(before, after);
    expect(change.hosts).toEqual({ changed: [host('hv-2', 2), host('hv-3', 2)], removed: ['hv-4'] });
    expect(applyChange(before, change).hosts).toEqual(after.hosts);
    expect(applyChange(after, changeBetween(after, after)).hosts).toBe(after.hosts);
  });

  it('tell guests of the same name on two hosts apart', () => {
    const twin = machine('vm-7', { hostName: 'hv-2', lagMs: null });
    const before = look({ machines: [seven, twin] });
    const after = look({ machines: [{ ...twin, tracking: 'other' }], runs: [verifiedRun] });
    const change = changeBetween(before, after);
    expect(change.machines?.removed).toEqual([machineKey(seven)]);
    expect(applyChange(before, change)).toMatchObject({ machines: after.machines, runs: [{ id: verifiedRun.id }] });
    expect(change).not.toHaveProperty('hosts');
  });
});

it('a page gets its own address of a picture, and nothing of the path on the host', () => {
  const card = cardForWeb(runCard(verifiedRun, nowMs));
  expect(card.picture?.apiPath).toBe(`/api/pictures/${verifiedRun.id}`);
  expect(brokenLimits(card)).toEqual([]);
  for (const one of [card, runForWeb(verifiedRun)]) expect(JSON.stringify(one)).not.toContain('/srv/');
  const odd = { title: 'x', tone: 'good', audience: 'asker' } as const;
  const picture = { path: '/srv/x', apiPath: '/v1/machines/vm-7/lag', altText: '' };
  expect(cardForWeb({ ...odd, picture })).toEqual(odd);
});

it('a rate lets so many through, for each by itself, and the next ones later', () => {
  let clockMs = 0;
  const rate = createRateWindow({ countMax: 2, perMs: 1000 }, () => clockMs);
  expect([rate.take('a'), rate.take('a'), rate.take('b')]).toEqual([undefined, undefined, undefined]);
  clockMs = 400;
  expect([rate.take('a'), rate.take('b')]).toEqual([600, undefined]);
  clockMs = 1000;
  expect(rate.take('a')).toBeUndefined();
  for (let count = 0; count < 30_000; count += 1) rate.take(`stranger-${count}`);
  expect(rate.take('a')).toBeUndefined();
});

it('a session is taken from its own cookie only, and from one of them', () => {
  const token = 'A'.repeat(43);
  expect(sessionIn(`theme=dark; __Host-lifeboat=${token}`)).toBe(token);
  const none = [
    undefined,
    '',
    `lifeboat=${token}`,
    `x__Host-lifeboat=${token}`,
    '__Host-lifeboat=a\u0000b',
    '__Host-lifeboat=short',
  ];
  for (const header of [...none, `__Host-lifeboat=${token}; __Host-lifeboat=${token}`]) {
    expect(sessionIn(header)).toBeUndefined();
  }
});

it('a reader that takes nothing is cut off, and costs no more memory', () => {
  const written: string[] = [];
  const cutOffs: string[] = [];
  const stuck = Object.assign(new Writable({ write: (piece) => void written.push(String(piece)) }), {
    writeHead: () => undefined,
  });
  const options = { headers: {}, isGzipWelcome: false, unreadBytesMax: 10_000 };
  const stream = openLiveStream(stuck, { ...options, onCutOff: () => void cutOffs.push('cut off') });
  for (let count = 0; count < 1000; count += 1) stream.send({ kind: 'stale', sinceMs: null, why: 'x'.repeat(1000) });
  expect([cutOffs, stuck.destroyed, stream.signal.aborted]).toEqual([['cut off'], true, true]);
  expect(stuck.writableLength).toBeLessThan(20_000);
});

describe('the certificate that the bot makes', () => {
  const wanted = (more: { hostNames?: string[]; nowMs?: number } = {}) => ({
    stateFolder: folder,
    hostNames: ['dr.example.com'],
    nowMs: Date.now(),
    log: { info: () => undefined },
    ...more,
  });

  it('is kept, names all that browsers may type, and lives no longer than browsers take it', async () => {
    const made = await ownServerKey(wanted());
    expect(await ownServerKey(wanted())).toEqual(made);
    const certificate = new X509Certificate(made.certificate);
    for (const name of ['localhost', 'dr.example.com']) expect(certificate.checkHost(name)).toBe(name);
    for (const address of ['127.0.0.1', '::1']) expect(certificate.checkIP(address)).toBe(address);
    const lifeDays = (Date.parse(certificate.validTo) - Date.parse(certificate.validFrom)) / dayMs;
    expect(lifeDays).toBeLessThan(398);
    expect(certificate.checkPrivateKey(createPrivateKey(made.privateKey))).toBe(true);
    expect(certificate.ca).toBe(false);
    expect((await stat(path.join(folder, 'console.key'))).mode & 0o777).toBe(0o600);
  });

  it('is made anew before it ends, for another name, and when its files are not whole', async () => {
    const first = await ownServerKey(wanted());
    expect(await ownServerKey(wanted({ nowMs: Date.now() + 360 * dayMs }))).toEqual(first);
    const renewed = await ownServerKey(wanted({ nowMs: Date.now() + 370 * dayMs }));
    expect(renewed).not.toEqual(first);
    const named = await ownServerKey(wanted({ hostNames: ['other.example.com'] }));
    expect(new X509Certificate(named.certificate).checkHost('other.example.com')).toBe('other.example.com');
    await writeFile(path.join(folder, 'console.key'), first.privateKey);
    expect(await ownServerKey(wanted({ hostNames: ['other.example.com'] }))).not.toEqual(named);
    await writeFile(path.join(folder, 'console.crt'), 'half of a');
    expect(fingerprintOf(await ownServerKey(wanted()))).toMatch(/^([0-9A-F]{2}:){31}[0-9A-F]{2}$/);
  });
});

describe('the page', () => {
  const pageIn = async (name: string, script: string) => {
    await mkdir(path.join(folder, name), { recursive: true });
    const entry = path.join(folder, name, 'main.ts');
    await writeFile(entry, script);
    await writeFile(path.join(folder, name, 'main.css'), 'p { color: red }');
    return entry;
  };

  it('is one script and one style sheet, named after what is in them, and a shell without a script of its own', async () => {
    const script = `import './main.css';\ndocument.title = 'x' as string;\n`;
    const bundle = await bundlePage(await pageIn('good', script));
    const paths = bundle.assets.map((asset) => asset.path);
    expect(paths.map((one) => path.extname(one)).sort()).toEqual(['.css', '.js', '.svg']);
    const shell = bundle.shell.toString();
    for (const one of paths) expect(shell).toContain(`"${one}"`);
    expect(shell).not.toMatch(/\{\{|<style|style=|<script(?![^>]*src=)| on\w+=/);
    expect(shell).toMatch(
      /<html lang="en">[\s\S]*<title>[\s\S]*name="viewport"[\s\S]*<div id="page">[\s\S]*<noscript>/,
    );
    const again = await bundlePage(await pageIn('good', script.replace('x', 'y')));
    expect(again.assets[0]?.path).not.toBe(paths[0]);
    expect(bundle.gzipBytes).toBeLessThan(2000);
  });

  it('is light: all of it, with what draws it', async () => {
    const bundle = await bundlePage();
    expect(bundle.gzipBytes).toBeLessThan(250_000);
    expect(bundle.assets).toHaveLength(3);
  });

  it('is not begun with when it cannot be made', async () => {
    const broken = bundlePage(await pageIn('broken', `import './none.ts';`));
    await expect(broken).rejects.toMatchObject({
      message: expect.stringContaining('make the page'),
      nextStep: expect.any(String),
    });
  });
});

describe('the server', () => {
  const nobody = new OutageError('asking the engine', { retryable: true });
  const away = () => Promise.reject(nobody);
  const engine = {
    ask: away,
    download: away,
    events: away,
    overview: away,
    report: away,
    reportConsole: away,
    signIn: away,
  };
  const start = async (
    more: {
      port?: number;
      host?: string;
      tls?: object;
      nowMs?: () => number;
      log?: string[];
      limits?: Partial<WebLimits>;
    } = {},
  ) => {
    const stateFolder = await mkdtemp(path.join(folder, 'state-'));
    const say = (line: string) => void more.log?.push(line);
    const config = {
      listen: { host: more.host ?? '127.0.0.1', port: more.port ?? 0 },
      ...(more.tls && { tls: more.tls }),
    };
    return startWeb(config as Parameters<typeof startWeb>[0], {
      engine,
      log: { info: say, warn: say },
      nowMs: more.nowMs ?? Date.now,
      signal: new AbortController().signal,
      stateFolder,
      page: smallPage,
      ...(more.limits && { limits: more.limits }),
    });
  };

  it('says which port is taken, and what to do', async () => {
    const first = await start();
    const second = start({ port: first.port });
    await expect(second).rejects.toMatchObject({
      message: `listen on 127.0.0.1:${first.port} for the web console: another program has this port`,
      nextStep: expect.stringContaining('web.listen.port'),
    });
    await first.close();
    await first.ended;
  });

  it('does not wait for who begins a request and never ends it', async () => {
    const web = await start({ limits: { headersMs: 200, requestMs: 300 } });
    const begun = `POST /api/sign-in HTTP/1.1\r\nHost: localhost:${web.port}\r\n`;
    const body = `Origin: https://localhost:${web.port}\r\nContent-Type: application/json\r\nContent-Length: 9\r\n\r\n{`;
    await Promise.all([closedAfter(web, begun), closedAfter(web, `${begun}${body}`)]);
    await web.close();
  });

  it('takes a new certificate into use without a restart', async () => {
    let clockMs = Date.now();
    const web = await start({ nowMs: () => clockMs });
    expect(await seenFingerprint(web)).toBe(web.fingerprint);
    await web.renewCertificate();
    expect(await seenFingerprint(web)).toBe(web.fingerprint);
    clockMs += 380 * dayMs;
    await web.renewCertificate();
    expect(await seenFingerprint(web)).not.toBe(web.fingerprint);
    await web.close();
  });

  it('tells browsers to insist on a certificate that the installation brought, and warns of its own on the network', async () => {
    const key = await ownServerKey({
      stateFolder: folder,
      hostNames: [],
      nowMs: Date.now(),
      log: { info: () => undefined },
    });
    const files = {
      certificateFile: path.join(folder, 'console.crt'),
      privateKeyFile: path.join(folder, 'console.key'),
    };
    const log: string[] = [];
    const web = await start({ tls: files, host: '0.0.0.0', log });
    expect(await rawGet(web)).toContain('strict-transport-security: max-age=31536000');
    expect(web.fingerprint).toBe(fingerprintOf(key));
    await web.close();
    expect(log.join('\n')).not.toContain('open to the network');
    const open = await start({ host: '0.0.0.0', log });
    expect(await rawGet(open)).not.toContain('strict-transport-security');
    await open.close();
    expect(log.join('\n')).toContain('open to the network with a certificate of its own');
    expect(log.join('\n')).toContain(`certificate SHA-256 ${web.fingerprint}`);
    const broken = { ...files, privateKeyFile: path.join(folder, 'none.key') };
    await expect(start({ tls: broken })).rejects.toMatchObject({ nextStep: expect.stringContaining('web.tls') });
    expect(await readFile(files.certificateFile, 'utf8')).toBe(key.certificate);
  });
});

const trusting = { host: '127.0.0.1', rejectUnauthorized: false, ALPNProtocols: ['http/1.1'] };

function seenFingerprint(web: WebConsole): Promise<string> {
  return new Promise((resolve, reject) => {
    const socket = connect({ ...trusting, port: web.port }, () => {
      resolve(socket.getPeerCertificate().fingerprint256);
      socket.destroy();
    });
    socket.once('error', reject);
  });
}

/** Ends when the server has closed the connection. */
function closedAfter(web: WebConsole, bytes: string): Promise<void> {
  return new Promise((resolve) => {
    const socket = connect({ ...trusting, port: web.port }, () => socket.write(bytes));
    socket.on('close', () => resolve()).resume();
    // Cut off, or ended: both will do.
    socket.on('error', () => undefined);
  });
}

function rawGet(web: WebConsole): Promise<string> {
  return new Promise((resolve, reject) => {
    const socket = connect({ ...trusting, port: web.port });
    let text = '';
    socket.setEncoding('utf8').on('data', (piece) => {
      text += piece;
    });
    socket.once('end', () => resolve(text)).once('error', reject);
    socket.write(`GET / HTTP/1.1\r\nHost: localhost:${web.port}\r\nConnection: close\r\n\r\n`);
  });
}

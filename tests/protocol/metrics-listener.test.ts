import { request } from 'node:http';
import { connect } from 'node:net';
import { afterEach, expect, it } from 'vitest';
import { OutageError } from '../../domain/outage.ts';
import { listenForMetrics, type MetricsListener, metricsConfig } from '../../protocol/metrics-listener.ts';

const open: MetricsListener[] = [];
afterEach(async () => {
  for (const listener of open.splice(0)) await listener.close();
});

async function serve(render: () => Promise<string>, troubles: string[] = []): Promise<MetricsListener> {
  const listener = await listenForMetrics({ host: '127.0.0.1', port: 0 }, render, (message) => troubles.push(message));
  open.push(listener);
  return listener;
}

function ask(
  url: string,
  more: { readonly method?: string; readonly headers?: Record<string, string> } = {},
): Promise<{ status: number | undefined; headers: Record<string, unknown>; text: string }> {
  return new Promise((resolve, reject) => {
    const call = request(url, { agent: false, ...more }, (response) => {
      let text = '';
      response.on('data', (chunk) => {
        text += chunk;
      });
      response.on('end', () => resolve({ status: response.statusCode, headers: response.headers, text }));
    });
    call.once('error', reject);
    call.end();
  });
}

it('answers GET /metrics, and nothing else', async () => {
  const { url } = await serve(async () => 'up 1\n');
  expect(await ask(url)).toMatchObject({
    status: 200,
    text: 'up 1\n',
    headers: { 'content-type': 'text/plain; version=0.0.4; charset=utf-8', 'cache-control': 'no-store' },
  });
  expect((await ask(`${url}?x=1`)).status).toBe(200);
  for (const path of ['/', '/metrics/', '/metricsx', '/../etc/passwd', '//metrics']) {
    expect((await ask(new URL(url).origin + path)).status).toBe(404);
  }
  for (const method of ['POST', 'PUT', 'DELETE', 'HEAD', 'OPTIONS']) {
    expect(await ask(url, { method })).toMatchObject({ status: 405, headers: { allow: 'GET' } });
  }
});

it('a page in a browser that has a name of its own point to the loopback learns nothing', async () => {
  const { url } = await serve(async () => 'secret 1\n');
  const { port } = new URL(url);
  for (const host of ['evil.example', `evil.example:${port}`, '127.0.0.1.evil.example']) {
    expect(await ask(url, { headers: { host } })).toMatchObject({ status: 421 });
  }
  for (const host of ['localhost', `localhost:${port}`, '[::1]', '127.0.0.1']) {
    expect((await ask(url, { headers: { host } })).status).toBe(200);
  }
});

it('scrapes at the same time share one rendering', async () => {
  const gate = Promise.withResolvers<string>();
  let count = 0;
  const { url } = await serve(() => {
    count += 1;
    return gate.promise;
  });
  const socket = connect(Number(new URL(url).port), '127.0.0.1');
  let text = '';
  socket.on('data', (chunk) => {
    text += chunk;
  });
  socket.write('GET /metrics HTTP/1.1\r\nhost: localhost\r\n\r\n'.repeat(3));
  await expect.poll(() => count, { timeout: 15_000 }).toBe(1);
  gate.resolve('up 1\n');
  await expect.poll(() => text.split('HTTP/1.1 200').length, { timeout: 15_000 }).toBe(4);
  expect(count).toBe(1);
  socket.destroy();
});

it('a rendering that fails is said in the log and tells the caller nothing', async () => {
  const troubles: string[] = [];
  const { url } = await serve(() => Promise.reject(new Error('password=hunter2')), troubles);
  const answer = await ask(url);
  expect(answer.status).toBe(500);
  expect(answer.text).not.toContain('hunter2');
  expect(troubles).toEqual([expect.stringContaining('hunter2')]);
});

it('what is not HTTP, or too long, gets no answer of ours', async () => {
  const { url } = await serve(async () => 'up 1\n');
  const answerTo = (bytes: string) =>
    new Promise<string>((resolve) => {
      let text = '';
      const socket = connect(Number(new URL(url).port), '127.0.0.1', () => socket.write(bytes));
      socket.on('data', (chunk) => {
        text += chunk;
      });
      socket.on('error', () => resolve(text));
      socket.on('close', () => resolve(text));
    });
  expect(await answerTo('\x16\x03\x01\x02\x00\r\n\r\n')).toMatch(/^HTTP\/1.1 400/);
  expect(await answerTo(`GET /metrics HTTP/1.1\r\nhost: localhost\r\nx: ${'a'.repeat(20_000)}\r\n\r\n`)).toMatch(
    / 431 /,
  );
  expect((await ask(url)).status).toBe(200);
});

it('a port that is taken is said with the next step', async () => {
  const { url } = await serve(async () => '');
  const port = Number(new URL(url).port);
  const failure = await listenForMetrics(
    { host: '127.0.0.1', port },
    async () => '',
    () => undefined,
  ).catch((error) => error);
  expect(failure).toBeInstanceOf(OutageError);
  expect(failure.message).toContain(`127.0.0.1:${port} for metrics: another program has this port`);
  expect(failure.nextStep).toMatch(/change metrics\.port/);
});

it('the configuration listens on the loopback unless it says otherwise', () => {
  expect(metricsConfig.parse({ port: 9471 })).toEqual({ host: '127.0.0.1', port: 9471 });
  expect(metricsConfig.safeParse({ port: 0 }).success).toBe(false);
  expect(metricsConfig.safeParse({ port: 1, user: 'x' }).success).toBe(false);
});

import { describe, expect, it } from 'vitest';
import { bodyOf, signedRequest } from '../../demo/slack-workspace/deliveries.ts';
import { eventually, openTrial } from './slack-fixture.ts';

describe('what may go wrong on the way', () => {
  it.each(['socket', 'http'] as const)('a command that comes twice over %s is carried out once', async (mode) => {
    const { workspace, engine } = await openTrial({ mode });
    const ana = workspace.as('ana');
    workspace.failNextDelivery('double');
    await ana.types('#dr', '/dr cleanup vm-7');
    await workspace.until('ana reads it', () => ana.reads('#dr').includes('started'));
    await ana.types('#dr', '/dr version');
    await workspace.until('and the next', () => ana.reads('#dr').includes('0.1.0'));
    expect(engine.done).toEqual(['cleanup']);
    expect(ana.reads('#dr').split('Cleanup of vm-7').length - 1).toBe(1);
  });

  it('a form that comes twice keeps showing its answer, and is carried out once', async () => {
    const { workspace, engine } = await openTrial();
    const ana = workspace.as('ana');
    await ana.types('#dr', '/dr failover vm-7');
    await workspace.until('the form is there', () => ana.modal()?.includes('which kind') === true);
    workspace.failNextDelivery('double');
    await ana.fillsIn({ Kind: 'Test: a copy, apart from the original' });
    await workspace.until('the modal answers', () => ana.modal()?.includes('started') === true);
    expect(engine.done).toEqual(['testFailover']);
  });

  it('a mention whose acknowledgement is lost is sent again by Slack, and answered once', async () => {
    const { workspace, engine } = await openTrial();
    const ana = workspace.as('ana');
    workspace.failNextDelivery('lose-acknowledgement');
    await ana.types('#dr', '@Lifeboat cleanup vm-7');
    await workspace.until('ana reads it', () => ana.reads('#dr').includes('started'));
    expect(engine.done).toEqual(['cleanup']);
  });

  it('a mention that is lost comes again', async () => {
    const { workspace, engine } = await openTrial();
    workspace.failNextDelivery('lose');
    await workspace.as('ana').types('#dr', '@Lifeboat cleanup vm-7');
    await eventually(() => engine.done).toEqual(['cleanup']);
  });

  it('clicks that arrive in another order than they were made are each answered', async () => {
    const { workspace, engine } = await openTrial();
    const [ana, ben] = [workspace.as('ana'), workspace.as('ben')];
    workspace.failNextDelivery('hold');
    workspace.failNextDelivery('hold');
    const typed = [ana.types('#dr', '/dr points vm-7'), ben.types('#dr', '/dr version')];
    await workspace.releaseHeld();
    await Promise.all(typed);
    await workspace.until(
      'both read theirs',
      () => ana.reads('#dr').includes('vm-7 · ') && ben.reads('#dr').includes('0.1.0'),
    );
    expect(engine.asked.map(({ call }) => call.kind)).toEqual(['version', 'points']);
  });

  it.each(['announced', 'cut'] as const)('a connection of Socket Mode that is %s is opened again', async (how) => {
    const { workspace, engine } = await openTrial();
    workspace.endConnections(how);
    await workspace.until('it is gone', () => workspace.connectionCount() === 0);
    await workspace.until('it is back', () => workspace.connectionCount() === 1);
    const ana = workspace.as('ana');
    await ana.types('#dr', '/dr version');
    await workspace.until('ana is answered', () => ana.reads('#dr').includes('0.1.0'));
    expect(engine.asked).toHaveLength(1);
  });

  it('a refused new connection is asked for again', async () => {
    const { workspace } = await openTrial();
    workspace.failNextCall('apps.connections.open', { kind: 'error', error: 'internal_error' });
    workspace.failNextCall('apps.connections.open', { kind: 'rate-limited', retryAfterSeconds: 1 });
    workspace.endConnections('cut');
    await workspace.until('it is gone', () => workspace.connectionCount() === 0);
    await workspace.until('it is back', () => workspace.connectionCount() === 1);
  });

  it('an answer waits for Slack’s rate limit, and comes', async () => {
    const { workspace } = await openTrial();
    const ana = workspace.as('ana');
    workspace.failNextCall('chat.postEphemeral', { kind: 'rate-limited', retryAfterSeconds: 1 });
    await ana.types('#dr', '@Lifeboat version');
    await workspace.until('ana is answered', () => ana.reads('#dr').includes('0.1.0'));
  });

  it('nobody is trusted while Slack does not say who they are', async () => {
    const { workspace, engine } = await openTrial();
    const ana = workspace.as('ana');
    workspace.failNextCall('users.info', { kind: 'error', error: 'internal_error' });
    await ana.types('#dr', '/dr cleanup vm-7');
    await workspace.until('it is said', () => ana.reads('#dr').includes('asking Slack who you are'));
    expect(engine.asked).toEqual([]);
    await ana.types('#dr', '/dr cleanup vm-7');
    await eventually(() => engine.done).toEqual(['cleanup']);
  });

  it('a workspace that is not on the list gets nothing done, and hears why', async () => {
    const { workspace, engine } = await openTrial({ allowedTenants: ['TOTHER'] });
    const ana = workspace.as('ana');
    await ana.types('#dr', '/dr cleanup vm-7');
    expect(ana.reads('#dr')).toContain('This workspace may not use Lifeboat');
    expect(engine.asked).toEqual([]);
  });
});

describe('forged and replayed requests over HTTP', () => {
  const command = {
    command: '/dr',
    text: 'cleanup vm-7',
    user_id: '',
    channel_id: '',
    channel_name: 'dr',
    response_url: '',
    trigger_id: 'replayed.1',
    team_id: '',
  };

  async function open() {
    const trial = await openTrial({ mode: 'http' });
    const { workspace, bot } = trial;
    const url = `http://127.0.0.1:${bot.port}/slack/events`;
    const own = {
      user_id: workspace.as('ana').id,
      team_id: workspace.teamId,
      response_url: `${workspace.apiUrl}../response/none`,
    };
    const body = bodyOf({ kind: 'slash_commands', payload: { ...command, ...own } });
    const sign = (secret: string, atMs: number, text = body) => signedRequest(text, { secret, atMs, isForm: true });
    return { ...trial, url, body, sign };
  }

  it('are refused when the signature is wrong, the time is old, or the time is to come', async () => {
    const { workspace, engine, url, sign } = await open();
    const nowMs = Date.now();
    const status = async (request: RequestInit) => (await fetch(url, request)).status;
    expect(await status(sign('another secret', nowMs))).toBe(401);
    expect(await status(sign(workspace.signingSecret, nowMs - 310_000))).toBe(401);
    expect(await status(sign(workspace.signingSecret, nowMs + 310_000))).toBe(401);
    expect(await status(sign(workspace.signingSecret, nowMs, 'x='.repeat(140_000)))).toBe(413);
    expect(await status({ method: 'POST', body: 'ssl_check=1&command=/dr', headers: { 'content-type': form } })).toBe(
      200,
    );
    expect(await status({ method: 'POST', body: 'command=/dr', headers: { 'content-type': form } })).toBe(401);
    expect(engine.asked).toEqual([]);
  });

  it('a request from the future passes once our clock says so: Bolt alone would have taken it before', async () => {
    const { workspace, engine, url, sign, pass } = await open();
    const early = sign(workspace.signingSecret, Date.now() + 400_000);
    expect((await fetch(url, early)).status).toBe(401);
    pass(400_000);
    expect((await fetch(url, early)).status).toBe(200);
    await eventually(() => engine.done).toEqual(['cleanup']);
  });

  it('a chunked body without a length is cut off at the same limit', async () => {
    const { workspace, url, sign } = await open();
    const long = 'x='.repeat(140_000);
    const { headers } = sign(workspace.signingSecret, Date.now(), long);
    const body = new Blob([long]).stream();
    const request: RequestInit & { duplex: 'half' } = {
      method: 'POST',
      body,
      duplex: 'half',
      ...(headers && { headers }),
    };
    expect((await fetch(url, request)).status).toBe(413);
  });

  it('a good request that is replayed is acknowledged, and carried out once', async () => {
    const { workspace, engine, url, sign, body } = await open();
    const request = sign(workspace.signingSecret, Date.now());
    for (let count = 0; count < 3; count += 1) expect((await fetch(url, request)).status).toBe(200);
    await eventually(() => engine.done).toEqual(['cleanup']);
    expect(engine.asked.filter(({ call }) => call.kind === 'cleanup')).toHaveLength(1);
    const another = sign(workspace.signingSecret, Date.now(), body.replace('replayed.1', 'replayed.2'));
    expect((await fetch(url, another)).status).toBe(200);
    await eventually(() => engine.done).toEqual(['cleanup', 'cleanup']);
  });

  it('a response_url that is not Slack’s is never called', async () => {
    const { workspace, engine, url, sign, warnings, body } = await open();
    const evil = body.replace(/response_url=[^&]*/, 'response_url=http%3A%2F%2F127.0.0.1%3A9%2Fevil');
    await fetch(url, sign(workspace.signingSecret, Date.now(), evil));
    await eventually(() => engine.done).toEqual(['cleanup']);
    await workspace.until('the answer came otherwise', () =>
      workspace.as('ana').reads('@Lifeboat').includes('started'),
    );
    expect(warnings.join('\n')).not.toContain('ECONNREFUSED');
  });
});

const form = 'application/x-www-form-urlencoded';

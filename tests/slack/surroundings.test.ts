import { describe, expect, it } from 'vitest';
import { eventually, openTrial } from './slack-fixture.ts';

describe('threads, home and files in Slack', () => {
  it('a mention in a thread is answered in that thread, to who asked', async () => {
    const { workspace } = await openTrial();
    const [ana, ben] = [workspace.as('ana'), workspace.as('ben')];
    await ben.types('#dr', 'vm-7 looks slow');
    await ana.types('#dr', '@Lifeboat status vm-7', { thread: 'looks slow' });
    await workspace.until('ana reads it', () =>
      ana.reads('#dr').includes('  ↳ Lifeboat (only ana sees): ✔ vm-7 · Enabled'),
    );
    expect(ben.reads('#dr')).not.toContain('Enabled');
  });

  it('a mention with a public answer begins a thread', async () => {
    const { workspace } = await openTrial();
    await workspace.as('ana').types('#dr', '@Lifeboat status --public');
    await workspace.until('all read it', () => workspace.reads('#dr').includes('  ↳ Lifeboat: ✔ 2 machines'));
  });

  it('a mention by another bot is not answered', async () => {
    const { workspace, engine } = await openTrial();
    await workspace.as('robo').types('#dr', '@Lifeboat cleanup vm-7');
    await workspace.as('ana').types('#dr', '@Lifeboat version');
    await workspace.until('ana is answered', () => workspace.as('ana').reads('#dr').includes('0.1.0'));
    expect(engine.asked.map(({ call }) => call.kind)).toEqual(['version']);
  });

  it('a line in the app’s own tab is answered there, in its thread if it stands in one, and a bot’s is not', async () => {
    const { workspace, engine } = await openTrial();
    const [ana, robo] = [workspace.as('ana'), workspace.as('robo')];
    await robo.types('@Lifeboat', 'cleanup vm-7');
    await ana.types('@Lifeboat', 'status vm-7');
    await workspace.until('ana reads it', () => ana.reads('@Lifeboat').includes('Lifeboat: ✔ vm-7 · Enabled'));
    await ana.types('@Lifeboat', '@Lifeboat version', { thread: 'vm-7 · Enabled' });
    await workspace.until('ana reads it in the thread', () =>
      /↳ Lifeboat: .*\n?.*0\.1\.0/.test(ana.reads('@Lifeboat')),
    );
    await ana.types('@Lifeboat', 'failover vm-7 --test');
    await eventually(() => engine.followed.map(({ place }) => place.place)).toEqual([`user:${ana.id}`]);
    await ana.types('@Lifeboat', 'hello there');
    await workspace.until('what is no command is answered too', () => ana.reads('@Lifeboat').includes('hello'));
    expect(engine.asked.map(({ call }) => call.kind)).not.toContain('cleanup');
  });

  it('a line in the app’s own tab that comes twice is carried out once', async () => {
    const { workspace, engine } = await openTrial();
    workspace.failNextDelivery('lose-acknowledgement');
    await workspace.as('ana').types('@Lifeboat', 'cleanup vm-7');
    await workspace.as('ana').types('@Lifeboat', 'version');
    await workspace.until('it is answered', () => workspace.as('ana').reads('@Lifeboat').includes('0.1.0'));
    expect(engine.done).toEqual(['cleanup']);
  });

  it('the shortcut on a message runs a line and answers in its thread', async () => {
    const { workspace } = await openTrial();
    const ana = workspace.as('ana');
    await ana.types('#dr', 'vm-7 looks slow');
    await ana.usesShortcut('#dr', 'looks slow');
    await workspace.until('the line is asked for', () => ana.modal()?.includes('Run /dr here') === true);
    await ana.fillsIn({ Command: 'points vm-7' });
    expect(ana.modal()).toBeUndefined();
    await workspace.until('it answers', () => ana.reads('#dr').includes('  ↳ Lifeboat (only ana sees): ● vm-7 · '));
  });

  it('the home tab shows who I am, what waits for me, alerts, runs and lag, and is drawn again after I decide', async () => {
    const { workspace, engine } = await openTrial();
    const ben = workspace.as('ben');
    await ben.opensHome();
    await workspace.until('the home tab is there', () => ben.home().includes('Lag'));
    expect(ben.home()).toContain('Planned failover of vm-7 · waits for approval (0 of 1)');
    expect(ben.home()).toContain('vm-7 lags 4 min behind');
    await ben.clicks('home', 'Approve');
    await workspace.until('a code is asked for', () => ben.modal()?.includes('Six-digit code') === true);
    await ben.fillsIn({ 'Six-digit code': '123 456'.replace(' ', '') });
    await workspace.until('home says so', () => !ben.home().includes('[Approve]'));
    expect(engine.done).toEqual(['approve']);
  });

  it('the home tab of somebody unknown says how to link', async () => {
    const { workspace } = await openTrial();
    const cleo = workspace.as('cleo');
    await cleo.opensHome();
    await workspace.until('it says so', () => cleo.home().includes('link'));
    expect(cleo.home()).not.toContain('vm-7');
  });

  it('a lag plot goes to who asked, as a file in a direct message', async () => {
    const { workspace } = await openTrial();
    const ana = workspace.as('ana');
    await ana.types('#dr', '/dr lag vm-7');
    await workspace.until('the plot is there', () => ana.reads('@Lifeboat').includes('[file lag-vm-7.png'));
    expect(workspace.reads('#dr')).toBe('');
  });

  it('a user group on the on-call list means those who are in it', async () => {
    const { workspace, engine } = await openTrial();
    workspace.addUserGroup('nightwatch', ['ben', 'cleo']);
    await workspace.as('ana').types('#dr', '/dr oncall set @nightwatch');
    await eventually(() => engine.asked.at(-1)?.call).toMatchObject({
      kind: 'onCall',
      body: { persons: [workspace.as('ben').id, workspace.as('cleo').id] },
    });
  });

  it('a run that is ordered in a direct message is followed there', async () => {
    const { workspace, engine } = await openTrial();
    const ana = workspace.as('ana');
    await ana.types('@Lifeboat', '/dr failover vm-7 --test');
    await eventually(() => engine.followed.map(({ place }) => place.place)).toEqual([`user:${ana.id}`]);
  });

  it('a form that is closed before the engine answers is answered in the channel', async () => {
    const { workspace, engine } = await openTrial();
    const ana = workspace.as('ana');
    let answer = () => {};
    await ana.types('#dr', '/dr failover vm-7');
    await workspace.until('the form is there', () => ana.modal()?.includes('which kind') === true);
    engine.before = () => new Promise((resolve) => (answer = resolve));
    await ana.fillsIn({ Kind: 'Test: a copy, apart from the original' });
    expect(ana.modal()).toContain('Asking the engine');
    ana.closesModal();
    engine.before = async () => undefined;
    await eventually(() => engine.asked.at(-1)?.call.kind).toBe('testFailover');
    answer();
    await workspace.until('ana reads it', () => ana.reads('#dr').includes('Test failover of vm-7 · started'));
  });

  it('a trigger that is too old for a form gives the same question as a message', async () => {
    const { workspace, pass } = await openTrial();
    const ana = workspace.as('ana');
    workspace.failNextDelivery('hold');
    const typed = ana.types('#dr', '/dr failover vm-7');
    pass(4000);
    await workspace.releaseHeld();
    await typed;
    await workspace.until('the question is asked', () => ana.reads('#dr').includes('Nothing has been started'));
    expect(ana.modal()).toBeUndefined();
    expect(workspace.calls().map((call) => call.answer)).toContain('expired_trigger_id');
  });

  it('a used-up response_url is not the end of an answer', async () => {
    const { workspace, engine, pass } = await openTrial();
    const ana = workspace.as('ana');
    let answer = () => {};
    engine.before = () => new Promise((resolve) => (answer = resolve));
    await ana.types('#dr', '/dr version');
    await eventually(() => engine.asked.length).toBe(1);
    pass(31 * 60_000);
    answer();
    await workspace.until('ana reads it', () => ana.reads('#dr').includes('0.1.0'));
    expect(workspace.calls().map((call) => call.method)).toContain('chat.postEphemeral');
  });
});

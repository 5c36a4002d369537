import { describe, expect, it } from 'vitest';
import { away } from './slack-engine.ts';
import { eventually, openTrial } from './slack-fixture.ts';

describe.each(['socket', 'http'] as const)('a conversation in Slack over %s', (mode) => {
  it('answers a command to who asked, and to nobody else', async () => {
    const { workspace, engine } = await openTrial({ mode });
    const ana = workspace.as('ana');
    await ana.types('#dr', '/dr status vm-7');
    await workspace.until('ana reads the state', () => ana.reads('#dr').includes('vm-7 · Enabled'));
    expect(workspace.reads('#dr')).toBe('');
    expect(workspace.as('ben').reads('#dr')).toBe('');
    expect(engine.asked[0]?.actor).toMatchObject({
      surface: 'slack',
      tenant: workspace.teamId,
      user: ana.id,
      kind: 'member',
    });
  });

  it('answers what was asked for all in the channel', async () => {
    const { workspace } = await openTrial({ mode });
    await workspace.as('ana').types('#dr', '/dr status --public');
    await workspace.until('all read it', () => workspace.reads('#dr').includes('2 machines'));
  });

  it('opens a form when the kind of failover is missing, and runs what the form says', async () => {
    const { workspace, engine } = await openTrial({ mode });
    const ana = workspace.as('ana');
    await ana.types('#dr', '/dr failover vm-7');
    await workspace.until('the form is there', () => ana.modal()?.includes('which kind') === true);
    expect(engine.done).toEqual([]);
    await ana.fillsIn({ Kind: 'Test: a copy, apart from the original' });
    await workspace.until('the modal answers', () => ana.modal()?.includes('started') === true);
    expect(engine.done).toEqual(['testFailover']);
    await eventually(() => engine.followed).toMatchObject([
      { topic: 'run:run_4F6H8J0KMN', place: { place: expect.stringMatching(/^C/) } },
    ]);
  });

  it('asks who approves for a code, says when it is wrong, and lets them try again', async () => {
    const { workspace, engine } = await openTrial({ mode });
    const ben = workspace.as('ben');
    await ben.types('#dr', '/dr show apr_7K3M9Q2WXA');
    await workspace.until('ben sees it', () => ben.reads('#dr').includes('[Approve]'));
    await ben.clicks('#dr', 'Approve');
    await workspace.until('a code is asked for', () => ben.modal()?.includes('Six-digit code') === true);
    await ben.fillsIn({ 'Six-digit code': '000000' });
    await workspace.until('it was wrong', () => ben.modal()?.includes('This code is wrong') === true);
    expect(engine.approval.state).toBe('pending');
    await ben.fillsIn({ 'Six-digit code': '123456' });
    await workspace.until(
      'it was right',
      () => ben.modal()?.includes('approved by') === true || engine.approval.state === 'executing',
    );
    expect(engine.done).toEqual(['approve']);
    expect(JSON.stringify(workspace.messages())).not.toContain('123456');
  });

  it('explains a click on a copy that is old', async () => {
    const { workspace, engine } = await openTrial({ mode });
    const ben = workspace.as('ben');
    await ben.types('#dr', '/dr show apr_7K3M9Q2WXA');
    await workspace.until('ben sees it', () => ben.reads('#dr').includes('[Approve]'));
    engine.approval = { ...engine.approval, revision: 2, digest: 'ffffffff'.repeat(8) };
    await ben.clicks('#dr', 'Approve');
    await workspace.until('why is said', () => ben.modal()?.includes('was changed since') === true);
    expect(engine.done).toEqual([]);
  });

  it('acknowledges at once and says honestly that the engine is away', async () => {
    const { workspace, engine } = await openTrial({ mode });
    const ana = workspace.as('ana');
    let answer = () => {};
    engine.before = () =>
      new Promise((_, reject) => {
        answer = () => void away().catch(reject);
      });
    const acknowledged = await ana.types('#dr', '/dr cleanup vm-7');
    expect(acknowledged).toBeDefined();
    expect(ana.reads('#dr')).not.toContain('Lifeboat');
    await eventually(() => engine.asked.length).toBe(1);
    answer();
    await workspace.until('it is said', () => ana.reads('#dr').includes('The engine cannot be reached'));
    expect(ana.reads('#dr')).toContain('Next: check that the engine runs');
  });

  it('refuses guests, outsiders and people who are not linked, and says why', async () => {
    const { workspace, engine } = await openTrial({ mode });
    for (const [name, why] of [
      ['gus', 'A guest may do nothing here'],
      ['eve', 'An external may do nothing here'],
      ['cleo', 'I do not know who you are'],
    ] as const) {
      const person = workspace.as(name);
      await person.types('#dr', '/dr cleanup vm-7');
      await workspace.until(`${name} reads why`, () => person.reads('#dr').includes(why));
    }
    expect(engine.done).toEqual([]);
  });
});

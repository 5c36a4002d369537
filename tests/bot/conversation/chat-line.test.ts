import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { ApiAnswer, ApiCall } from '../../../bot/api-call.ts';
import { parseLine } from '../../../bot/chat-command.ts';
import { executeChatLine } from '../../../bot/chat-line.ts';
import { formFor, lineOfForm } from '../../../bot/conversation/forms.ts';
import type { CallOptions } from '../../../bot/engine-client.ts';
import type { FormKind } from '../../../bot/form.ts';
import { OutageError } from '../../../domain/outage.ts';
import { anyText } from '../any-text.ts';
import { engineOf, nowMs, refusal, worlds } from '../recorded-answers.ts';

const actor = {
  surface: 'slack',
  tenant: 'T1',
  user: 'UANA',
  displayName: 'Ana',
  kind: 'member',
  envelope: 'e1',
} as const;
const place = { surface: 'slack', tenant: 'T1', place: 'C1' } as const;

function chat(ask: (call: ApiCall, options: CallOptions) => Promise<ApiAnswer>) {
  const asked: { call: ApiCall; options: CallOptions }[] = [];
  let keyCount = 0;
  const say = (line: string) =>
    executeChatLine(line, {
      engine: {
        ask: (call, options) => {
          asked.push({ call, options });
          return ask(call, options);
        },
      },
      speaker: { actor },
      place,
      newKey: () => {
        keyCount += 1;
        return `slack:event-1:${keyCount}`;
      },
      nowMs: () => nowMs,
    });
  return { say, asked };
}

const well = engineOf(worlds.well ?? { machines: [] });

describe('a line of chat', () => {
  it('is asked for as who wrote it, and only its order has a key, always the first one', async () => {
    const { say, asked } = chat(well.ask);
    await say('lag vm-7');
    await say('pause vm-7 --for 2h --reason x');
    expect(asked.every(({ options }) => options.actor === actor)).toBe(true);
    const keys = asked.map(({ call, options }) => [call.kind, options.idempotencyKey]);
    expect(keys).toEqual([
      ['machine', undefined],
      ['lagSeries', undefined],
      ['pause', 'slack:event-1:1'],
    ]);
  });

  it('a run is not waited for: a receipt for the asker, and its topic to follow', async () => {
    const { say } = chat(well.ask);
    const reply = await say('failover vm-7 --test');
    expect(reply.follow).toEqual({ topic: 'run:run_4F6H8J0KMN' });
    expect(reply.cards.map((card) => [card.audience, card.buttons])).toEqual([['asker', undefined]]);
  });

  it('an engine that is away is a card', async () => {
    const { say } = chat(async () => {
      throw new OutageError('asking the engine', { retryable: true, nextStep: 'start it' });
    });
    for (const line of ['status', 'failover vm-7', 'approve apr_7K3M9Q2WXA', 'help']) {
      expect((await say(line)).cards[0]?.title).toBe('The engine cannot be reached or does not answer');
    }
  });

  it('an engine that is away does not keep the verbs from who asks for help; other lines get the outage alone', async () => {
    const { say } = chat(async () => {
      throw new OutageError('asking the engine', { retryable: true, nextStep: 'start it' });
    });
    const [outage, help, ...more] = (await say('help')).cards;
    expect(more).toEqual([]);
    expect(outage?.title).toBe('The engine cannot be reached or does not answer');
    expect(help?.text).toEqual(['The engine cannot be asked what needs you; `status` says why.']);
    expect(JSON.stringify(help?.sections)).toContain('failover <vm>');
    for (const line of ['status', 'list vms', 'pause vm-7 --for 2h --reason x']) {
      expect((await say(line)).cards).toHaveLength(1);
    }
  });

  it('help and status come without what only goes with them', async () => {
    const { say } = chat(async (call) => {
      if (['approvals', 'alerts', 'surfaces'].includes(call.kind)) throw new OutageError('x', { retryable: true });
      return well.ask(call);
    });
    expect((await say('help')).cards[0]?.title).toContain('You are ana');
    expect((await say('status')).cards[0]?.title).toContain('2 machines');
  });

  it('subscribe means the place where it is written, or the channel that is named', async () => {
    const { say, asked } = chat(well.ask);
    await say('subscribe --severity warning');
    await say('subscribe <#C777|ops> --site harbour --off');
    const bodies = asked.map(({ call }) => ('body' in call ? call.body : undefined));
    expect(bodies).toEqual([
      { place, severityMin: 'warning', isOn: true },
      { place: { ...place, place: 'C777' }, severityMin: 'info', site: 'harbour', isOn: false },
    ]);
  });

  it('times are read when the line is: the next 08:00, and in half an hour', async () => {
    const { say, asked } = chat(well.ask);
    await say('snooze alr_7K3M9Q2WXA until 08:00');
    await say('failover vm-7 --planned --reason x --at 22:00Z');
    await say('failover vm-7 --planned --reason x --at "in 30m"');
    await say('failover vm-7 --planned --dry-run');
    const bodies = asked.map(({ call }) => ('body' in call ? call.body : undefined));
    expect(bodies).toEqual([
      { alert: 'alr_7K3M9Q2WXA', forMs: Date.UTC(2026, 10, 22, 8) - nowMs },
      { machine: 'vm-7', reason: 'x', dryRun: false, atMs: Date.UTC(2026, 10, 21, 22) },
      { machine: 'vm-7', reason: 'x', dryRun: false, atMs: nowMs + 1_800_000 },
      { machine: 'vm-7', reason: 'dry run', dryRun: true },
    ]);
  });

  it('a break-glass without its code opens the form for it, and the answers make the line', async () => {
    const { say, asked } = chat(async (call) =>
      call.kind === 'plannedFailover' && call.body.code === undefined && !call.body.dryRun
        ? refusal({ kind: 'step-up', message: 'A code is needed.' })
        : well.ask(call),
    );
    const line = 'failover vm-7 --planned --break-glass --confirm vm-7 --reason "site on fire"';
    const { form } = await say(line);
    expect(form).toMatchObject({ kind: 'approve', title: 'Break-glass', style: 'danger' });
    expect(asked.map(({ call }) => ('body' in call ? call.body : call.kind))).toEqual([
      expect.objectContaining({ dryRun: false, breakGlass: { typedName: 'vm-7' } }),
      'whoami',
      { machine: 'vm-7', reason: 'site on fire', dryRun: true },
    ]);
    await say(lineOfForm('approve', form?.context ?? '', { code: '123456' }));
    expect(asked.at(-1)?.call).toMatchObject({ body: { code: '123456', breakGlass: { typedName: 'vm-7' } } });
  });

  it('the audit as CSV cannot carry a formula into a spreadsheet', async () => {
    const entry = { atMs: nowMs, who: 'ana', via: 'slack', target: 'vm-7', digest: 'd' };
    const entries = [
      { ...entry, number: 2, what: '=HYPERLINK("http://evil")', detail: 'a "quoted"\r\nline, with a comma' },
      { ...entry, number: 1, what: 'pause', detail: '@SUM(A1)' },
    ];
    const audit = { entries, isChainWhole: true, headDigest: 'ab', problem: null };
    const { say } = chat(async () => ({ kind: 'audit', audit }));
    const { files = [], cards } = await say('audit vm-7 --csv');
    expect(files[0]).toMatchObject({ fileName: 'audit-vm-7-2026-11-21.csv', audience: 'asker', mediaType: 'text/csv' });
    expect(files[0]?.bytes.toString().split('\r\n').slice(0, 2)).toEqual([
      'number,at,who,via,what,target,detail,digest',
      "1,2026-11-21T14:02:20.000Z,ana,slack,pause,vm-7,'@SUM(A1),d",
    ]);
    expect(files[0]?.bytes.toString()).toContain(`"'=HYPERLINK(""http://evil"")"`);
    expect(cards[0]?.footer).toContain('chain whole');
    const broken = chat(async () => ({ kind: 'audit', audit: { ...audit, isChainWhole: false, problem: 'row 2' } }));
    expect((await broken.say('audit vm-7')).cards[0]).toMatchObject({
      tone: 'bad',
      text: ['row 2', expect.any(String)],
    });
  });
});

const kinds: readonly FormKind[] = ['failover', 'approve', 'reject', 'snooze'];
const lines: Readonly<Record<FormKind, string>> = {
  failover: 'failover vm-7',
  approve: 'approve apr_7K3M9Q2WXA --rev 2 --digest 0a1b2c3d',
  reject: 'reject apr_7K3M9Q2WXA --rev 2 --digest 0a1b2c3d',
  snooze: 'snooze alr_7K3M9Q2WXA',
};

describe('forms', () => {
  it.each(kinds)('%s stays inside the limits of the platforms', (kind) => {
    const form = formFor(kind, lines[kind], { nowMs, problem: 'x'.repeat(5000) });
    expect(form.title.length).toBeLessThanOrEqual(24);
    expect(form.submitLabel.length).toBeLessThanOrEqual(24);
    expect(form.context.length).toBeLessThanOrEqual(2000);
    expect(form.text.every((text) => text.length <= 600)).toBe(true);
  });

  it('a code that was typed is not kept in the context of the form', () => {
    const form = formFor('approve', `${lines.approve} --code 123456 --reason fine`, { nowMs });
    expect(JSON.stringify(form)).not.toContain('123456');
    expect(form.fields.find((field) => field.id === 'reason')).toMatchObject({ value: 'fine' });
  });

  it('whatever people write into them is a text, never a flag or another command', () => {
    const text = fc.oneof(
      anyText(40),
      fc.constantFrom('--break-glass', '" --confirm vm-7', "' --code 1", '<!channel>', '`x`', '—test', '&lt;', '<@U1>'),
    );
    fc.assert(
      fc.property(text, text, fc.constantFrom('test', 'planned', 'planned-dry', 'x'), (reason, at, mode) => {
        for (const [kind, answers] of [
          ['reject', { reason }],
          ['approve', { reason, code: at }],
          ['failover', { mode, reason, at }],
          ['snooze', { time: 'custom', custom: reason }],
        ] as const) {
          const parsed = parseLine(lineOfForm(kind, lines[kind], answers));
          if (parsed.kind === 'usage') continue;
          const { command } = parsed;
          const wanted = { reject: 'reject', approve: 'approve', snooze: 'snooze', failover: '' }[kind];
          const failovers = ['test-failover', 'planned-failover', 'failover-question'];
          expect(wanted === '' ? failovers : [wanted]).toContain(command.verb);
          if (command.verb === 'planned-failover') expect(command.typedName).toBeUndefined();
          if (command.verb === 'reject') expect(command).toMatchObject({ revision: 2, digest8: '0a1b2c3d' });
        }
      }),
      { numRuns: 300 },
    );
  });

  it('a forged context does nothing', () => {
    for (const context of ['failover vm-7 --planned --reason x', 'withdraw apr_7K3M9Q2WXA', '', 'approve all', '`']) {
      for (const kind of kinds) {
        const parsed = parseLine(
          lineOfForm(kind, context, { reason: 'x', code: '123456', mode: 'planned', time: '1h' }),
        );
        expect(parsed).toMatchObject({ command: { verb: 'help' } });
      }
    }
  });
});

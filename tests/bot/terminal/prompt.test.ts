import { PassThrough } from 'node:stream';
import { describe, expect, it } from 'vitest';
import type { EngineClient } from '../../../bot/engine-client.ts';
import { startTerminal, type TerminalDeps } from '../../../bot/main.ts';
import { completeLine } from '../../../bot/terminal/completion.ts';
import { openPrompt } from '../../../bot/terminal/prompt.ts';
import { createScreen, rowCount } from '../../../bot/terminal/screen.ts';
import type { EventView } from '../../../protocol/control-api.ts';
import { drillRun, engineOf, nowMs, worlds } from '../recorded-answers.ts';

class FakeTerminal extends PassThrough {
  isTTY = true;
  columns = 80;
  text = '';
  constructor() {
    super();
    this.on('data', (chunk) => {
      this.text += String(chunk);
    });
  }
  setRawMode(): this {
    return this;
  }
}

/** Waits until the condition holds; no test waits longer than this for anything. */
async function until(condition: () => boolean, what: string): Promise<void> {
  const deadline = performance.now() + 10_000;
  while (!condition()) {
    if (performance.now() > deadline) throw new Error(`waited in vain for ${what}`);
    await new Promise((resolve) => setImmediate(resolve));
  }
}

function prompt(run: (line: string, signal: AbortSignal) => Promise<void>, isInteractive = true) {
  const input = new FakeTerminal();
  const output = new FakeTerminal();
  const seen = { interrupts: 0 };
  const render = () => ({ widthColumns: 80, isColored: false, commandPrefix: '' });
  const opened = openPrompt({
    input,
    output,
    isInteractive,
    screen: createScreen({ output, isInteractive, render }),
    machineNames: () => ['vm-7', 'vm-8'],
    run,
    onInterrupt: () => {
      seen.interrupts += 1;
    },
  });
  return { input, output, opened, seen };
}

describe('the prompt', () => {
  it('carries out one line after the other, also when they come at once', async () => {
    const ran: string[] = [];
    const { input, opened } = prompt(async (line) => {
      ran.push(`${line} begins`);
      await new Promise((resolve) => setImmediate(resolve));
      ran.push(`${line} ends`);
    }, false);
    input.end('status\n\nlag\n');
    await opened.ended;
    expect(ran).toEqual(['status begins', 'status ends', 'lag begins', 'lag ends']);
  });

  it('Ctrl-C ends the watching first, and leaves only at an empty line', async () => {
    let signal: AbortSignal | undefined;
    const { input, output, seen, opened } = prompt(async (_, raised) => {
      signal = raised;
      await until(() => raised.aborted, 'the signal');
    });
    input.write('failover vm-7 --test\r');
    await until(() => signal !== undefined, 'the line to run');
    input.write('\u0003');
    await until(() => signal?.aborted === true, 'the signal');
    expect(seen.interrupts).toBe(0);
    output.text = '';
    await until(() => output.text.includes('dr> '), 'the prompt');
    input.write('half a line');
    input.write('\u0003');
    input.write('\u0003');
    await until(() => seen.interrupts === 1, 'the interrupt');
    opened.close();
    await opened.ended;
  });

  it('Ctrl-D leaves', async () => {
    const { input, opened } = prompt(async () => undefined);
    input.write('\u0004');
    await opened.ended;
  });

  it('an event comes above what is being typed, and the typed part stays', async () => {
    const { input, output, opened } = prompt(async () => undefined);
    input.write('fail');
    await until(() => output.text.includes('fail'), 'the echo');
    output.text = '';
    opened.announce('14:02:33Z vm-7 is now Enabled\u001b[2J');
    expect(output.text.startsWith('\r\u001b[J14:02:33Z vm-7 is now Enabled�[2J\n')).toBe(true);
    expect(output.text.trimEnd()).toContain('dr> fail');
    opened.close();
    await opened.ended;
  });

  it('what is typed while a line runs is not echoed into the live card', async () => {
    const gate = Promise.withResolvers<void>();
    const { input, output, opened } = prompt(() => gate.promise);
    input.write('status\r');
    await until(() => output.text.includes('\n'), 'the line to run');
    output.text = '';
    input.write('xyz');
    await until(() => input.readableLength === 0, 'the input to be read');
    expect(output.text).toBe('');
    gate.resolve();
    await until(() => output.text.includes('dr> '), 'the prompt');
    opened.close();
    await opened.ended;
  });
});

describe('completion', () => {
  it.each([
    ['', 37],
    ['fail', ['failover ']],
    ['app', ['approvals ', 'approve ']],
    ['approve ', []],
    ['approve apr_7K3M9Q2WXA --', ['--code ', '--reason ']],
    ['oncall ', ['set ']],
    ['role ', []],
    ['role ben ap', ['approver ']],
    ['role ben n', ['none ']],
    ['role ben none --t', ['--tag ']],
    ['role ben none --machine v', ['vm-7 ', 'vm-8 ']],
    ['threshold v', ['vm-7 ', 'vm-8 ']],
    ['/dr fail', ['failover ']],
    ['failover v', ['vm-7 ', 'vm-8 ']],
    ['failover vm-7 --p', ['--point ', '--planned ']],
    ['failover vm-7 --point --p', []],
    ['failover vm-7 --point latest --', ['--test ', '--network ', '--dry-run ']],
    ['failover vm-7 --test ', ['--point ', '--network ', '--dry-run ']],
    ['failover vm-7 --planned ', ['--reason ', '--at ', '--dry-run ', '--break-glass ', '--confirm ', '--code ']],
    ['failover vm-7 --planned --reason ', []],
    ['failover vm-7 --planned --reason "DC po', []],
    ['failover vm-7 --planned --reason "DC --test" --a', ['--at ']],
    ['list ', ['vms ', 'hosts ', 'runs ', 'approvals ', 'alerts ']],
    ['help ver', ['version ']],
    ['nonsense x', []],
  ])('of %j', (line, expected) => {
    const [candidates] = completeLine(line, ['vm-7', 'vm-8']);
    if (typeof expected === 'number') expect(candidates).toHaveLength(expected);
    else expect(candidates).toEqual(expected);
  });
});

describe('the screen', () => {
  it('redraws a live card over itself on a terminal', () => {
    const output = new FakeTerminal();
    const render = () => ({ widthColumns: 40, isColored: false, commandPrefix: '' });
    const screen = createScreen({ output, isInteractive: true, render });
    const card = { title: 'one', tone: 'working', audience: 'asker', text: ['two'] } as const;
    screen.update(card);
    screen.update(card);
    screen.line('an event');
    screen.show(card);
    const up = '\u001b[2A\r\u001b[J';
    expect(output.read()?.toString() ?? output.text).toBe(
      `▸ one\n  two\n${up}▸ one\n  two\n${up}an event\n▸ one\n  two\n${up}▸ one\n  two\n`,
    );
  });

  it('writes one line per change anywhere else', () => {
    const output = new FakeTerminal();
    const render = () => ({ widthColumns: 40, isColored: false, commandPrefix: '' });
    const screen = createScreen({ output, isInteractive: false, render });
    const card = { title: 'one', tone: 'working', audience: 'asker' } as const;
    for (const percent of [1, 1, 2]) screen.update({ ...card, progress: { percent, label: 'x' } });
    expect(output.read()?.toString() ?? output.text).toBe('▸ one · 1 % · x\n▸ one · 2 % · x\n');
  });

  it('counts the rows that a line wider than the terminal fills', () => {
    expect(rowCount('\u001b[1mabc\u001b[0m\n', 80)).toBe(2);
    expect(rowCount('x'.repeat(81), 40)).toBe(3);
  });
});

/** An engine of a world whose events are given one batch after the other, and then none until the signal. */
function withEvents(worldName: string, batches: EventView[][]): EngineClient {
  const world = engineOf(worlds[worldName] ?? { machines: [] });
  return {
    ask: world.ask,
    events: async ({ waitMs }, { signal }) => {
      if (waitMs === 0) return [];
      const next = batches.shift();
      if (next !== undefined) return next;
      return new Promise((_, reject) => signal?.addEventListener('abort', () => reject(signal.reason)));
    },
    close: async () => undefined,
  };
}

function event(number: number, text: string, runId: string | null = null): EventView {
  return { number, atMs: nowMs, machineName: 'vm-7', runId, kind: 'x', text };
}

describe('the terminal', () => {
  it('greets, runs lines, tells events, and ends at the end of the input', async () => {
    const output = new FakeTerminal();
    const input = new FakeTerminal();
    const deps: TerminalDeps = {
      engine: withEvents('well', [[event(1, 'vm-7 is now Enabled')]]),
      input,
      output,
      isColored: false,
      nowMs: () => nowMs,
      onInterrupt: () => undefined,
      firstLine: '/dr',
    };
    const terminal = startTerminal(deps);
    await until(() => output.text.includes('You are ana') && output.text.includes('is now Enabled'), 'the greeting');
    input.write('status\r');
    await until(() => output.text.includes('2 machines · 2 Enabled'), 'the status');
    input.write('\u0004');
    await terminal.ended;
  });

  it('says what its own orders did once, and what others did as well', async () => {
    const output = new FakeTerminal();
    const input = new FakeTerminal();
    const own = 'Replication of vm-8 is paused until 16:02:20Z; then it goes on by itself.';
    const gate = Promise.withResolvers<EventView[]>();
    const base = withEvents('well', []);
    let isOrdered = false;
    const engine: EngineClient = {
      ...base,
      // The event overtakes the answer of its own order.
      ask: async (call, options) => {
        if (call.kind !== 'pause') return base.ask(call, options);
        isOrdered = true;
        await new Promise((resolve) => setImmediate(resolve));
        return base.ask(call, options);
      },
      events: async (query, options) =>
        query.waitMs > 0 && query.after < 3 ? gate.promise : base.events(query, options),
    };
    const terminal = startTerminal({
      engine,
      input,
      output,
      isColored: false,
      nowMs: () => nowMs,
      onInterrupt: () => undefined,
    });
    input.write('pause vm-7 --for 2h --reason x\r');
    await until(() => isOrdered, 'the order');
    gate.resolve([event(2, own), event(3, 'ben paused vm-8'), event(4, own)]);
    await until(() => output.text.split(own).length === 3, 'the card, and the same words of somebody else');
    expect(output.text).toContain('ben paused vm-8');
    terminal.close();
    await terminal.ended;
  });

  it('close ends it while a run is being watched', async () => {
    const output = new FakeTerminal();
    const input = new FakeTerminal();
    const engine = withEvents('drill', []);
    const ask: EngineClient['ask'] = async (call, options) =>
      call.kind === 'run' ? { kind: 'run', run: drillRun(2) } : engine.ask(call, options);
    const terminal = startTerminal({
      engine: { ...engine, ask },
      input,
      output,
      isColored: true,
      nowMs: () => nowMs,
      onInterrupt: () => undefined,
    });
    input.write('failover vm-7 --test\r');
    await until(() => output.text.includes('3/6'), 'the progress');
    terminal.close();
    await terminal.ended;
    expect(output.text).toContain('Stopped waiting; what was started goes on');
  });
});

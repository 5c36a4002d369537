import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { parseArguments, parseLine } from '../../bot/chat-command.ts';
import type { Command } from '../../bot/command.ts';
import { formatCommand } from '../../bot/format-command.ts';
import { runnableVerbs, unavailableVerbs } from '../../bot/verb-table.ts';
import { anyText } from './any-text.ts';
import { pitfallRows, plainRows, unavailableLines, usageRows } from './grammar-rows.ts';

function commandOf(line: string): Command {
  const parsed = parseLine(line);
  if (parsed.kind === 'usage') throw new Error(`${JSON.stringify(line)}: ${parsed.problem.message}`);
  return parsed.command;
}

const readingVerbs = [
  'overview',
  'help',
  'status',
  'list',
  'show',
  'points',
  'lag',
  'whoami',
  'version',
  'approvals',
  'alerts',
  'people',
  'audit',
];
const harmlessVerbs = [...readingVerbs, 'not-available', 'failover-question'];

describe('the grammar', () => {
  it.each(plainRows)('reads %j as the command that it is', (line, command) => {
    expect(commandOf(line)).toEqual(command);
  });

  it.each(pitfallRows)('undoes what phones and platforms did to %j', (line, command) => {
    expect(commandOf(line)).toEqual(command);
  });

  it.each(unavailableLines)('understands %j and says that this version cannot do it', (line) => {
    expect(commandOf(line)).toMatchObject({ verb: 'not-available', instead: expect.stringMatching(/\w{5}/) });
  });

  const mistakes = usageRows.map(([line, message, corrected]) => ({ line, message, corrected }));
  it.each(mistakes)('refuses $line', ({ line, message, corrected }) => {
    const parsed = parseLine(line);
    expect(parsed).toMatchObject({ kind: 'usage', problem: { message: expect.stringMatching(message) } });
    expect(parsed.kind === 'usage' && parsed.problem.correctedLine).toBe(corrected);
  });

  it('has more than 150 rows, so that nobody thins it out unseen', () => {
    const count = plainRows.length + pitfallRows.length + unavailableLines.length + usageRows.length;
    expect(count).toBeGreaterThan(150);
  });

  it('offers only corrected lines that are commands themselves', () => {
    const offered = usageRows.map((row) => row[2]).filter((line) => line !== undefined);
    for (const line of offered) expect(parseLine(line).kind, line).toBe('command');
  });

  it('reads the words of a shell as it reads the line', () => {
    expect(parseArguments(['failover', 'vm-7', '--test'])).toEqual(parseLine('failover vm-7 --test'));
    expect(parseArguments(['bookmark', 'vm-7', '--reason', 'before the upgrade'])).toEqual(
      parseLine('bookmark vm-7 --reason "before the upgrade"'),
    );
    expect(parseArguments(['bookmark', 'vm-7', '--reason=a "b" c'])).toMatchObject({
      command: { reason: 'a "b" c' },
    });
    expect(parseArguments(['bookmark', 'vm-7', '--reason', '&lt;'])).toMatchObject({ command: { reason: '&lt;' } });
    expect(parseArguments(['status', 'a\u001b[2J'])).toMatchObject({ kind: 'usage' });
  });
});

const nameOf = fc.stringMatching(/^[A-Za-z0-9][A-Za-z0-9._-]{0,20}$/);
const textOf = anyText(60).filter((text) => text !== '');
const idBody = fc.stringMatching(/^[0-9A-HJKMNP-TV-Z]{10}$/);
const codeOf = fc.stringMatching(/^[0-9]{6}$/);
const approvalOf = idBody.map((body) => `apr_${body}`);
const alertOf = idBody.map((body) => `alr_${body}`);
const commandOfAnyKind: fc.Arbitrary<Command> = fc.oneof(
  fc.record({ verb: fc.constant('status'), target: targetOf(), isPublic: fc.boolean() }),
  fc.record({
    verb: fc.constant('list'),
    object: fc.constantFrom('vms'),
    state: fc.constantFrom('enabled', undefined),
    page: fc.integer({ min: 1, max: 1000 }),
  }),
  fc.record({ verb: fc.constant('points'), machine: nameOf, filter: fc.constantFrom('all', 'crash-consistent') }),
  fc.record({
    verb: fc.constant('lag'),
    target: targetOf(),
    sinceMs: fc.option(
      fc.integer({ min: 1, max: 604_800 }).map((seconds) => seconds * 1000),
      { nil: undefined },
    ),
  }),
  fc.record({
    verb: fc.constant('enable'),
    machine: nameOf,
    policy: nameOf,
    host: fc.option(nameOf, { nil: undefined }),
  }),
  fc.record({
    verb: fc.constant('pause'),
    machine: nameOf,
    forMs: fc.integer({ min: 1, max: 604_800 }).map((seconds) => seconds * 1000),
    reason: readableText(),
  }),
  fc.record({ verb: fc.constant('resume'), machine: nameOf }),
  fc.record({
    verb: fc.constant('bookmark'),
    machine: nameOf,
    reason: readableText(),
    isApplicationConsistent: fc.boolean(),
  }),
  fc.record({
    verb: fc.constant('test-failover'),
    machine: nameOf,
    point: fc.oneof(
      fc.constant('latest'),
      idBody.map((body) => `rp_${body}`),
    ),
    isDryRun: fc.boolean(),
  }),
  fc.record({ verb: fc.constant('cleanup'), machine: nameOf, note: fc.oneof(fc.constant(''), readableText()) }),
  plannedFailover(),
  fc.record({ verb: fc.constant('approvals'), isMine: fc.boolean() }),
  decision({ verb: fc.constant('approve'), code: optional(codeOf), reason: fc.oneof(fc.constant(''), readableText()) }),
  decision({ verb: fc.constant('reject'), reason: optional(readableText()) }),
  decision({ verb: fc.constant('withdraw') }),
  fc.record({ verb: fc.constant('review'), approval: approvalOf, note: readableText() }),
  fc.record({ verb: fc.constantFrom('ack', 'unack', 'unsnooze', 'escalate'), alert: alertOf }),
  fc.record({ verb: fc.constant('mute'), alert: alertOf, reason: readableText() }),
  fc.record({ verb: fc.constant('snooze'), alert: alertOf, time: optional(snoozeTime()) }),
  fc
    .record({
      warnMs: secondsOf(604_800),
      moreMs: secondsOf(300_000),
      reason: fc.oneof(fc.constant(''), readableText()),
    })
    .map(({ warnMs, moreMs, reason }) => {
      return { verb: 'threshold', machine: 'vm-7', warnMs, criticalMs: warnMs + moreMs, reason };
    }),
  fc
    .record({ verb: fc.constant('tag'), machine: nameOf, add: tagsOf(), remove: tagsOf() })
    .filter(({ add, remove }) => add.length + remove.length > 0),
  fc
    .record({
      verb: fc.constant('subscribe'),
      channel: optional(fc.stringMatching(/^[CG][A-Z0-9]{3,10}$/)),
      severity: fc.constantFrom('info', 'warning', 'critical'),
      host: optional(nameOf),
      site: optional(nameOf),
      isOn: fc.boolean(),
    })
    .filter(({ host, site }) => host === undefined || site === undefined),
  fc.record({ verb: fc.constant('oncall'), persons: optional(fc.array(personOf(), { minLength: 1, maxLength: 10 })) }),
  fc.record({
    verb: fc.constant('role'),
    person: personOf(),
    role: fc.constantFrom('viewer', 'operator', 'approver', 'admin', 'none'),
    scope: fc.oneof(
      fc.constant({ kind: 'everything' }),
      fc.record({ kind: fc.constant('machine'), name: nameOf }),
      fc.record({ kind: fc.constant('tag'), tag: fc.stringMatching(/^[a-z0-9][a-z0-9:._-]{0,20}$/) }),
    ),
    reason: fc.oneof(fc.constant(''), readableText()),
  }),
  fc.record({ verb: fc.constant('link'), code: optional(fc.stringMatching(/^[A-Z0-9][A-Z0-9-]{0,20}$/)) }),
  fc.record({ verb: fc.constant('authenticator'), code: optional(codeOf) }),
  fc.record({ verb: fc.constant('console'), isSignOut: fc.boolean() }),
  fc.record({ verb: fc.constant('audit'), about: fc.oneof(nameOf, approvalOf), isCsv: fc.boolean() }),
) as fc.Arbitrary<Command>;

function optional<Value>(value: fc.Arbitrary<Value>) {
  return fc.option(value, { nil: undefined });
}

function secondsOf(secondsMax: number) {
  return fc.integer({ min: 1, max: secondsMax }).map((seconds) => seconds * 1000);
}

function clock() {
  return { hour: fc.integer({ min: 0, max: 23 }), minute: fc.integer({ min: 0, max: 59 }) };
}

function plannedFailover() {
  const at = fc.oneof(
    fc.record({ kind: fc.constant('clock'), ...clock() }),
    fc.record({ kind: fc.constant('in'), ms: secondsOf(604_800) }),
    fc.integer({ min: 0, max: 40_000_000 }).map((minutes) => ({ kind: 'instant', atMs: minutes * 60_000 })),
  );
  const request = { machine: nameOf, reason: readableText(), at: optional(at), isDryRun: fc.boolean() };
  return fc
    .record({ ...request, isBroken: fc.boolean(), code: optional(codeOf) })
    .map(({ isBroken, code, ...rest }) => ({
      verb: 'planned-failover',
      ...rest,
      typedName: isBroken ? rest.machine : undefined,
      code: isBroken ? code : undefined,
    }));
}

function decision<Fields extends Record<string, fc.Arbitrary<unknown>>>(fields: Fields) {
  return fc.record({
    ...fields,
    approval: approvalOf,
    revision: optional(fc.integer({ min: 1, max: 999_999_999 })),
    digest8: optional(fc.stringMatching(/^[0-9a-f]{8}$/)),
  });
}

function snoozeTime() {
  return fc.oneof(
    fc.record({ kind: fc.constant('for'), ms: fc.integer({ min: 1, max: 10_080 }).map((minutes) => minutes * 60_000) }),
    fc.record({ kind: fc.constant('until'), ...clock() }),
  );
}

function tagsOf() {
  return fc.array(fc.stringMatching(/^[A-Za-z0-9][A-Za-z0-9:._-]{0,20}$/), { maxLength: 4 });
}

function personOf() {
  return fc.oneof(
    fc.record({ kind: fc.constant('user'), id: fc.stringMatching(/^U[A-Z0-9]{3,10}$/) }),
    fc.record({ kind: fc.constant('person'), name: fc.stringMatching(/^[a-z0-9][a-z0-9._-]{0,20}$/) }),
  );
}

function targetOf() {
  const target = fc.record({ kind: fc.constantFrom('vm', 'host'), name: nameOf });
  return fc.option(target, { nil: undefined });
}

/** Texts as they are after reading: nothing that reading itself changes or refuses. */
function readableText() {
  return textOf.filter((text) => {
    const parsed = parseArguments(['bookmark', 'vm-7', `--reason=${text}`]);
    const hasBothMarks = text.includes('"') && /'( |$)/.test(text);
    if (hasBothMarks || parsed.kind === 'usage' || parsed.command.verb !== 'bookmark') return false;
    return parsed.command.reason === text && text.trim() === text && !/[`\s]/.test(text.replaceAll(' ', ''));
  });
}

describe('the grammar, for all lines', () => {
  it('writes a command as the line that reads as the same command', () => {
    fc.assert(
      fc.property(commandOfAnyKind, (command) => {
        expect(commandOf(formatCommand(command))).toEqual(command);
      }),
      { numRuns: 500 },
    );
  });

  it('reads a decorated line as the plain one', () => {
    const space = fc.constantFrom(' ', '  ', '\u00a0', '\u2009', '\n', '\t', ' \u200b', '\u202f');
    const prefix = fc.constantFrom('', '/dr', 'dr', '/DR', ' /dr');
    const dash = fc.constantFrom('--', '—', '–', '−', '––');
    const noise = fc.constantFrom('', '\u200b', '\ufeff', '\u2060', '\u00ad', '\u200f');
    const decoration = fc.record({ space, prefix, dash, noise, isReversed: fc.boolean(), isJoined: fc.boolean() });
    fc.assert(
      fc.property(nameOf, idBody, decoration, (name, body, how) => {
        const flags = [`${how.dash}test`, `${how.dash}point${how.isJoined ? '=' : how.space}rp_${body}`];
        const words = [how.prefix, 'failover', `${how.noise}${name}`, ...(how.isReversed ? flags.reverse() : flags)];
        const expected = { verb: 'test-failover', machine: name, point: `rp_${body}`, isDryRun: false };
        expect(commandOf(words.filter((word) => word !== '').join(how.space) + how.noise)).toEqual(expected);
      }),
      { numRuns: 500 },
    );
  });

  it('never throws, and never makes a running command of nonsense', () => {
    const word = fc.oneof(anyText(12), fc.constantFrom('--test', 'vm-7', '"', '<@U1>'));
    fc.assert(
      fc.property(fc.array(word, { maxLength: 8 }), (words) => {
        const parsed = parseLine(words.join(' '));
        if (parsed.kind === 'usage') return;
        expect(harmlessVerbs).toContain(parsed.command.verb);
      }),
      { numRuns: 1000 },
    );
  });

  it('never runs a line with one letter of a verb or flag wrong', () => {
    const known = new Set<string>([...runnableVerbs, ...Object.keys(unavailableVerbs), 'dr']);
    const lines = [
      ['failover', 'vm-7', '--test'],
      ['resume', 'vm-7'],
      ['cleanup', 'vm-7'],
      ['resync', 'vm-7'],
      ['approve', 'apr_7K3M9Q2WXA'],
      ['withdraw', 'apr_7K3M9Q2WXA'],
      ['failover', 'vm-7', '--planned', '--reason=x'],
      ['reject', 'apr_7K3M9Q2WXA', '--reason=x'],
      ['escalate', 'alr_7K3M9Q2WXA'],
      ['subscribe', '--off'],
    ];
    const letter = fc.constantFrom(...'abcdefghijklmnopqrstuvwxyz-');
    const damage = fc.record({ line: fc.constantFrom(...lines), at: fc.nat(), letter, isInserted: fc.boolean() });
    fc.assert(
      fc.property(damage, ({ line, at, letter: wrong, isInserted }) => {
        const index = line.length >= 3 && at % 2 === 0 ? 2 : 0;
        const word = line[index]?.split('=')[0] ?? '';
        const place = at % word.length;
        const changed = word.slice(0, place) + wrong + word.slice(isInserted ? place : place + 1);
        fc.pre(changed !== word && !known.has(changed) && changed !== '--help');
        const value = line[index]?.slice(word.length) ?? '';
        const parsed = parseLine(line.with(index, changed + value).join(' '));
        if (parsed.kind === 'command') expect(harmlessVerbs).toContain(parsed.command.verb);
      }),
      { numRuns: 1000 },
    );
  });

  it('catches a parser that would run the nearest verb', () => {
    // The planted bug: executing the correction. The property above must be able to see it.
    const parsed = parseLine('failovr vm-7 --test');
    const obeyed = parsed.kind === 'usage' ? parseLine(parsed.problem.correctedLine ?? '') : parsed;
    expect(obeyed.kind === 'command' && harmlessVerbs.includes(obeyed.command.verb)).toBe(false);
  });
});

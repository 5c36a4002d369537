import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import type { Card } from '../../bot/card.ts';
import { parseLine } from '../../bot/chat-command.ts';
import {
  actionTitle,
  completedLine,
  isIncomplete,
  isLineRefused,
  missingPieces,
  readAction,
} from '../../bot/web/page/action-lines.ts';
import { deadlineWords, myPart, sortedApprovals } from '../../bot/web/page/approval-words.ts';
import { initialState } from '../../bot/web/page/model.ts';
import { paletteItems } from '../../bot/web/page/palette-items.ts';
import { initialTalk, reduceTalk, type TalkEvent, type TalkState, withoutSecrets } from '../../bot/web/page/talk.ts';
import { topicWork } from '../../bot/web/page/topics.ts';
import type { LineReply, Problem } from '../../bot/web/wire.ts';
import { pendingApproval } from '../teams/small-engine.ts';

const card: Card = { title: 'vm-7 · Enabled', tone: 'good', audience: 'asker' };
const reply: LineReply = { kind: 'reply', cards: [card], files: [] };
const chat = { kind: 'chat' } as const;
const talked = (events: readonly TalkEvent[], from: TalkState = initialTalk) => events.reduce(reduceTalk, from);
const sent = (number: number, line: string): TalkEvent => ({ kind: 'talk-sent', number, line, place: chat, atMs: 0 });
const answered = (number: number, more: Partial<LineReply> = {}): TalkEvent => ({
  kind: 'talk-answered',
  number,
  place: chat,
  answer: { ...reply, ...more },
  atMs: 0,
});

describe('the conversation', () => {
  test('keeps the newest 200 entries, and no topic that nothing shows', () => {
    const events = Array.from({ length: 150 }, (_, index) => [
      sent(index, 'status'),
      answered(index, { topic: `run:${index}` }),
    ]);
    const state = talked(events.flat());
    expect(state.entries.length).toBe(200);
    expect(Object.keys(state.topics).length).toBeLessThanOrEqual(200);
    expect(state.busy).toEqual([]);
  });

  test.each([
    ['approve apr_7K3M9Q2WXA --code 123456 --reason "seen"', 'approve apr_7K3M9Q2WXA --code •••••• --reason "seen"'],
    ['approve apr_7K3M9Q2WXA --code="123 456"', 'approve apr_7K3M9Q2WXA --code=••••••'],
    ['/dr authenticator 123456', '/dr authenticator ••••••'],
    ['link 7K3M-9Q2W', 'link ••••••'],
    ['failover vm-7 --test', 'failover vm-7 --test'],
  ])('%s is kept as %s', (line, kept) => {
    expect(withoutSecrets(line)).toBe(kept);
    expect(JSON.stringify(talked([sent(1, line)]))).not.toContain('123456');
  });

  test('brings back older lines, and at the end the empty field', () => {
    const state = talked([sent(1, 'status'), sent(2, 'alerts'), sent(3, 'status')]);
    const back = (from: TalkState) => reduceTalk(from, { kind: 'talk-recalled', step: -1 });
    expect([back(state).input, back(back(state)).input, back(back(back(state))).input]).toEqual([
      'status',
      'alerts',
      'alerts',
    ]);
    expect(reduceTalk(back(state), { kind: 'talk-recalled', step: 1 }).input).toBe('');
  });

  test('a request that led to a run shows the run wherever the request is shown', () => {
    const opened = talked([{ kind: 'talk-sheet-opened', number: 7, line: 'failover vm-7 --planned' }]);
    const place = { kind: 'sheet', number: 7 } as const;
    const asked = talked(
      [{ kind: 'talk-answered', number: 8, place, answer: { ...reply, topic: 'approval:a' }, atMs: 0 }],
      opened,
    );
    const led = reduceTalk(asked, { kind: 'talk-topic-led', from: 'approval:a', to: 'run:r' });
    expect(led.sheet?.run).toMatchObject({ topics: ['approval:a', 'run:r'] });
    expect(led.entries.filter(({ kind }) => kind === 'topic').length).toBe(2);
  });
});

describe('cards that are kept true', () => {
  const page = (talk: TalkState, nowMs: number) => {
    const start = initialState({ route: { kind: 'overview' }, query: new URLSearchParams(), theme: 'light' });
    const approvals = [{ ...pendingApproval, revision: 2 }];
    const site = { atMs: 0, hosts: [], machines: [], runs: [], approvals, alerts: [], surfaces: [], eventNumber: 1 };
    const versions = { engine: '', node: '', postgres: '', vault: '', accelerator: '' };
    return { state: { ...start, talk, site: { ...site, versions } }, nowMs };
  };
  const topic = `approval:${pendingApproval.id}`;
  const asked = talked([
    { kind: 'talk-topic-followed', topic },
    { kind: 'talk-topic-asked', topic, seen: '2 pending null', atMs: 10_000 },
  ]);
  const shown = (isFinal: boolean) =>
    reduceTalk(asked, { kind: 'talk-topic-shown', topic, answer: { kind: 'card', card, isFinal } });

  test('one is not asked for twice at once, nor more often than once a second', () => {
    expect(topicWork(page(asked, 14_000))).toEqual([]);
    expect(topicWork(page(shown(false), 10_500))).toEqual([]);
    expect(topicWork(page(shown(false), 11_500))).toEqual([]);
    expect(topicWork(page(shown(false), 39_000))).toEqual([]);
    expect(topicWork(page(shown(false), 40_000))).toMatchObject([{ kind: 'fetch', topic }]);
  });

  test('one that nobody sees is asked for only when what it shows has changed', () => {
    const unseen = () => false;
    expect(topicWork(page(shown(false), 99_000), unseen)).toEqual([]);
    const changed = talked([{ kind: 'talk-topic-asked', topic, seen: '1 pending null', atMs: 10_000 }], asked);
    const answer = { kind: 'card', card, isFinal: false } as const;
    const old = reduceTalk(changed, { kind: 'talk-topic-shown', topic, answer });
    expect(topicWork(page(old, 11_500), unseen)).toMatchObject([{ kind: 'fetch', topic }]);
  });

  test('at most four are asked for at once, those that have waited longest first', () => {
    const names = Array.from({ length: 9 }, (_, index) => `run:${index}`);
    const followed = talked(names.map((name) => ({ kind: 'talk-topic-followed', topic: name })));
    const askedAt = (name: string, atMs: number): TalkEvent => ({
      kind: 'talk-topic-asked',
      topic: name,
      seen: undefined,
      atMs,
    });
    const three = talked(
      [...names.slice(0, 6).map((name, index) => askedAt(name, 1000 + index)), ...names.slice(0, 3).map(shownNow)],
      followed,
    );
    const fetched = topicWork(page(three, 20_000)).map((work) => work.kind === 'fetch' && work.topic);
    expect(fetched).toEqual(['run:6']);
  });

  test('one that has ended is asked for no more', () => {
    expect(topicWork(page(shown(true), 99_000))).toEqual([]);
  });
});

function shownNow(topic: string): TalkEvent {
  return { kind: 'talk-topic-shown', topic, answer: { kind: 'card', card, isFinal: false } };
}

describe('a line that was refused', () => {
  const place = { kind: 'sheet', number: 7 } as const;
  const opened = talked([
    { kind: 'talk-sheet-opened', number: 7, line: 'failover vm-7 --planned' },
    { kind: 'talk-sheet-filled', field: 'reason', value: 'DC power work' },
    { kind: 'talk-sent', number: 8, line: 'failover vm-7 --planned', place, atMs: 0 },
  ]);
  const told = (answer: LineReply | Problem) =>
    reduceTalk(opened, { kind: 'talk-answered', number: 8, place, answer, atMs: 0 }).sheet;
  const refused: Card = { title: 'Not understood; nothing was done', tone: 'warning', audience: 'asker' };

  test('stays where it was written, with all that was written', () => {
    const answers = { reason: 'DC power work' };
    const problem = { kind: 'problem', why: 'too-many', message: 'Wait.', nextStep: null } as const;
    expect(told({ ...reply, cards: [refused] })).toMatchObject({
      answers,
      run: { kind: 'none' },
      refusal: { kind: 'cards' },
    });
    expect(told(problem)).toMatchObject({ answers, run: { kind: 'none' }, refusal: { kind: 'failed' } });
  });

  test('after an outage nobody knows whether it was done, so it does not wait to be sent once more', () => {
    const away: Card = { ...refused, tone: 'bad', title: 'The engine cannot be reached or does not answer' };
    const problem = { kind: 'problem', why: 'outage', message: 'Away.', nextStep: null } as const;
    expect(told({ ...reply, cards: [away] })).toMatchObject({ run: { kind: 'cards' }, refusal: { kind: 'none' } });
    const ended = talked([{ kind: 'talk-answered', number: 8, place, answer: problem, atMs: 0 }], opened);
    expect(ended.sheet).toMatchObject({ run: { kind: 'failed' } });
    expect(reduceTalk(ended, { kind: 'talk-sheet-back' }).sheet).toMatchObject({
      answers: { reason: 'DC power work' },
      run: { kind: 'none' },
    });
  });
});

const writtenText = fc.string({ unit: 'grapheme-ascii', maxLength: 60 }).filter((text) => text.trim() !== '');

describe('an action', () => {
  test('whatever is written as a reason is a text of the line, never a flag of it', () => {
    const planned = 'failover vm-7 --planned';
    fc.assert(
      fc.property(writtenText, (text) => {
        const line = completedLine(planned, { reason: text });
        const parsed = parseLine(line);
        expect(parsed).toMatchObject({
          kind: 'command',
          command: { verb: 'planned-failover', isDryRun: false, typedName: undefined },
        });
      }),
      { numRuns: 1000, examples: [['?'], ['--break-glass'], ['-h'], ['"']] },
    );
    // Without the quotation marks it would have been a flag: this is what the property is there to see.
    expect(parseLine(`${planned} --reason x --break-glass`)).not.toMatchObject({
      kind: 'command',
      command: { typedName: undefined },
    });
  });

  test.each([
    ['/dr failover vm-7 --test', 'Test failover of vm-7', [], true],
    ['failover vm-7 --planned', 'Planned failover of vm-7', ['reason', 'at'], true],
    ['pause vm-7 --reason x', 'Pause vm-7', ['for'], false],
    ['resume vm-7', 'Resume vm-7', [], false],
  ])('%s lacks what a person has to write, and has a dry run or none', (line, title, flags, hasDryRun) => {
    expect([actionTitle(line), missingPieces(line).map(({ flag }) => flag), readAction(line).hasDryRun]).toEqual([
      title,
      flags,
      hasDryRun,
    ]);
  });

  test.each([
    ['failover vm-7 --planned --reason', 'failover vm-7 --planned', ['reason', 'at']],
    ['failover vm-7 --planned --at --reason=', 'failover vm-7 --planned', ['reason', 'at']],
    ['mute alr_1 --reason ', 'mute alr_1', ['reason']],
  ])('%s: a flag at the end without its value is asked for', (line, rest, flags) => {
    expect(missingPieces(line).map(({ flag }) => flag)).toEqual(flags);
    expect(isIncomplete(line)).toBe(true);
    expect(completedLine(line, { reason: 'DC work' })).toBe(`${rest} --reason "DC work"`);
  });

  test('whoever begins a time has to give it, and a flag that the sheet does not ask for stays in the line', () => {
    const required = (line: string) => missingPieces(line).filter(({ isRequired }) => isRequired);
    expect(required('failover vm-7 --planned --reason x --at').map(({ flag }) => flag)).toEqual(['at']);
    expect(required('failover vm-7 --planned --reason x')).toEqual([]);
    expect(completedLine('failover vm-7 --test --point', {})).toBe('failover vm-7 --test --point');
    expect(completedLine('pause vm-7 --reason "use --for"', { for: '1h' })).toBe(
      'pause vm-7 --reason "use --for" --for 1h',
    );
  });

  test('a dry run that cannot read the line turns Run off; an outage and failed checks do not', () => {
    const told = (title: string, tone: Card['tone']) =>
      isLineRefused({ kind: 'cards', topics: [], cards: [{ title, tone, audience: 'asker' }] });
    expect(told('Not understood; nothing was done', 'warning')).toBe(true);
    expect(told('Not found; nothing was done', 'warning')).toBe(true);
    expect(told('The engine cannot be reached or does not answer', 'bad')).toBe(false);
    expect(told('Planned failover of vm-7 · dry run: 1 of 4 checks fail', 'warning')).toBe(false);
    expect(isLineRefused({ kind: 'asked' })).toBe(false);
  });

  test('only a line that lacks a word of the person is opened instead of run', () => {
    expect(['mute alr_1', 'mute alr_1 --reason x', 'pause vm-7 --reason x', 'ack alr_1'].map(isIncomplete)).toEqual([
      true,
      false,
      false,
      false,
    ]);
  });
});

describe('the palette', () => {
  const known = { machineNames: ['web-1', 'vm-7', 'vm-77'], recent: ['machine vm-77', 'machine gone'] };
  const labels = (text: string) => paletteItems(text, known).map(({ label }) => label);

  test('offers the recent first, and forgets what is gone', () => {
    expect(labels('').slice(0, 3)).toEqual(['vm-77', 'Overview', 'Approvals']);
  });

  test('a line that acts opens its dialog, one that looks goes into the chat', () => {
    expect(paletteItems('failover vm-7 --test', known)[0]).toMatchObject({
      deed: { kind: 'sheet', line: 'failover vm-7 --test' },
    });
    expect(paletteItems('/dr status vm-7', known)[0]).toMatchObject({ deed: { kind: 'say', line: 'status vm-7' } });
  });

  test('a line with a code is not remembered', () => {
    expect(paletteItems('approve apr_7K3M9Q2WXA --code 123456', known)[0]?.key).toBeUndefined();
  });

  test('completes the last word of a line before it runs the line', () => {
    expect(labels('points vm-')).toEqual(['points vm-7', 'points vm-77', 'Run: points vm-']);
    expect(labels('points vm-7')[0]).toBe('Run: points vm-7');
    expect(labels('points db-9')).toEqual(['Run: points db-9']);
  });

  test('a flag that is half typed is never run', () => {
    expect(labels('failover vm-7 --te')).toEqual(['failover vm-7 --test']);
    expect(labels('audit vm-7 --cs')).toEqual(['audit vm-7 --csv']);
    const half = fc
      .constantFrom('--test', '--planned', '--reason', '--dry-run', '--break-glass', '--point')
      .chain((flag) => fc.integer({ min: 1, max: flag.length - 1 }).map((length) => flag.slice(0, length)));
    fc.assert(
      fc.property(half, (flag) => {
        const items = paletteItems(`failover vm-7 ${flag}`, known);
        expect(items.map(({ deed }) => deed.kind)).not.toContain('sheet');
        expect(items.length).toBeGreaterThan(0);
      }),
    );
  });

  test('a failover whose kind cannot be read is tried before anything else', () => {
    expect(readAction('failover vm-7 --tets').hasDryRun).toBe(true);
    expect(readAction('Failover vm-7 --planned').kind).toBe('planned-failover');
    expect(readAction('failover vm-7 --planned --break-glass').hasDryRun).toBe(false);
  });
});

describe('who decides', () => {
  const me = { name: 'ben', roles: [], hasAuthenticator: true, isOnCall: false };

  test('who asked, who has voted and who is no approver see words instead of buttons', () => {
    const vote = { person: 'ben', decision: 'approve', atMs: 0, via: 'slack', reason: '', stepUp: 'totp' } as const;
    expect(myPart(pendingApproval, me).kind).toBe('decide');
    expect(myPart({ ...pendingApproval, requestedBy: 'ben', eligible: ['zoe'] }, me).kind).toBe('withdraw');
    expect(myPart({ ...pendingApproval, neededCount: 2, votes: [vote] }, me)).toMatchObject({
      words: 'You have approved it. 1 more person has to.',
    });
    expect(myPart({ ...pendingApproval, eligible: [] }, me).kind).toBe('nothing');
    expect(myPart(pendingApproval, { ...me, hasAuthenticator: false })).toMatchObject({
      kind: 'decide',
      hint: expect.stringContaining('authenticator'),
    });
  });

  test('what was done alone is reviewed by another approver, once it has ended', () => {
    const review = { dueAtMs: 72_000_000, reviewedBy: null, note: null };
    const done = { ...pendingApproval, state: 'succeeded', isBreakGlass: true, review } as const;
    expect(myPart(done, me).kind).toBe('review');
    expect(myPart({ ...done, state: 'executing' }, me).kind).toBe('nothing');
    expect(myPart({ ...done, requestedBy: 'ben' }, me).kind).toBe('nothing');
    expect(myPart({ ...done, eligible: ['zoe'] }, me).kind).toBe('nothing');
    expect(myPart({ ...done, review: { ...review, reviewedBy: 'zoe', note: 'ok' } }, me).kind).toBe('nothing');
    expect(deadlineWords(done, 0)).toBe('Needs a review by 20:00:00Z (due in 20 h)');
    expect(sortedApprovals([done], me).mine).toEqual([done]);
  });

  test('what waits for me stands apart from what waits for others', () => {
    const others = { ...pendingApproval, eligible: ['zoe'] };
    const { mine, open, ended } = sortedApprovals([others, { ...others, state: 'failed' }, pendingApproval], me);
    expect([mine.length, open.length, ended.length]).toEqual([1, 1, 1]);
  });
});

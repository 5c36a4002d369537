import { describe, expect, test } from 'vitest';
import { machineActions } from '../../bot/web/page/machine-actions.ts';
import { initialState, type PageEvent, type PageState, reduce } from '../../bot/web/page/model.ts';
import { whyNotMine } from '../../bot/web/page/my-access.ts';
import { keyDeed } from '../../bot/web/page/overview-keys.ts';
import { overviewTree } from '../../bot/web/page/overview-rows.ts';
import { filtersOf, noFilters, pathOfFilters } from '../../bot/web/page/overview-state.ts';
import { windowFor } from '../../bot/web/page/overview-window.ts';
import { ownPath, parseRoute, pathOf } from '../../bot/web/page/router.ts';
import { machineOfName, needsMe, twinWords, waitingCount } from '../../bot/web/page/site-words.ts';
import { protectionTone } from '../../bot/web/page/state-chip.ts';
import type { Me } from '../../bot/web/wire.ts';
import type { Grant } from '../../domain/access.ts';
import type { OverviewView } from '../../protocol/console-api.ts';
import type { MachineView } from '../../protocol/control-api.ts';
import { cannedApproval, cannedMachine, cannedSite, engineHealth } from './page-site.ts';

const nowMs = Date.UTC(2026, 10, 22, 14, 0, 0);
const site = cannedSite(200, nowMs);
const me = { name: 'ada', roles: ['approver'], hasAuthenticator: true, isOnCall: false } as const;
const start = initialState({ route: { kind: 'overview' }, query: new URLSearchParams(), theme: 'system' });
const stateAfter = (...events: PageEvent[]): PageState => events.reduce(reduce, start);
const snapshot: PageEvent = { kind: 'live', event: { kind: 'snapshot', me, site }, browserMs: nowMs - 5000 };

describe('where somebody may be sent after the sign-in', () => {
  const origin = 'https://console.example:9444';
  test.each([
    ['//evil.example/x'],
    ['https://evil.example/'],
    ['/\\evil.example'],
    ['\\\\evil.example'],
    ['javascript:alert(1)'],
    ['/sign-in?to=/'],
    ['machines/vm-7'],
    [null],
    ['/\t/evil.example'],
  ])('%s is not gone to', (wanted) => {
    expect(ownPath(wanted, origin)).toBe('/');
  });

  test('a path of the page is', () => {
    expect(ownPath('/approvals/apr_7K3M9Q2WXA?x=1', origin)).toBe('/approvals/apr_7K3M9Q2WXA?x=1');
  });
});

describe('addresses', () => {
  test('every route and its address are each other’s inverse', () => {
    const paths = [
      '/',
      '/machines/vm-7',
      '/approvals',
      '/approvals/apr_7K3M9Q2WXA',
      '/alerts',
      '/report?machine=vm-7&days=7',
    ];
    for (const path of paths) {
      const url = new URL(path, 'https://x');
      expect(pathOf(parseRoute(url.pathname, url.searchParams))).toBe(path);
    }
    expect(parseRoute('/machines/%ff', new URLSearchParams())).toEqual({ kind: 'machine', name: '%ff' });
    expect(parseRoute('/machines/a/b', new URLSearchParams()).kind).toBe('unknown');
  });

  test('filters and the query of the overview are each other’s inverse; unknown words count as not said', () => {
    const filters = { text: 'a b', state: 'paused', site: 'cork', tag: '<img>', sort: 'lag' } as const;
    expect(filtersOf(new URL(pathOfFilters(filters), 'https://x').searchParams)).toEqual(filters);
    expect(pathOfFilters(noFilters)).toBe('/');
    expect(filtersOf(new URLSearchParams('state=x&sort=y'))).toEqual(noFilters);
  });
});

describe('what is known, and whether it is so now', () => {
  test('a snapshot makes it live, by the clock of the engine', () => {
    const state = stateAfter(snapshot);
    expect(state.freshness).toEqual({ kind: 'live', atMs: nowMs });
    expect(state.clockSkewMs).toBe(5000);
  });

  test('a beat keeps live what is live, and never makes live what is stale or was never seen', () => {
    const beat: PageEvent = { kind: 'live', event: { kind: 'beat', atMs: nowMs + 5000 }, browserMs: nowMs };
    const stale: PageEvent = { kind: 'live', event: { kind: 'stale', sinceMs: nowMs, why: 'down' }, browserMs: nowMs };
    expect(stateAfter(snapshot, beat).freshness).toEqual({ kind: 'live', atMs: nowMs + 5000 });
    expect(stateAfter(snapshot, stale, beat).freshness.kind).toBe('stale');
    expect(stateAfter(snapshot, { kind: 'lost', why: 'cut' }, beat).freshness.kind).toBe('stale');
    expect(stateAfter(beat).freshness.kind).toBe('connecting');
    const change: PageEvent = { kind: 'live', event: { kind: 'change', atMs: nowMs + 6000 }, browserMs: nowMs };
    expect(stateAfter(snapshot, stale, change).freshness.kind).toBe('live');
  });

  test('a late message does not turn the clock back; a clock that was set anew does', () => {
    const beat = (atMs: number, browserMs: number): PageEvent => ({
      kind: 'live',
      event: { kind: 'beat', atMs },
      browserMs,
    });
    expect(stateAfter(snapshot, beat(nowMs + 1000, nowMs - 2000)).clockSkewMs).toBe(5000);
    expect(stateAfter(snapshot, beat(nowMs - 60_000, nowMs)).clockSkewMs).toBe(-60_000);
  });

  test('an old snapshot of an engine that does not answer is not live, and does not make ages younger', () => {
    const stale: PageEvent = { kind: 'live', event: { kind: 'stale', sinceMs: nowMs, why: 'down' }, browserMs: nowMs };
    const tenMinutesLater: PageEvent = { ...snapshot, browserMs: nowMs + 600_000 };
    const again = stateAfter(snapshot, stale, { kind: 'lost', why: 'cut' }, tenMinutesLater);
    expect(again.freshness.kind).toBe('stale');
    expect(again.clockSkewMs).toBe(5000);
    expect(stateAfter(stale, tenMinutesLater)).toMatchObject({ freshness: { kind: 'stale' }, clockSkewMs: 0 });
  });

  test('the first snapshot corrects a browser that is ahead as well as one that is behind', () => {
    const ahead: PageEvent = { ...snapshot, browserMs: nowMs + 600_000 };
    expect(stateAfter(ahead).clockSkewMs).toBe(-600_000);
    expect(stateAfter(ahead, { ...snapshot, browserMs: nowMs + 600_300 }).clockSkewMs).toBe(-600_000);
    expect(stateAfter(ahead, { kind: 'signed-out' }, snapshot).clockSkewMs).toBe(5000);
  });

  test('who signs out leaves nothing behind', () => {
    const state = stateAfter(snapshot, { kind: 'signed-out' });
    expect(state.site).toBeUndefined();
    expect(state.me).toBeUndefined();
    expect(JSON.stringify(state)).not.toContain('vm-');
  });
});

describe('what needs me', () => {
  test('only pending requests that I may decide and have not decided', () => {
    const mine = cannedApproval(1, nowMs);
    const voted = {
      ...mine,
      votes: [{ person: 'ada', decision: 'approve', atMs: nowMs, via: 'web', reason: '', stepUp: 'none' }],
    } as const;
    const approvals = [
      mine,
      { ...mine, eligible: ['linus'] },
      { ...mine, state: 'expired' as const },
      { ...voted, votes: [...voted.votes] },
    ];
    expect(needsMe({ me, site: { ...site, approvals } }).approvals).toEqual([mine]);
  });
});

describe('what was done without an approver', () => {
  const review = { dueAtMs: nowMs + 60_000, reviewedBy: null, note: null };
  const alone = {
    ...cannedApproval(1, nowMs),
    state: 'succeeded',
    isBreakGlass: true,
    eligible: ['ada'],
    review,
  } as const;
  const needs = (approval: OverviewView['approvals'][number]) =>
    needsMe({ me, site: { ...site, approvals: [approval] } });

  test('waits for those who may review it, and counts in the title of the tab, until somebody has', () => {
    expect(needs({ ...alone, eligible: ['ada'] })).toMatchObject({ approvals: [], reviews: [{ id: alone.id }] });
    const count = (approval: OverviewView['approvals'][number]) =>
      waitingCount({ me, site: { ...site, alerts: [], approvals: [approval] } });
    expect(count({ ...alone, eligible: ['ada'] })).toBe(1);
    expect(count({ ...alone, eligible: ['ada'], review: { ...review, reviewedBy: 'linus', note: 'x' } })).toBe(0);
    expect(count({ ...alone, eligible: ['linus'] })).toBe(0);
    expect(count({ ...alone, eligible: ['ada'], requestedBy: 'ada' })).toBe(0);
  });
});

describe('what needs attention', () => {
  const rollUpWith = (machine: MachineView) => {
    const [row] = overviewTree(
      { ...site, hosts: [], machines: [machine] },
      { filters: noFilters, closedKeys: new Set() },
    ).rows;
    return row?.kind === 'site' ? row.rollUp : undefined;
  };
  const firstCopy = cannedMachine(3, 'host-01', nowMs);
  const moved = cannedMachine(60, 'host-01', nowMs);

  test('a first copy that goes on and a deliberate failover need nobody; a silent agent and a pause do', () => {
    expect(rollUpWith(firstCopy)).toMatchObject({ worst: 'none', needyCount: 0, replicatingCount: 1 });
    expect(rollUpWith(moved)).toMatchObject({ worst: 'none', needyCount: 0, movedCount: 1 });
    const silent = { ...firstCopy, health: engineHealth(firstCopy, 90_000) };
    expect(rollUpWith(silent)).toMatchObject({ worst: 'unknown', needyCount: 1 });
    expect(rollUpWith(cannedMachine(33, 'host-01', nowMs))).toMatchObject({ worst: 'warning', needyCount: 1 });
  });

  test('each has a tone of its own, and none of them is green', () => {
    const silent = { ...firstCopy, health: engineHealth(firstCopy, 90_000) };
    const paused = { ...firstCopy, replication: { kind: 'paused', untilMs: nowMs, reason: 'x' } } as const;
    const machines = [firstCopy, silent, { ...paused, health: engineHealth(paused) }, moved];
    const pausedAndSilent = { ...paused, health: engineHealth(paused, 90_000) };
    expect([...machines, pausedAndSilent].map(protectionTone)).toEqual([
      'working',
      'unknown',
      'paused',
      'moved',
      'unknown',
    ]);
  });
});

describe('what somebody may do', () => {
  const machine = { ...cannedMachine(1, 'host-01', nowMs), name: 'vm-7', tags: ['web'] };
  const everything = { kind: 'everything' } as const;
  const as = (...grants: Grant[]) => ({ ...me, grants });
  const off = (who: Me, request: Parameters<typeof whyNotMine>[1] = 'pause') => whyNotMine(who, request, machine);

  test('is said by the rule of the engine: role, machine and tag', () => {
    expect(off(as({ role: 'viewer', scope: everything }))).toBe('You are a viewer: an operator may do this.');
    expect(off(as())).toBe('You have no role yet: an operator may do this.');
    expect(off(as({ role: 'operator', scope: { kind: 'machine', name: 'vm-8' } }))).toBe(
      'You are an operator for vm-8: an operator for vm-7 may do this.',
    );
    for (const scope of [everything, { kind: 'machine', name: 'vm-7' }, { kind: 'tag', tag: 'web' }] as const) {
      expect(off(as({ role: 'operator', scope }))).toBeUndefined();
      expect(off(as({ role: 'admin', scope }), 'test-failover')).toBeUndefined();
    }
  });

  test('is left on when the page does not know', () => {
    expect(off({ ...me, roles: ['viewer'] })).toBeUndefined();
    expect(whyNotMine(undefined, 'pause', machine)).toBeUndefined();
  });

  test('a guest of a name that two hosts have is enabled with its host, and its name stands for the protected one', () => {
    const guest = cannedMachine(41, 'host-01', nowMs);
    const twin = { ...cannedMachine(1, 'host-02', nowMs), name: guest.name };
    expect(machineActions(guest, { me, machines: [guest] })[0]?.line).toBe('enable vm-41 --policy default');
    expect(machineActions(guest, { me, machines: [guest, twin] })[0]?.line).toBe(
      'enable vm-41 --policy default --host host-01',
    );
    const twins = { ...site, machines: [guest, twin] };
    expect(machineOfName(twins, guest.name)).toBe(twin);
    expect(twinWords(twins, twin)).toBe(
      'host-01 has a guest of the name vm-41 too. This page is about the one of host-02.',
    );
    expect(twinWords({ ...site, machines: [twin] }, twin)).toBeUndefined();
  });
});

describe('the tree', () => {
  const ui = { filters: noFilters, closedKeys: new Set<string>() };
  const tree = overviewTree(site, ui);

  test('every machine is in it once, under its host and its site, with its recovery-site machine below it', () => {
    const machines = tree.rows.filter((row) => row.kind === 'machine');
    expect(machines.length).toBe(200);
    expect(new Set(tree.rows.map((row) => row.key)).size).toBe(tree.rows.length);
    const copies = tree.rows.filter((row) => row.kind === 'copy');
    expect(copies.map((row) => row.copy.vmName).sort()).toEqual([
      'vm-107-Test',
      'vm-160-Failover',
      'vm-60-Failover',
      'vm-7-Test',
    ]);
    for (const copy of copies) expect(tree.rows[tree.rows.indexOf(copy) - 1]?.key).toBe(copy.key.slice('copy:'.length));
  });

  test('the worst comes first, and a group is as bad as the worst in it', () => {
    const [first, second, third] = tree.rows;
    expect([first?.kind, second?.kind, third?.kind]).toEqual(['site', 'host', 'machine']);
    expect(first?.kind === 'site' && first.rollUp.worst).toBe('critical');
    expect(second?.kind === 'host' && second.rollUp.worst).toBe('critical');
    expect(third?.kind === 'machine' && third.machine.health.kind).toBe('critical');
  });

  test('two hosts may have guests of the same name', () => {
    const [one] = site.machines;
    if (one === undefined) throw new Error('the canned site has machines');
    const twins = { ...site, machines: [one, { ...one, hostName: 'host-02' }] };
    const keys = overviewTree(twins, ui).rows.filter((row) => row.kind === 'machine');
    expect(new Set(keys.map((row) => row.key)).size).toBe(2);
  });

  test('keys stop at both ends, and lead out to the parent', () => {
    expect(keyDeed('ArrowUp', tree.rows, 0)).toEqual({ kind: 'focus', index: 0 });
    expect(keyDeed('End', tree.rows, 0)).toEqual({ kind: 'focus', index: tree.rows.length - 1 });
    expect(keyDeed('ArrowDown', tree.rows, tree.rows.length - 1)).toEqual({
      kind: 'focus',
      index: tree.rows.length - 1,
    });
    expect(keyDeed('ArrowLeft', tree.rows, 2)).toEqual({ kind: 'focus', index: 1 });
    expect(keyDeed('ArrowLeft', tree.rows, 1)).toMatchObject({ kind: 'toggle', isOpen: false });
    expect(keyDeed('x', tree.rows, 1)).toBeUndefined();
  });

  test('the window holds what is in view, wherever the page is scrolled to', () => {
    const list = { top: 400, width: 1100, screenHeight: 800 };
    for (const scrollY of [0, 399, 5000, 39_000]) {
      const { first, last } = windowFor(list, scrollY, 'wide');
      expect(first * 40 + 400).toBeLessThanOrEqual(Math.max(400, scrollY));
      expect(last * 40 + 400).toBeGreaterThanOrEqual(scrollY + 800);
      expect(last - first).toBeLessThan(60);
    }
  });
});

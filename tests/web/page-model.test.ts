import { describe, expect, test } from 'vitest';
import { initialState, type PageEvent, type PageState, reduce } from '../../bot/web/page/model.ts';
import { keyDeed } from '../../bot/web/page/overview-keys.ts';
import { overviewTree } from '../../bot/web/page/overview-rows.ts';
import { filtersOf, noFilters, pathOfFilters } from '../../bot/web/page/overview-state.ts';
import { windowFor } from '../../bot/web/page/overview-window.ts';
import { ownPath, parseRoute, pathOf } from '../../bot/web/page/router.ts';
import { needsMe } from '../../bot/web/page/site-words.ts';
import { cannedApproval, cannedSite } from './page-site.ts';

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
    expect(stateAfter(tenMinutesLater).clockSkewMs).toBe(0);
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

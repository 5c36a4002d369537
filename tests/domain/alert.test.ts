import { describe, expect, test } from 'vitest';
import type { MachineFacts } from '../../domain/alert-facts.ts';
import { createDesk, lookOn } from './alert-desk.ts';
import { alertFacts, hostFacts, machineFacts, minute } from './alert-facts.ts';

const second = 1000;

const oneMachine = (changes: Partial<MachineFacts>) => () => ({ machines: [machineFacts('vm-7', changes)] });

describe('lag', () => {
  test.each([
    { lagMs: minute, told: [] },
    { lagMs: minute + 1, told: ['open lag vm-7 warning'] },
    { lagMs: 3 * minute, told: ['open lag vm-7 warning'] },
    { lagMs: 3 * minute + 1, told: ['open lag vm-7 critical'] },
    { lagMs: undefined, told: ['open lag vm-7 critical'] },
  ])('of $lagMs ms, for a goal of one minute: $told', ({ lagMs, told }) => {
    expect(lookOn(createDesk(), { fromMs: 0, toMs: minute }, oneMachine({ lagMs }))).toEqual(told);
  });

  test('must be too high for thirty seconds before anybody is told', () => {
    const desk = createDesk();
    expect(lookOn(desk, { fromMs: 0, toMs: 30 * second }, oneMachine({ lagMs: 65_000 }))).toEqual([]);
    expect(lookOn(desk, { fromMs: 30 * second, toMs: 40 * second }, oneMachine({ lagMs: 65_000 }))).toHaveLength(1);
  });

  test('a short peak tells nobody, however often it comes', () => {
    const sawtooth = (nowMs: number) => ({ machines: [machineFacts('vm-7', { lagMs: (nowMs % 80_000) + 2000 })] });
    expect(lookOn(createDesk(), { fromMs: 0, toMs: 60 * minute }, sawtooth)).toEqual([]);
  });

  test('is over when it was below 0.8 of the goal for a minute, that is three evaluations 30 s apart', () => {
    const desk = createDesk();
    lookOn(desk, { fromMs: 0, toMs: minute }, oneMachine({ lagMs: 2 * minute }));
    const at = (fromMs: number, looks: number, lagMs: number) =>
      lookOn(desk, { fromMs, toMs: fromMs + looks * 10 * second }, oneMachine({ lagMs }));
    expect(at(minute, 12, 50_000)).toEqual([]);
    expect(at(4 * minute, 6, 40_000)).toEqual([]);
    expect(at(5 * minute, 1, 50_000)).toEqual([]);
    expect(at(6 * minute, 6, 40_000)).toEqual([]);
    expect(at(7 * minute, 1, 40_000)).toEqual(['recover lag vm-7']);
  });

  test('time in which nobody looked is no time in which it was clear', () => {
    const desk = createDesk();
    lookOn(desk, { fromMs: 0, toMs: minute }, oneMachine({ lagMs: 2 * minute }));
    lookOn(desk, { fromMs: minute, toMs: minute + 20 * second }, oneMachine({ lagMs: 40_000 }));
    desk.look(alertFacts({ nowMs: 5 * minute, ...oneMachine({ lagMs: 40_000 })() }), true);
    expect(desk.open()).toHaveLength(1);
    expect(lookOn(desk, { fromMs: 5 * minute + 10 * second, toMs: 7 * minute }, oneMachine({ lagMs: 40_000 }))).toEqual(
      ['recover lag vm-7'],
    );
  });

  test('rings again when it becomes critical, not when it becomes a warning again', () => {
    const desk = createDesk();
    lookOn(desk, { fromMs: 0, toMs: minute }, oneMachine({ lagMs: 2 * minute }));
    const at = (fromMs: number, looks: number, lagMs: number) =>
      lookOn(desk, { fromMs, toMs: fromMs + looks * 10 * second }, oneMachine({ lagMs }));
    expect(at(2 * minute, 1, 4 * minute)).toEqual(['raise lag vm-7 critical']);
    expect(at(3 * minute, 6, 2 * minute)).toEqual([]);
    expect(at(4 * minute, 1, 2 * minute)).toEqual(['lower lag vm-7 warning']);
    // Around the threshold it is critical all the time: it does not ring again and again.
    expect(at(5 * minute, 1, 4 * minute)).toEqual(['raise lag vm-7 critical']);
    expect(at(6 * minute, 5, 2 * minute)).toEqual([]);
    expect(at(7 * minute, 1, 4 * minute)).toEqual([]);
  });

  test('its words are made new once a minute, not at every look', () => {
    const desk = createDesk();
    lookOn(desk, { fromMs: 0, toMs: 10 * minute }, (nowMs) => ({
      machines: [machineFacts('vm-7', { lagMs: 4 * minute + nowMs })],
    }));
    const updates = desk.told.filter(({ change }) => change.kind === 'update');
    expect(updates.length).toBeGreaterThan(5);
    expect(updates.length).toBeLessThan(11);
  });

  test('of a machine that is not protected yet, or any more, is no alert', () => {
    for (const protection of ['initial-replication', 'failed-over'] as const) {
      expect(lookOn(createDesk(), { fromMs: 0, toMs: minute }, oneMachine({ lagMs: undefined, protection }))).toEqual(
        [],
      );
    }
  });
});

test('a resynchronisation is critical, and only a warning when a person asked for it', () => {
  const told = (isResyncAsked: boolean) =>
    lookOn(
      createDesk(),
      { fromMs: 0, toMs: minute },
      oneMachine({ resyncRequired: 'changes were lost', isResyncAsked }),
    );
  expect(told(false)).toEqual(['open resync-required vm-7 critical']);
  expect(told(true)).toEqual(['open resync-required vm-7 warning']);
});

describe('silence', () => {
  const silent = (silentMs: number) => () => ({ hosts: [hostFacts('hv-1', ['vm-7'], silentMs)] });

  test('of more than three heartbeats is critical, and explains the lag of its machines', () => {
    const desk = createDesk();
    expect(lookOn(desk, { fromMs: 0, toMs: minute }, silent(6000))).toEqual([]);
    const told = lookOn(desk, { fromMs: minute, toMs: 6 * minute }, (nowMs) => ({
      hosts: [hostFacts('hv-1', ['vm-7'], nowMs - minute + 7000)],
      machines: [machineFacts('vm-7', { lagMs: nowMs })],
    }));
    expect(told).toEqual(['open agent-silent hv-1 critical']);
    expect(desk.open()).toMatchObject([{ machineNames: ['vm-7'], members: [{ scope: 'vm-7' }] }]);
  });

  test('while nobody listened is not theirs', () => {
    const desk = createDesk();
    const restart = 60 * minute;
    const facts = (nowMs: number) =>
      alertFacts({
        nowMs,
        resumedAtMs: restart,
        hosts: [hostFacts('hv-1', ['vm-7'], nowMs - restart < 5000 ? restart : 1000)],
      });
    desk.look(facts(restart), true);
    for (let nowMs = restart + 10 * second; nowMs < restart + minute; nowMs += 10 * second) desk.look(facts(nowMs));
    expect(desk.told).toEqual([]);
  });

  test('of a host without machines is only a warning', () => {
    const told = lookOn(createDesk(), { fromMs: 0, toMs: minute }, () => ({ hosts: [hostFacts('hv-2', [], minute)] }));
    expect(told).toEqual(['open agent-silent hv-2 warning']);
  });
});

describe('what hangs together', () => {
  const lagging = (names: readonly string[], changes: Partial<MachineFacts> = {}) =>
    names.map((name) => machineFacts(name, { lagMs: 2 * minute, ...changes }));

  test('three machines of one host are one alert that names it, with its members', () => {
    const desk = createDesk();
    const told = lookOn(desk, { fromMs: 0, toMs: 2 * minute }, () => ({ machines: lagging(['vm-1', 'vm-2', 'vm-3']) }));
    expect(told).toEqual(['open lag host hv-1 warning']);
    expect(desk.open()).toMatchObject([
      { title: '3 machines of host hv-1 lag behind', machineNames: ['vm-1', 'vm-2', 'vm-3'] },
    ]);
    expect(desk.open()[0]?.members).toHaveLength(3);
  });

  test('two are two, and three hosts have the site in common', () => {
    const two = lookOn(createDesk(), { fromMs: 0, toMs: 2 * minute }, () => ({ machines: lagging(['vm-1', 'vm-2']) }));
    expect(two).toEqual(['open lag vm-1 warning', 'open lag vm-2 warning']);
    const hosts = ['hv-1', 'hv-2', 'hv-3'].map((host, index) =>
      machineFacts(`vm-${index}`, { lagMs: 2 * minute, host }),
    );
    expect(lookOn(createDesk(), { fromMs: 0, toMs: 2 * minute }, () => ({ machines: hosts }))).toEqual([
      'open lag the whole site warning',
    ]);
  });

  test('a third machine within a minute takes the other two into its group; their own alerts are muted, visibly', () => {
    const desk = createDesk();
    const facts = (nowMs: number) => ({
      machines: lagging(nowMs < 40 * second ? ['vm-1', 'vm-2'] : ['vm-1', 'vm-2', 'vm-3']),
    });
    expect(lookOn(desk, { fromMs: 0, toMs: 2 * minute }, facts)).toEqual([
      'open lag vm-1 warning',
      'open lag vm-2 warning',
      'open lag host hv-1 warning',
      'mute alr_1',
      'mute alr_2',
    ]);
    // Well again, one after the other.
    const well = (nowMs: number) => ({ machines: lagging(nowMs < 5 * minute ? ['vm-2', 'vm-3'] : []) });
    expect(lookOn(desk, { fromMs: 2 * minute, toMs: 8 * minute }, well)).toEqual([
      'recover lag vm-1',
      'recover lag vm-2',
      'recover lag host hv-1',
    ]);
    expect(desk.open()).toEqual([]);
  });

  test('one more machine long after is an alert of its own, three more ring as part of the group', () => {
    const desk = createDesk();
    lookOn(desk, { fromMs: 0, toMs: 10 * minute }, () => ({ machines: lagging(['vm-1', 'vm-2', 'vm-3']) }));
    const four = ['vm-1', 'vm-2', 'vm-3', 'vm-4'];
    expect(lookOn(desk, { fromMs: 10 * minute, toMs: 15 * minute }, () => ({ machines: lagging(four) }))).toEqual([
      'open lag vm-4 warning',
    ]);
    const seven = [...four, 'vm-5', 'vm-6', 'vm-7'];
    lookOn(desk, { fromMs: 15 * minute, toMs: 20 * minute }, () => ({ machines: lagging(seven) }));
    const grown = desk.told.filter(({ change }) => change.kind === 'grow');
    expect(grown).toMatchObject([{ change: { isNotifying: true, joined: [{}, {}, {}] } }]);
  });
});

describe('what is known already', () => {
  test('a pause opens nothing, mutes what is open, and leaves time to catch up afterwards', () => {
    const desk = createDesk();
    const paused = { mutedWhy: 'its replication is paused' };
    expect(lookOn(desk, { fromMs: 0, toMs: 10 * minute }, oneMachine({ lagMs: 9 * minute, ...paused }))).toEqual([]);
    expect(lookOn(desk, { fromMs: 10 * minute, toMs: 11 * minute }, oneMachine({ lagMs: 9 * minute }))).toEqual([]);
    expect(lookOn(desk, { fromMs: 11 * minute, toMs: 12 * minute }, oneMachine({ lagMs: 9 * minute }))).toEqual([
      'open lag vm-7 critical',
    ]);
    expect(
      lookOn(desk, { fromMs: 12 * minute, toMs: 14 * minute }, oneMachine({ lagMs: 9 * minute, ...paused })),
    ).toEqual(['mute alr_1']);
    expect(lookOn(desk, { fromMs: 14 * minute, toMs: 17 * minute }, oneMachine({ lagMs: 9 * minute }))).toEqual([
      'unmute alr_1',
    ]);
    expect(lookOn(desk, { fromMs: 17 * minute, toMs: 19 * minute }, oneMachine({}))).toEqual(['recover lag vm-7']);
    expect(desk.watchCount()).toBe(1);
    lookOn(desk, { fromMs: 60 * minute, toMs: 61 * minute }, oneMachine({}));
    expect(desk.watchCount()).toBe(0);
  });

  test('what a person muted until it is healthy stays so when it becomes worse', () => {
    const desk = createDesk();
    lookOn(desk, { fromMs: 0, toMs: minute }, oneMachine({ lagMs: 2 * minute }));
    desk.edit('alr_1', { state: 'muted', muteKind: 'person' });
    lookOn(desk, { fromMs: minute, toMs: 2 * minute }, oneMachine({ lagMs: 9 * minute }));
    expect(desk.open()).toMatchObject([{ state: 'muted', muteKind: 'person', severity: 'critical' }]);
  });

  test('what comes and goes more than four times in half an hour is one alert until it is calm', () => {
    const desk = createDesk();
    const comesAndGoes = (nowMs: number) =>
      oneMachine({ lagMs: Math.floor(nowMs / (2 * minute)) % 2 === 0 ? 2 * minute : 1000 })();
    const told = lookOn(desk, { fromMs: 0, toMs: 40 * minute }, comesAndGoes);
    expect(told).toEqual([
      'open lag vm-7 warning',
      'recover lag vm-7',
      'open lag vm-7 warning',
      'recover lag vm-7',
      'open flapping vm-7 warning',
    ]);
    expect(lookOn(desk, { fromMs: 40 * minute, toMs: 70 * minute }, oneMachine({}))).toEqual(['recover flapping vm-7']);
    // Bad when it becomes calm: then it is told as what it is.
    const bad = createDesk();
    lookOn(bad, { fromMs: 0, toMs: 21 * minute }, comesAndGoes);
    expect(lookOn(bad, { fromMs: 21 * minute, toMs: 60 * minute }, oneMachine({ lagMs: 2 * minute })).sort()).toEqual([
      'open lag vm-7 warning',
      'recover flapping vm-7',
    ]);
  });

  test('a machine that is gone has no alert any more', () => {
    const desk = createDesk();
    lookOn(desk, { fromMs: 0, toMs: minute }, oneMachine({ lagMs: 2 * minute }));
    expect(lookOn(desk, { fromMs: minute, toMs: 3 * minute }, () => ({}))).toEqual(['recover lag vm-7']);
  });
});

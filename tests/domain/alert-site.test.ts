import { describe, expect, test } from 'vitest';
import { expiryStep } from '../../domain/alert.ts';
import type { AlertFacts, CredentialFacts } from '../../domain/alert-facts.ts';
import { createDesk, type Desk, lookOn, shortOf } from './alert-desk.ts';
import { alertFacts, hostWithSpool, machineFacts, minute } from './alert-facts.ts';

const second = 1000;
const day = 86_400_000;

/** Looks four times a day; what was told, with the day on which it was. */
function lookOnDays(desk: Desk, credential: Omit<CredentialFacts, 'name'>, toDay: number, fromDay = 0) {
  const before = desk.told.length;
  for (let nowMs = fromDay * day; nowMs < toDay * day + 1; nowMs += day / 4) {
    desk.look(alertFacts({ nowMs, credentials: [{ name: 'The authority', ...credential }] }));
  }
  const told = desk.told.slice(before).filter(({ change }) => change.kind !== 'update');
  return told.map(({ atMs, change }) => [atMs / day, shortOf(change)]);
}

describe('the installation’s own parts', () => {
  const probes = alertFacts().probes;
  test.each<[string, Partial<AlertFacts>, string]>([
    [
      'the vault',
      { probes: { ...probes, vault: { description: '/vault', failure: 'EIO' } } },
      'open vault-unreachable /vault critical',
    ],
    [
      'a process server',
      { probes: { ...probes, processServers: [{ url: 'https://ps-1:9443', failure: 'ECONNREFUSED' }] } },
      'open process-server-silent https://ps-1:9443 critical',
    ],
    [
      'a disk at 80 %',
      { probes: { ...probes, disks: [{ name: 'The vault', usedPercent: 80 }] } },
      'open disk-filling The vault warning',
    ],
    [
      'a disk at 90 %',
      { probes: { ...probes, disks: [{ name: 'The vault', usedPercent: 91 }] } },
      'open disk-filling The vault critical',
    ],
    [
      'a queue that does not shrink',
      { queuedBytes: { now: 70 * 2 ** 20, before: 70 * 2 ** 20 } },
      'open process-server-behind the installation warning',
    ],
    [
      'a drill that is open for more than half of its time',
      { drills: [{ machineName: 'vm-7', vmName: 'vm-7-Test', openMs: 121 * minute, limitMs: 240 * minute }] },
      'open drill-left-open vm-7 warning',
    ],
    [
      'a message that was given up',
      { messages: { dead: [{ place: 'slack C1', count: 1, lastError: 'channel_not_found' }], waiting: [] } },
      'open undeliverable-message slack C1 critical',
    ],
    [
      'a critical message that nobody takes',
      {
        messages: {
          dead: [],
          waiting: [{ surface: 'slack (T1)', count: 3, oldestMs: 90_000, oldestCriticalMs: 61_000 }],
        },
      },
      'open undeliverable-message slack (T1) critical',
    ],
    [
      'an audit trail that does not agree with itself',
      { auditProblem: 'The audit trail was tampered with: entry 7 was changed.' },
      'open audit-tampered the audit trail critical',
    ],
    [
      'a break-glass that nobody reviewed',
      { reviews: [{ approvalId: 'apr_1', machineName: 'vm-7', requestedBy: 'ana', dueAtMs: -1 }] },
      'open review-due apr_1 critical',
    ],
    [
      'a machine that runs twice',
      {
        machines: [machineFacts('vm-7', { protection: 'failed-over', runningAlthoughHeldAtMs: 0, mutedWhy: 'paused' })],
      },
      'open two-copies vm-7 critical',
    ],
  ])('%s', (_what, facts, told) => {
    expect(lookOn(createDesk(), { fromMs: 0, toMs: 2 * minute }, () => facts)).toEqual([told]);
  });

  test.each([
    { spool: 79, fileSystem: 79, told: [] },
    { spool: 80, fileSystem: 10, told: ['open disk-filling hv-1 warning'] },
    { spool: 90, fileSystem: 10, told: ['open disk-filling hv-1 critical'] },
    { spool: 10, fileSystem: 80, told: ['open disk-filling hv-1 warning'] },
    { spool: 80, fileSystem: 90, told: ['open disk-filling hv-1 critical'] },
    { spool: 80, fileSystem: null, told: ['open disk-filling hv-1 warning'] },
  ])('a spool at $spool % on a file system at $fileSystem %: $told', ({ spool, fileSystem, told }) => {
    const desk = createDesk();
    const hosts = [hostWithSpool(spool, fileSystem)];
    expect(lookOn(desk, { fromMs: 0, toMs: minute }, () => ({ hosts }))).toEqual(told);
  });

  test('a spool that fills says what happens when it is full and what to do; its file system says it in its own words', () => {
    const desk = createDesk();
    lookOn(desk, { fromMs: 0, toMs: minute }, () => ({ hosts: [hostWithSpool(81, 40)] }));
    expect(desk.open()).toMatchObject([
      {
        title: 'The spool of hv-1 is filling up',
        text: expect.stringMatching(
          /^81 MiB of changes wait at hv-1, 81 % of the 100 MiB .* compared with the vault in full/,
        ),
        nextStep: expect.stringContaining('`status host:hv-1`'),
        machineNames: ['vm-7'],
      },
    ]);
    lookOn(desk, { fromMs: minute, toMs: 2 * minute }, () => ({ hosts: [hostWithSpool(81, 95)] }));
    expect(desk.open()).toMatchObject([
      {
        title: 'The file system below the spool of hv-1 is filling up',
        text: expect.stringMatching(/^95 % of it is used/),
      },
    ]);
  });

  test('a spool is good again below 78 % for a minute; what a silent host said last changes nothing', () => {
    const desk = createDesk();
    const at = (fromMs: number, looks: number, host: ReturnType<typeof hostWithSpool>) =>
      lookOn(desk, { fromMs, toMs: fromMs + looks * 10 * second }, () => ({ hosts: [host] })).filter((told) =>
        told.includes('disk-filling'),
      );
    expect(at(0, 1, hostWithSpool(95, 10, minute))).toEqual([]);
    expect(at(minute, 1, hostWithSpool(81, 10))).toEqual(['open disk-filling hv-1 warning']);
    expect(at(2 * minute, 6, hostWithSpool(78, 10))).toEqual([]);
    expect(at(4 * minute, 6, hostWithSpool(0, 10, minute))).toEqual([]);
    expect(at(6 * minute, 6, hostWithSpool(0, 10))).toEqual([]);
    expect(at(7 * minute, 1, hostWithSpool(0, 10))).toEqual(['recover disk-filling hv-1']);
  });

  test.each([
    { leftDays: 31, isRenewedByItself: false, level: undefined },
    { leftDays: 29, isRenewedByItself: false, level: 'warning' },
    { leftDays: 0.9, isRenewedByItself: false, level: 'critical' },
    { leftDays: 3, isRenewedByItself: true, level: undefined },
    { leftDays: 1.5, isRenewedByItself: true, level: 'warning' },
    { leftDays: -1, isRenewedByItself: true, level: 'critical' },
  ])(
    'a certificate with $leftDays days left, renewed by itself: $isRenewedByItself',
    ({ leftDays, isRenewedByItself, level }) => {
      const credentials = [{ name: 'The authority', expiresAtMs: leftDays * day, isRenewedByItself }];
      const told = lookOn(createDesk(), { fromMs: 0, toMs: 20 * second }, () => ({ credentials }));
      expect(told).toEqual(level === undefined ? [] : [`open credential-expiring The authority ${level}`]);
    },
  );

  test('a credential is told of at 30 days, again at 7, then daily, and is critical in its last day; a new one ends that', () => {
    const desk = createDesk();
    const told = lookOnDays(desk, { expiresAtMs: 40 * day, isRenewedByItself: false }, 39.5);
    expect(told).toEqual([
      [10, 'open credential-expiring The authority warning'],
      [33, 'remind credential-expiring The authority warning'],
      [39, 'raise credential-expiring The authority critical'],
    ]);
    expect(desk.open()).toMatchObject([{ step: expiryStep.again, title: 'The authority expires in 12 h' }]);
    expect(lookOnDays(desk, { expiresAtMs: 400 * day, isRenewedByItself: false }, 40, 39.5)).toEqual([
      [39.5, 'recover credential-expiring The authority'],
    ]);
  });

  test('what is renewed by itself is told of when that did not happen, with what renews it', () => {
    const desk = createDesk();
    const nextStep = 'Copy `bot/` there.';
    const told = lookOnDays(desk, { expiresAtMs: 7 * day, isRenewedByItself: true, nextStep }, 7);
    expect(told).toEqual([
      [5, 'open credential-expiring The authority warning'],
      [6, 'raise credential-expiring The authority critical'],
    ]);
    expect(desk.open()).toMatchObject([{ nextStep }]);
  });

  test('credentials that were not looked at yet, as after a start, are not taken for renewed', () => {
    const desk = createDesk();
    const credentials = [{ name: 'The authority', expiresAtMs: 20 * day, isRenewedByItself: false }];
    lookOn(desk, { fromMs: 0, toMs: minute }, () => ({ credentials }));
    expect(lookOn(desk, { fromMs: minute, toMs: 2 * minute }, () => ({ credentials: undefined }))).toEqual([]);
    expect(desk.open()).toHaveLength(1);
  });

  test('an audit trail that agrees again, from a backup, ends its alert', () => {
    const desk = createDesk();
    lookOn(desk, { fromMs: 0, toMs: minute }, () => ({ auditProblem: 'Its end was removed.' }));
    expect(desk.open()).toMatchObject([
      { text: expect.stringMatching(/^Its end was removed\. /), nextStep: expect.stringContaining('`audit`') },
    ]);
    expect(lookOn(desk, { fromMs: minute, toMs: 2 * minute }, () => ({}))).toEqual([
      'recover audit-tampered the audit trail',
    ]);
  });

  test('what could not be tried is neither good nor bad: an alert of it stays as it is', () => {
    const desk = createDesk();
    lookOn(desk, { fromMs: 0, toMs: minute }, () => ({
      probes: { ...probes, vault: { description: '/vault', failure: 'EIO' } },
    }));
    expect(
      lookOn(desk, { fromMs: minute, toMs: 5 * minute }, () => ({ probes: { ...probes, vault: undefined } })),
    ).toEqual([]);
    expect(lookOn(desk, { fromMs: 5 * minute, toMs: 6 * minute }, () => ({}))).toEqual([
      'recover vault-unreachable /vault',
    ]);
  });
});

import { type AlertRule, type AlertSeverity, type Condition, expiryStep } from './alert.ts';
import type { AlertFacts, CredentialFacts, HostFacts, SpoolFacts } from './alert-facts.ts';
import { silentHeartbeatsMax } from './replication-health.ts';
import { dayMs, formatBytes, formatDuration, mebibyte, minuteMs } from './units.ts';

export const diskPercents = { warning: 80, critical: 90 } as const;
/** Less than this in the agents' spools is no queue. */
export const queueBytesMin = 64 * mebibyte;
export const queueBytesCritical = 16 * queueBytesMin;
/** A message that nobody took for so long is as good as lost. */
export const waitingMsMax = { critical: minuteMs, other: 5 * minuteMs } as const;
const installation = 'the installation';

type Found = { readonly conditions: readonly Condition[]; readonly lookedAt: readonly AlertRule[] };

/** What is found about the installation's own parts. */
export function siteConditions(facts: AlertFacts): Found {
  const { probes } = facts;
  const lookedAt: AlertRule[] = [
    'process-server-behind',
    'drill-left-open',
    'undeliverable-message',
    'review-due',
    'audit-tampered',
    ...(facts.credentials === undefined ? [] : (['credential-expiring'] as const)),
    ...(probes.vault === undefined ? [] : (['vault-unreachable'] as const)),
    ...(probes.processServers === undefined ? [] : (['process-server-silent'] as const)),
    ...(probes.disks === undefined ? [] : (['disk-filling'] as const)),
  ];
  const conditions = [
    ...behind(facts),
    ...(facts.credentials ?? []).flatMap((credential) => expiring(credential, facts.nowMs)),
    ...drillsLeftOpen(facts),
    ...deadPlaces(facts),
    ...waiting(facts),
    ...reviews(facts),
    ...auditTrail(facts),
    ...vault(facts),
    ...processServers(facts),
    ...disks(facts),
    ...(probes.disks === undefined ? [] : facts.hosts.flatMap((host) => spool(facts, host))),
  ];
  return { conditions, lookedAt };
}

type Words = Pick<Condition, 'rule' | 'scope' | 'level' | 'title' | 'text' | 'nextStep' | 'step'>;

function condition(words: Words, more: Partial<Condition> = {}): Condition {
  return { machineNames: [], ...words, ...more };
}

/** A queue that does not shrink: the process servers take less than the machines write. */
function behind({ queuedBytes }: AlertFacts): Condition[] {
  const { now, before } = queuedBytes;
  if (now < queueBytesMin || now < before) return [];
  return [
    condition({
      rule: 'process-server-behind',
      scope: installation,
      level: now >= queueBytesCritical ? 'critical' : 'warning',
      title: 'The process servers are behind',
      text: `${formatBytes(now)} of changes wait at the hosts, and it does not become less.`,
      nextStep: 'Look at the load and the network of the process servers, and at the vault; add a process server.',
    }),
  ];
}

/**
 * So many days before, people are told: first, once more, and as of something critical. What renews itself lives a week, and is news only
 * when it was not renewed. Source: RELIABILITY 1
 */
const expiryDays = {
  byHand: { first: 30, again: 7, critical: 1 },
  byItself: { first: 2, again: 2, critical: 1 },
} as const;

function expiring(credential: CredentialFacts, nowMs: number): Condition[] {
  const leftMs = credential.expiresAtMs - nowMs;
  const days = expiryDays[credential.isRenewedByItself ? 'byItself' : 'byHand'];
  if (leftMs > days.first * dayMs) return [];
  const level: AlertSeverity = leftMs <= days.critical * dayMs ? 'critical' : 'warning';
  const when = leftMs <= 0 ? 'has expired' : `expires in ${formatDuration(daysCeiling(leftMs))}`;
  return [
    condition({
      rule: 'credential-expiring',
      scope: credential.name,
      level,
      title: `${credential.name} ${when}`,
      text: credential.isRenewedByItself
        ? 'It should have been renewed days ago. Nothing connects with it after that.'
        : 'Nothing connects with it after that.',
      nextStep:
        credential.nextStep ??
        (credential.isRenewedByItself
          ? 'See whether its program runs, reaches the engine, and what its log says of renewal.'
          : 'Renew it; docs/operations says how.'),
      step: leftMs <= days.again * dayMs ? expiryStep.again : expiryStep.first,
    }),
  ];
}

/** Whole days while there are several, so that the words change once a day. */
function daysCeiling(ms: number): number {
  return ms > 2 * dayMs ? Math.ceil(ms / dayMs) * dayMs : ms;
}

function drillsLeftOpen(facts: AlertFacts): Condition[] {
  return facts.drills
    .filter(({ openMs, limitMs }) => openMs > limitMs / 2)
    .map(({ machineName, vmName, openMs, limitMs }) =>
      condition(
        {
          rule: 'drill-left-open',
          scope: machineName,
          level: 'warning',
          title: `The test failover of ${machineName} is still open`,
          text: `${vmName} has been running for ${formatDuration(openMs)}; it is removed by itself after ${formatDuration(limitMs)}.`,
          nextStep: `\`cleanup ${machineName}\` ends it.`,
        },
        { machineNames: [machineName] },
      ),
    );
}

function deadPlaces({ messages }: AlertFacts): Condition[] {
  return messages.dead.map(({ place, count, lastError }) =>
    condition({
      rule: 'undeliverable-message',
      scope: place,
      level: 'critical',
      title: `Messages to ${place} cannot be delivered`,
      text: `${count} message${count === 1 ? ' was' : 's were'} given up: ${lastError}`,
      nextStep: 'See that the place exists and the app is a member of it, then `subscribe` it again.',
    }),
  );
}

function waiting({ messages }: AlertFacts): Condition[] {
  return messages.waiting.flatMap(({ surface, count, oldestMs, oldestCriticalMs }) => {
    const isCritical = oldestCriticalMs > waitingMsMax.critical;
    if (!isCritical && oldestMs <= waitingMsMax.other) return [];
    return [
      condition({
        rule: 'undeliverable-message',
        scope: surface,
        level: isCritical ? 'critical' : 'warning',
        title: `${surface} takes no messages`,
        text: `${count} message${count === 1 ? ' waits' : 's wait'}, the oldest for ${formatDuration(Math.max(oldestMs, oldestCriticalMs))}.`,
        nextStep: 'See whether `lifeboat bot` runs and what it says; `dr` shows the same without chat.',
      }),
    ];
  });
}

function reviews(facts: AlertFacts): Condition[] {
  return facts.reviews.map(({ approvalId, machineName, requestedBy, dueAtMs }) =>
    condition(
      {
        rule: 'review-due',
        scope: approvalId,
        level: 'critical',
        title: `The break-glass of ${machineName} was not reviewed`,
        text: `${requestedBy} acted alone, and the review by another person is overdue for ${formatDuration(facts.nowMs - dueAtMs)}.`,
        nextStep: `Another approver looks at it: \`review ${approvalId} --note …\`.`,
      },
      { machineNames: [machineName] },
    ),
  );
}

function auditTrail({ auditProblem }: AlertFacts): Condition[] {
  if (auditProblem === undefined) return [];
  return [
    condition({
      rule: 'audit-tampered',
      scope: 'the audit trail',
      level: 'critical',
      title: 'The audit trail cannot be trusted',
      text: `${auditProblem} What it says of who did what is no proof until this is explained.`,
      nextStep:
        'Change nothing in the database. `audit` shows what is left; compare it with a backup of the database, and find out who could write to it.',
    }),
  ];
}

function vault({ probes, machines }: AlertFacts): Condition[] {
  if (probes.vault === undefined) return [];
  const { description, failure } = probes.vault;
  return [
    condition(
      {
        rule: 'vault-unreachable',
        scope: description,
        level: failure === undefined ? 'clear' : 'critical',
        title: 'The vault cannot be read',
        text: `${description}: ${failure ?? 'it answers'}. No recovery point becomes available, and none can be started from.`,
        nextStep:
          'Look at its storage and network. In Azure, see also that the secret of the application has not expired: that cannot be seen from here.',
      },
      { machineNames: machines.filter((machine) => machine.protection === 'protected').map((machine) => machine.name) },
    ),
  ];
}

function processServers({ probes, machines }: AlertFacts): Condition[] {
  return (probes.processServers ?? []).map(({ url, failure }) =>
    condition(
      {
        rule: 'process-server-silent',
        scope: url,
        level: failure === undefined ? 'clear' : 'critical',
        title: `The process server ${url} does not answer`,
        text: `${failure ?? 'It answers'}. Changes wait at the hosts until it, or another one, takes them.`,
        nextStep: 'Start it again: `lifeboat process-server`; its log says why it ended.',
      },
      { machineNames: machines.filter((machine) => machine.processServer === url).map((machine) => machine.name) },
    ),
  );
}

function disks({ probes }: AlertFacts): Condition[] {
  return (probes.disks ?? []).map(({ name, usedPercent }) =>
    condition({
      rule: 'disk-filling',
      scope: name,
      level: diskLevel(usedPercent),
      title: `${name} is filling up`,
      text: `${Math.floor(usedPercent)} % of its file system is used.`,
      nextStep:
        'Make room or a larger file system before it is full; shorter retention of recovery points helps later.',
    }),
  );
}

/**
 * What a host has for changes that wait, by its own bound or by the file system below it: whichever is fuller. What a silent host said
 * last neither opens an alert nor ends one.
 */
function spool(facts: AlertFacts, host: HostFacts): Condition[] {
  if (host.spool === undefined) return [];
  const { name, silentMs, machineNames } = host;
  const usedPercent = { bound: boundPercent(host.spool), fileSystem: fileSystemPercent(host.spool) };
  const isHeard = silentMs <= silentHeartbeatsMax * facts.heartbeatEveryMs;
  const isSpool = usedPercent.bound >= usedPercent.fileSystem;
  const words = isSpool ? spoolWords(name, host.spool) : fileSystemWords(name, host.spool);
  const level = isHeard ? diskLevel(Math.max(usedPercent.bound, usedPercent.fileSystem)) : 'neutral';
  return [condition({ rule: 'disk-filling', scope: name, level, ...words }, { host: name, machineNames })];
}

function boundPercent({ usedBytes, bytesMax }: SpoolFacts): number {
  return bytesMax === 0 ? 0 : (100 * usedBytes) / bytesMax;
}

function fileSystemPercent({ fileSystem }: SpoolFacts): number {
  if (fileSystem === null) return 0;
  const { usedBytes, freeBytes } = fileSystem;
  return usedBytes + freeBytes === 0 ? 0 : (100 * usedBytes) / (usedBytes + freeBytes);
}

const whenFull =
  'A machine whose changes find no room there runs on, but what waits of it is dropped and it is compared with the vault in full: ' +
  'it has no new recovery point until that is done. Older points stay good.';

function spoolWords(hostName: string, spool: SpoolFacts): Pick<Condition, 'title' | 'text' | 'nextStep'> {
  const { usedBytes, bytesMax } = spool;
  const percent = Math.floor(boundPercent(spool));
  return {
    title: `The spool of ${hostName} is filling up`,
    text: `${formatBytes(usedBytes)} of changes wait at ${hostName}, ${percent} % of the ${formatBytes(bytesMax)} that they may take. ${whenFull}`,
    nextStep: `See why changes wait: \`status host:${hostName}\`, the process servers, and the network to them. With room on its file system, raise \`spoolBytesMax\` in the agent's configuration and restart the agent.`,
  };
}

function fileSystemWords(hostName: string, spool: SpoolFacts): Pick<Condition, 'title' | 'text' | 'nextStep'> {
  const percent = Math.floor(fileSystemPercent(spool));
  const freeText = formatBytes(spool.fileSystem?.freeBytes ?? 0);
  return {
    title: `The file system below the spool of ${hostName} is filling up`,
    text: `${percent} % of it is used, ${freeText} is free. ${whenFull}`,
    nextStep: `Make room on the file system of the agent's state folder at ${hostName}, or make it larger.`,
  };
}

function diskLevel(usedPercent: number): Condition['level'] {
  if (usedPercent >= diskPercents.critical) return 'critical';
  if (usedPercent >= diskPercents.warning) return 'warning';
  return usedPercent < diskPercents.warning - 2 ? 'clear' : 'neutral';
}

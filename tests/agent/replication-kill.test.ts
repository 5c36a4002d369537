import { spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { AgentIdentity } from '../../agent/identity.ts';
import { type CaptureBoundary, captureBoundaries } from '../../agent/machine-context.ts';
import type { AnnouncePointRequest, Assignment } from '../../protocol/agent-api.ts';
import { createSite, grantFor, type Site } from '../engine/process-server/replication-site.ts';
import { eventually, newFolder, startAgent } from './replication-agent.ts';
import {
  announceInto,
  type ChildOrder,
  noting,
  pointsFile,
  sha256Text,
  sourceFolder,
  viewsFile,
} from './replication-child.ts';
import { createSimulatedSource, openSimulatedSource, type SourceOptions } from './simulated-source.ts';

const block = 65_536;
const sizes = [24 * block, 5 * block + 512];
let site: Site;
let agent: AgentIdentity;
let url: string;
beforeAll(async () => {
  site = await createSite();
  agent = await site.newAgent();
  url = (await site.startProcessServer()).url;
});
afterAll(() => site.close());

function newMachine(options: SourceOptions): { stateFolder: string; assignment: Assignment } {
  const stateFolder = newFolder(site.folder, 'killed');
  const keys = sizes.map((sizeBytes, index) => ({ key: `disk${index}`, sizeBytes }));
  const source = createSimulatedSource(sourceFolder(stateFolder), keys, options);
  for (const { key } of keys) source.write(key, 2 * block, randomBytes(3 * block));
  const disks = keys.map((disk) => ({ ...disk, diskId: site.newDiskId() }));
  const machineId = site.newMachineId();
  const assignment: Assignment = {
    machineId,
    name: 'vm-7',
    epoch: 1,
    crashConsistentEveryMs: 20,
    paused: false,
    disks,
    grant: grantFor(site, { agentId: agent.agentId, machineId, disks }),
    requests: [],
    isHeld: false,
  };
  return { stateFolder, assignment };
}

/** Runs a child until it kills itself. */
async function killedChild(order: ChildOrder): Promise<void> {
  const script = join(import.meta.dirname, 'replication-child.ts');
  const child = spawn(process.execPath, [script, 'run', JSON.stringify(order)], {
    stdio: ['ignore', 'inherit', 'pipe'],
  });
  let errors = '';
  child.stderr.on('data', (chunk) => {
    errors += chunk;
  });
  const limit = setTimeout(() => child.kill('SIGTERM'), 60_000);
  const signal = await new Promise((resolve) => child.once('exit', (_code, name) => resolve(name)));
  clearTimeout(limit);
  if (signal !== 'SIGKILL') throw new Error(`the agent never came to ${order.killAt}: ${errors}`);
}

const linesOf = <T>(file: string): T[] =>
  existsSync(file)
    ? readFileSync(file, 'utf8')
        .split('\n')
        .filter((line) => line !== '')
        .map((line) => JSON.parse(line))
    : [];

type Finding = { takenAtMs: number; isExact: boolean };

/** Starts the agent again over what the killed one left, and compares every point with the view that was captured for it. */
async function resumeAndCompare(machine: ReturnType<typeof newMachine>, options: SourceOptions): Promise<Finding[]> {
  const { stateFolder } = machine;
  const source = openSimulatedSource(sourceFolder(stateFolder), options);
  const requests = [{ kind: 'bookmark' as const, requestId: 'req_000000000Z', reason: 'at the end' }];
  const assignment = { ...machine.assignment, crashConsistentEveryMs: 3_600_000, requests };
  const resumed = await startAgent({
    stateFolder,
    assignment,
    tracker: noting(source.tracker(), stateFolder),
    identity: agent,
    processServers: [url],
    announce: announceInto(stateFolder),
  });
  try {
    const last = await eventually(() => pointsOf(stateFolder).find((point) => point.requestId === 'req_000000000Z'));
    const findings: Finding[] = [];
    for (const point of pointsOf(stateFolder)) findings.push(await compare(stateFolder, point));
    const digests = await digestsOf(last);
    const now = [source.image('disk0'), source.image('disk1')].map(sha256Text);
    findings.push({ takenAtMs: last.takenAtMs, isExact: digests.join() === now.join() });
    return findings;
  } finally {
    await resumed.stop();
  }
}

const pointsOf = (stateFolder: string) => linesOf<AnnouncePointRequest>(pointsFile(stateFolder));

async function compare(stateFolder: string, point: AnnouncePointRequest): Promise<Finding> {
  const views = linesOf<{ takenAtMs: number; digests: string[] }>(viewsFile(stateFolder));
  const digests = (await digestsOf(point)).join();
  const isExact = views.some((view) => view.takenAtMs === point.takenAtMs && view.digests.join() === digests);
  return { takenAtMs: point.takenAtMs, isExact };
}

/** SHA-256 of each disk at the point, read from the vault. */
async function digestsOf(point: AnnouncePointRequest): Promise<string[]> {
  const digests: string[] = [];
  for (const [index, { diskId, position }] of point.disks.entries()) {
    const reader = await site.vault.openDisk(diskId, position);
    digests.push(sha256Text(await reader.read(0, sizes[index] ?? 0)));
    await reader.close();
  }
  return digests;
}

const cases = captureBoundaries.flatMap((killAt, index) =>
  [1, 2].map((occurrence): [CaptureBoundary, number, boolean] => [killAt, occurrence, (index + occurrence) % 2 === 0]),
);

describe('an agent that is killed goes on where it was, and every point is bit-exact', () => {
  test.each(cases)(
    'at "%s", the %i. time (tracker forgets: %s)',
    { timeout: 60_000 },
    async (killAt, occurrence, forgets) => {
      const machine = newMachine({ forgets });
      const order = { ...machine, identity: agent, processServers: [url], source: { forgets } };
      await killedChild({ ...order, killAt, occurrence });
      const findings = await resumeAndCompare(machine, { forgets });
      expect(findings.every((finding) => finding.isExact)).toBe(true);
      // Captured once, made a point once: announcing again after a kill must be the same capture.
      const points = pointsOf(machine.stateFolder);
      const times = new Map(points.map((point) => [point.captureId, point.takenAtMs]));
      expect(new Set(times.values()).size).toBe(times.size);
    },
  );

  test('and this comparison sees a tracker that moves on before the changes are durable', async () => {
    const options = { isCareless: true };
    const machine = newMachine(options);
    const order = { ...machine, identity: agent, processServers: [url], source: options };
    await killedChild({ ...order, killAt: 'captured', occurrence: 4 });
    const findings = await resumeAndCompare(machine, options);
    expect(findings.some((finding) => !finding.isExact)).toBe(true);
  });
});

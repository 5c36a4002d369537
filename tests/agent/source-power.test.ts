import { randomUUID } from 'node:crypto';
import { mkdtemp, rm } from 'node:fs/promises';
import net from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import type { AgentIdentity } from '../../agent/identity.ts';
import { readJournal } from '../../agent/journal.ts';
import { machineFolder } from '../../agent/machine-replication.ts';
import type { ChangeTracker, PowerControl, ShutdownOutcome } from '../../agent/tracker/change-tracker.ts';
import { askGuestAgent } from '../../agent/tracker/guest-agent.ts';
import type { AnnouncePointRequest, Assignment } from '../../protocol/agent-api.ts';
import { createSite, grantFor, type Site } from '../engine/process-server/replication-site.ts';
import { eventually, newFolder, type RunningAgent, startAgent } from './replication-agent.ts';
import { createSimulatedSource } from './simulated-source.ts';

let site: Site;
let identity: AgentIdentity;
let url: string;
const running: RunningAgent[] = [];

beforeAll(async () => {
  site = await createSite();
  identity = await site.newAgent();
  url = (await site.startProcessServer()).url;
});
afterEach(async () => {
  for (const one of running.splice(0)) await one.stop();
});
afterAll(() => site?.close());

const stop = { kind: 'shutdown', requestId: 'req_000000000A', limitMs: 1000 } as const;
const start = { kind: 'power-on', requestId: 'req_000000000B' } as const;

/** A source with a power switch; it writes once more while it is switched off, as an operating system does. */
async function world() {
  const folder = newFolder(site.folder, 'power');
  const sizes = [4 * 65_536, 65_536];
  const keys = sizes.map((sizeBytes, index) => ({ key: `disk${index}`, sizeBytes }));
  const source = createSimulatedSource(join(folder, 'source'), keys);
  const machineId = site.newMachineId();
  const disks = keys.map((disk) => ({ ...disk, diskId: site.newDiskId() }));
  const points: AnnouncePointRequest[] = [];
  const switchOn = { isOn: true, startCount: 0, holdCount: 0, manner: 'obeys' as 'obeys' | 'ignores' | 'writes on' };
  /** The next call of this name has its effect and is then the agent's last. */
  let dieIn: string | undefined;
  const died = (name: string) => {
    if (dieIn === name) throw new Error(`the agent dies in ${name}`);
  };
  const power: PowerControl = {
    isRunning: async () => switchOn.isOn,
    async shutDown(): Promise<ShutdownOutcome> {
      if (switchOn.manner === 'ignores') return { kind: 'not-stopped', message: 'it did not', isRunning: true };
      if (switchOn.isOn) source.write('disk0', 70_000, Buffer.from(`last words ${randomUUID()}`));
      switchOn.isOn = false;
      died('shutDown');
      return { kind: 'stopped', how: 'by the button' };
    },
    async start() {
      if (!switchOn.isOn) switchOn.startCount += 1;
      switchOn.isOn = true;
      died('start');
    },
    async hold() {
      switchOn.isOn = false;
      switchOn.holdCount += 1;
    },
  };
  const plain = source.tracker();
  let looks = 0;
  const tracker: ChangeTracker = {
    ...plain,
    power,
    async capture(generation) {
      looks += switchOn.isOn ? 0 : 1;
      died(`look ${looks}`);
      const capture = await plain.capture(generation);
      const acknowledge = async () => {
        await capture.acknowledge();
        if (!switchOn.isOn && switchOn.manner === 'writes on') source.write('disk1', 0, Buffer.from('still here'));
        died(`acknowledged ${looks}`);
      };
      return { ...capture, acknowledge };
    },
  };
  const assignment = (more: Partial<Assignment> = {}): Assignment => ({
    ...{ machineId, name: 'vm-7', epoch: 1, crashConsistentEveryMs: 3_600_000, paused: false, disks, isHeld: false },
    grant: grantFor(site, { agentId: identity.agentId, machineId, disks }),
    requests: [],
    ...more,
  });
  const agent = async (first: Assignment = assignment(), trackerNow = tracker) => {
    const announce = async (point: AnnouncePointRequest) => {
      points.push(point);
      return 'announced' as const;
    };
    const order = { stateFolder: folder, tracker: trackerNow, identity, processServers: [url], announce };
    const one = await startAgent({ ...order, assignment: first });
    running.push(one);
    return one;
  };
  return {
    ...{ source, points, switchOn, assignment, agent, plain },
    dieIn: (name: string | undefined) => {
      dieIn = name;
    },
    journal: () => readJournal(machineFolder(folder, machineId)),
  };
}
type World = Awaited<ReturnType<typeof world>>;

/** The agent says that it stopped the source, and where it left the disks. */
const proven = (one: RunningAgent) =>
  eventually(() => {
    const outcome = one.powerResult()?.outcome;
    return outcome?.kind === 'stopped' && outcome.disks.length > 0 ? outcome : undefined;
  });

async function expectLastPoint(w: World, outcome: Awaited<ReturnType<typeof proven>>): Promise<void> {
  const last = w.points.find((point) => point.captureId === outcome.captureId);
  expect(last).toMatchObject({ requestId: stop.requestId, disks: outcome.disks });
  expect(w.points.at(-1)).toBe(last);
  const vault = await site.openVaultAgain();
  for (const [index, { diskId, position }] of outcome.disks.entries()) {
    const image = w.source.image(`disk${index}`);
    const isEmpty = position.sequence === 0;
    const reader = isEmpty ? undefined : await vault.openDisk(diskId, position);
    const stored = await reader?.read(0, image.length);
    expect((stored ?? Buffer.alloc(image.length)).equals(image)).toBe(true);
    await reader?.close();
  }
  await vault.close();
}

describe('an agent that is asked to stop its source', () => {
  it('captures what it wrote last, looks once more, says where it left the disks, and captures no more', async () => {
    const w = await world();
    const one = await w.agent();
    await eventually(() => w.points.length === 1);
    one.update(w.assignment({ requests: [stop] }));
    await expectLastPoint(w, await proven(one));
    one.update(w.assignment({ crashConsistentEveryMs: 1000, requests: [] }));
    one.update(w.assignment({ crashConsistentEveryMs: 1000, requests: [] }));
    expect(w.points).toHaveLength(2);
    // Somebody starts the source by hand before the engine has said what becomes of it.
    w.switchOn.isOn = true;
    one.update(w.assignment({ crashConsistentEveryMs: 1000 }));
    await eventually(() => w.points.length > 2);
  });

  const deaths = ['shutDown', 'look 1', 'acknowledged 1', 'look 2'];
  it.each(deaths)('and dies in %s is followed by one that goes on from there', async (place) => {
    const w = await world();
    const one = await w.agent();
    await eventually(() => w.points.length === 1);
    w.dieIn(place);
    one.update(w.assignment({ requests: [stop] }));
    await eventually(() => one.warnings.length > 0);
    await one.stop();
    w.dieIn(undefined);
    const next = await w.agent(w.assignment({ requests: [stop] }));
    await expectLastPoint(w, await proven(next));
    expect(w.switchOn).toMatchObject({ isOn: false, startCount: 0 });
  });

  it('leaves it running when it does not stop, and starts it again when it stops too late', async () => {
    const w = await world();
    const one = await w.agent();
    await eventually(() => w.points.length === 1);
    w.switchOn.manner = 'ignores';
    one.update(w.assignment({ requests: [stop] }));
    await eventually(() => one.powerResult()?.outcome.kind === 'failed');
    expect(one.powerResult()?.outcome).toEqual({ kind: 'failed', message: 'it did not', isRunning: true });
    w.switchOn.isOn = false;
    one.update(w.assignment());
    await eventually(() => w.switchOn.startCount === 1);
    one.update(w.assignment());
    await eventually(async () => (await w.journal())?.power === null);
  });

  it('starts it again when something was written after it had stopped', async () => {
    const w = await world();
    const one = await w.agent();
    await eventually(() => w.points.length === 1);
    w.switchOn.manner = 'writes on';
    one.update(w.assignment({ requests: [stop] }));
    await eventually(() => one.powerResult()?.outcome.kind === 'failed');
    const words = '65536 bytes of its disks changed after it had switched itself off';
    expect(one.powerResult()?.outcome).toEqual({ kind: 'failed', message: words, isRunning: true });
    expect(w.switchOn).toMatchObject({ isOn: true, startCount: 1 });
  });

  it('starts it again when the request is taken back, and when it is asked to', async () => {
    const w = await world();
    const one = await w.agent();
    await eventually(() => w.points.length === 1);
    w.dieIn('look 1');
    one.update(w.assignment({ requests: [stop] }));
    await eventually(() => one.warnings.length > 0);
    one.update(w.assignment());
    await eventually(() => w.switchOn.startCount === 1);
    w.dieIn(undefined);

    one.update(w.assignment({ requests: [{ ...stop, requestId: 'req_000000000C' }] }));
    await proven(one);
    w.dieIn('start');
    one.update(w.assignment({ requests: [start] }));
    await eventually(() => w.switchOn.startCount === 2);
    await one.stop();
    w.dieIn(undefined);
    const next = await w.agent(w.assignment({ requests: [start] }));
    await eventually(() => next.powerResult()?.outcome.kind === 'running');
    expect(w.switchOn).toMatchObject({ isOn: true, startCount: 2 });
  });

  it('says at once that plain image files have no power switch', async () => {
    const w = await world();
    const one = await w.agent(w.assignment({ requests: [stop] }), w.plain);
    await eventually(() => one.powerResult()?.outcome.kind === 'failed');
    expect(one.powerResult()?.outcome).toMatchObject({ message: expect.stringContaining('plain disk images') });
  });
});

describe('a source that is held', () => {
  it('is stopped whenever it runs, is not replicated, and is told of until somebody has answered', async () => {
    const w = await world();
    const one = await w.agent(w.assignment({ isHeld: true, epoch: 2 }));
    await eventually(() => w.switchOn.holdCount === 1);
    expect(w.switchOn.isOn).toBe(false);
    expect(one.wasRunningAlthoughHeld()).toBe(true);
    expect(one.wasRunningAlthoughHeld()).toBe(true);
    one.update(w.assignment({ isHeld: true, epoch: 2 }));
    expect(one.wasRunningAlthoughHeld()).toBe(false);
    w.switchOn.isOn = true;
    one.update(w.assignment({ isHeld: true, epoch: 2 }));
    await eventually(() => w.switchOn.holdCount === 2);
    expect(w.points).toEqual([]);
    w.switchOn.isOn = true;
    one.update(w.assignment({ epoch: 3 }));
    await eventually(() => w.points.length === 1);
  });
});

describe('the agent inside the guest', () => {
  /** What qemu-ga says and does, as far as it matters here. */
  async function guestAgent(answers: (command: string, id: unknown) => string | undefined) {
    const folder = await mkdtemp(join(tmpdir(), 'qga-'));
    const heard: string[] = [];
    const server = net.createServer((socket) => {
      socket.on('data', (chunk) => {
        const { execute, arguments: given } = JSON.parse(chunk.toString());
        heard.push(execute);
        const answer = answers(execute, given?.id);
        if (answer !== undefined) socket.write(`${answer}\n`);
      });
    });
    const path = join(folder, 'vm-7.qga');
    await new Promise<void>((resolve) => server.listen(path, resolve));
    const close = async () => {
      server.close();
      await rm(folder, { recursive: true });
    };
    return { path, heard, close };
  }

  it('is asked first; without an answer, or without an agent, the power button is what is left', async () => {
    const there = await guestAgent((command, id) => (command === 'guest-sync' ? `{"return": ${id}}` : undefined));
    expect(await askGuestAgent(there.path)).toBe('asked');
    expect(there.heard).toEqual(['guest-sync', 'guest-shutdown']);
    await there.close();
    const refusing = await guestAgent((command, id) =>
      command === 'guest-sync' ? `{"return": ${id}}` : '{"error": {"class": "CommandNotFound", "desc": "disabled"}}',
    );
    expect(await askGuestAgent(refusing.path)).toBe('none');
    await refusing.close();
    expect(await askGuestAgent('/nowhere/vm-7.qga')).toBe('none');
  });
});

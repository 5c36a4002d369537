import { readFile } from 'node:fs/promises';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { parseGuestMarker } from '../../../demo/guest/qemu-guest.ts';
import { placeOf } from '../../../engine/target/drill-folder.ts';
import { findProcesses } from '../../../engine/target/process-search.ts';
import { type DrillPlan, machineProcessName } from '../../../engine/target/target.ts';
import { connectQmp } from '../../../protocol/qmp.ts';
import { type DrillFixture, drillFixture, startDrill, until } from './drill-fixture.ts';

let fixture: DrillFixture;
let plan: DrillPlan;

beforeEach(async () => {
  fixture = await drillFixture();
  plan = { ...fixture.plan, purpose: 'failover' };
});
afterEach(async () => {
  await fixture.target.removeDrill(plan);
  await fixture.dispose();
});

const paths = () => placeOf(fixture.stateFolder, plan);
const markers = async () =>
  (await readFile(paths().serialLog, 'latin1')).split('LIFEBOAT-READY').map(parseGuestMarker).filter(Boolean);
const fill = () => until('its disks are its own', async () => (await fixture.target.fillDisks(plan)) === 'local');

async function killMachine(): Promise<void> {
  for (const { pid } of await findProcesses(['-name', machineProcessName(plan)])) process.kill(pid, 'SIGKILL');
  await until('it is dead', async () => (await fixture.target.drillState(plan)).machine.kind === 'dead');
}

async function counter(): Promise<number> {
  const qmp = await connectQmp(paths().qmpSocket, { timeoutMs: 10_000 });
  const line = await qmp.execute('human-monitor-command', { 'command-line': 'xp /1wx 0x600' });
  qmp.close();
  return Number.parseInt(String(line).split(':')[1]?.trim() ?? '', 16);
}

describe('a failed-over machine', () => {
  it('fills its disks while it runs, and then lives without the vault, also when it is started again', async () => {
    await startDrill(fixture.target, plan);
    expect(await fixture.target.verifyBoot(plan, { limitMs: 60_000 })).toMatchObject({ verified: true });
    await fill();
    expect(await fixture.target.drillState(plan)).toMatchObject({
      diskServer: { kind: 'dead' },
      machine: { kind: 'running' },
    });
    const before = await counter();
    await until('it goes on writing', async () => (await counter()) > before + 2);
    await killMachine();
    expect(await fixture.target.fillDisks(plan)).toBe('local');
    await until('it says what it found', async () => (await markers()).length === 2);
    const [, second] = await markers();
    expect(second?.agree).toBe(true);
    expect(second?.disk0).toBeGreaterThan(before);
    expect((await fixture.target.drillState(plan)).diskServer.kind).toBe('dead');
  });

  it('is started again with its disk server when both die before its disks are full', async () => {
    await startDrill(fixture.target, plan);
    await fixture.target.verifyBoot(plan, { limitMs: 60_000 });
    await fixture.target.stopDiskServer(plan);
    await killMachine();
    await fixture.target.fillDisks(plan);
    await until('it says what it found', async () => (await markers()).length === 2);
    await fill();
    expect((await fixture.target.drillState(plan)).diskServer.kind).toBe('dead');
  });

  it('lies apart from the drills, under a name of its own', async () => {
    await fixture.target.prepareDrill(plan);
    expect(await fixture.target.drillsPresent()).toEqual([]);
    expect(machineProcessName(plan)).toBe(`lifeboat-failover-${plan.drillId}`);
  });
});

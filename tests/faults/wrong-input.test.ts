import { cpSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { createChangeSender } from '../../agent/change-sender.ts';
import { rememberProcess } from '../../demo/running-process.ts';
import { idFromBytes } from '../../domain/ids.ts';
import { describeCauses } from '../../domain/outage.ts';
import { makeEnrolmentToken } from '../../engine/administration-main.ts';
import { createCertificateAuthority } from '../../engine/certificate-authority.ts';
import { openStore } from '../../engine/store/open.ts';
import { expectClear, insidesIn, run, startProgram } from './child-program.ts';
import { availablePoints, eventually, type FaultSite, machineOf, protect, startFaultSite } from './demo-site.ts';
import { brokenPostgres, spooledLogs, storedSegments } from './site-faults.ts';
import { canMount, mountSmallVault, type SmallVault } from './small-vault.ts';

let folder: string;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'lifeboat-wrong-'));
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

function writeJson(name: string, content: unknown): string {
  const file = join(folder, name);
  writeFileSync(file, typeof content === 'string' ? content : JSON.stringify(content));
  return file;
}

test('the check for clear words sees a stack trace, and a program that fails without a word', () => {
  const trace = 'Error: x\n    at open (/work/engine/main.ts:12:3)\n    at node:internal/process:1:1';
  expect(insidesIn(trace)).toHaveLength(2);
  expect(insidesIn('the port undefined is taken')).toHaveLength(1);
  expect(() => expectClear({ exitCode: 1, text: '' }, 1, [/the configuration/])).toThrow();
  expect(() => expectClear({ exitCode: 0, text: 'the configuration' }, 1, [/the configuration/])).toThrow();
});

describe('a wrong configuration', () => {
  const good = {
    engine: {
      stateFolder: '/nowhere/state',
      name: 'engine-1',
      listen: { port: 8443 },
      url: 'https://127.0.0.1:8443',
      databaseUrl: 'postgresql://nowhere',
      vault: { kind: 'directory', folder: '/nowhere/vault' },
      processServers: [],
    },
    'process-server': {
      vault: { kind: 'directory', folder: '/nowhere/vault' },
      keysFolder: '/nowhere/keys',
      tls: { certificateFile: '/nowhere/a', privateKeyFile: '/nowhere/b', certificateAuthorityFile: '/nowhere/c' },
      grantPublicKeyFile: '/nowhere/d',
    },
    agent: { stateFolder: '/nowhere/agent', engineUrl: 'https://127.0.0.1:8443' },
  };
  const wrongType = {
    engine: [{ ...good.engine, listen: { port: '8443' } }, /listen\.port: .*expected number/],
    'process-server': [{ ...good['process-server'], keysFolder: 7 }, /keysFolder: .*expected string/],
    agent: [{ ...good.agent, spoolBytesMax: 'much' }, /spoolBytesMax: .*expected number/],
  } as const;

  test.each(['engine', 'process-server', 'agent'] as const)(
    'of %s is said with its place and what to do',
    async (role) => {
      const [wrong, itsWords] = wrongType[role];
      const cases: readonly (readonly [file: string, words: readonly RegExp[]])[] = [
        [
          writeJson(`${role}-text.json`, 'port = 8443'),
          [/the configuration .*-text\.json is not JSON/, /Correct it and start again/],
        ],
        [
          writeJson(`${role}-field.json`, { ...good[role], portNumber: 1 }),
          [/the configuration .*-field\.json is wrong: .*"portNumber"/, /Correct these fields and start again/],
        ],
        [
          writeJson(`${role}-type.json`, wrong),
          [/the configuration .*-type\.json is wrong/, itsWords, /Correct these fields/],
        ],
        [
          join(folder, 'nothing-here.json'),
          [/read the configuration .*nothing-here\.json/, /Check the path after --config/],
        ],
      ];
      for (const [file, words] of cases) expectClear(await run('lifeboat', [role, '--config', file]), 1, words);
    },
  );

  test('a corrupt file of a person is said with its name and how to get a new one', async () => {
    mkdirSync(join(folder, 'people'), { recursive: true });
    for (const text of ['{"engineUrl":', '{"engineUrl":"ftp://x","name":"admin"}']) {
      writeFileSync(join(folder, 'people', 'admin.json'), text);
      const ended = await run('dr', ['status'], { environment: { LIFEBOAT_STATE: folder } });
      expectClear(ended, 3, [/reading who you are from .*people\/admin\.json/, /Next: start the engine again/]);
    }
    const nobody = await run('dr', ['status'], { environment: { LIFEBOAT_STATE: join(folder, 'empty') } });
    expectClear(nobody, 3, [/No engine found \(looked in .*empty\/people\)/, /npm start/]);
  });

  test('`npm start` beside a running one says which process it is and what to do', async () => {
    const state = join(folder, 'twice');
    mkdirSync(join(state, 'processes'), { recursive: true });
    const mark = join(state, 'processes', 'demo.process.json');
    rememberProcess(mark, process.pid);
    const before = readFileSync(mark, 'utf8');
    const ended = await run('lifeboat', ['demo', '--once', '--state', state]);
    expectClear(ended, 1, [`already runs from ${state} (process ${process.pid})`, /Stop that one with Ctrl-C/]);
    expect(readFileSync(mark, 'utf8')).toBe(before);
  });
});

describe('a running site', () => {
  let small: SmallVault | undefined;
  let faults: FaultSite;
  let environment: Record<string, string>;
  const dr = (line: string, state = environment) => run('dr', line.split(' '), { environment: state });

  beforeAll(async () => {
    if (canMount) small = mountSmallVault(768);
    faults = await startFaultSite((layout) => {
      if (small !== undefined) symlinkSync(small.folder, layout.vault);
    });
    environment = { LIFEBOAT_STATE: faults.layout.state };
    await protect(faults.site, 'vm-7');
  }, 240_000);
  afterAll(async () => {
    await faults?.stop();
    small?.remove();
  }, 60_000);

  /** A configuration of the running site with something else in it. */
  function configuration(role: 'engine' | 'process-server', change: object): string {
    const { engineConfig, processServerConfig } = faults.layout;
    const text = readFileSync(role === 'engine' ? engineConfig : processServerConfig, 'utf8');
    // The site's own program has the port of the metrics already, and this is about other mistakes.
    const copied = { ...JSON.parse(text), metrics: undefined };
    return writeJson(`${role}-${Object.keys(change).join('-')}.json`, { ...copied, ...change });
  }

  /** The engine's own files without its people: a second engine of the same site, or one whose files were damaged. */
  function copyOfState(name: string): string {
    const copy = join(folder, name);
    for (const part of ['keys', 'certificate-authority', 'engine/vault-anchors.json']) {
      cpSync(join(faults.layout.state, part), join(copy, part), { recursive: true });
    }
    return copy;
  }

  async function freePort(): Promise<number> {
    const server = createServer();
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    const address = server.address();
    await new Promise((resolve) => server.close(resolve));
    return typeof address === 'object' && address !== null ? address.port : 0;
  }

  test('a machine that is not there: the nearest names, and nothing is done', async () => {
    expectClear(await dr('failover vm-77 --test'), 1, [
      /nothing was done/,
      /There is no machine vm-77\. Did you mean vm-7/,
    ]);
  });

  test('two modes of a failover: refused, nothing is started', async () => {
    const ended = await dr('failover vm-7 --test --planned');
    expectClear(ended, 2, [/exactly one mode; --test and --planned exclude each other\. Nothing was started/]);
    expect((await machineOf(faults.site, 'vm-7'))?.drill ?? null).toBeNull();
  });

  test('a drill during the initial replication: refused with why and when', async () => {
    expectClear(await dr('enable vm-8 --policy every-second --no-wait'), 0, [/vm-8/]);
    const ended = await dr('failover vm-8 --test');
    expectClear(ended, 1, [/initial replication is at \d+ %/, /as soon as it says "Enabled"/]);
    await eventually('vm-8 is Enabled', 120_000, async () => {
      return (await machineOf(faults.site, 'vm-8'))?.protection.kind === 'protected' || undefined;
    });
  }, 180_000);

  test('a token that was used, or that has expired: refused, and the next step is a new one', async () => {
    const token = () => makeEnrolmentToken(faults.layout.engineConfig, 'second-host');
    const agent = (name: string, enrolmentToken: string) => {
      const engineUrl = JSON.parse(readFileSync(faults.layout.engineConfig, 'utf8')).url;
      const config = { stateFolder: join(folder, name), hostName: 'second-host', engineUrl, enrolmentToken };
      return startProgram('lifeboat', ['agent', '--config', writeJson(`${name}.json`, config)]);
    };
    const used = await token();
    const first = agent('first-agent', used);
    await first.says(/the agent runs/);
    expect((await first.stop()).exitCode).toBe(0);
    const nextStep = /lifeboat enrolment-token --host second-host/;
    expectClear(await agent('second-agent', used).ended, 1, [/was used already: a token works once/, nextStep]);
    const late = await token();
    await expireTokens();
    expectClear(await agent('third-agent', late).ended, 1, [/has expired: tokens are good for 15 minutes/, nextStep]);
    expectClear(await agent('fourth-agent', late.slice(0, 40)).ended, 1, [/not an enrolment token/, nextStep]);
  });

  async function expireTokens(): Promise<void> {
    const { databaseUrl } = JSON.parse(readFileSync(faults.layout.engineConfig, 'utf8'));
    const store = await openStore({ connectionString: databaseUrl });
    await store.write((db) =>
      db.execute(
        `update enrolment_tokens set created_at = now() - interval '1 hour', expires_at = now() - interval '1 minute'
         where used_at is null`,
      ),
    );
    await store.close();
  }

  test('a certificate of another authority: the engine and the process server let nobody in, and say what helps', async () => {
    const authority = await createCertificateAuthority(join(folder, 'stranger'), Date.now());
    const stranger = await authority.issueKeyPair({ kind: 'person', name: 'admin' }, { nowMs: Date.now() });
    const own = JSON.parse(readFileSync(join(faults.layout.state, 'people', 'admin.json'), 'utf8'));
    const state = join(folder, 'stranger');
    mkdirSync(join(state, 'people'), { recursive: true });
    const certificateFile = writeJson('stranger/admin.crt', stranger.certificate);
    const keyFile = writeJson('stranger/admin.key', stranger.privateKey);
    const files = { ...own, certificateFile, keyFile };
    writeJson('stranger/people/admin.json', files);
    const environmentOfStranger = { LIFEBOAT_STATE: state };
    expectClear(await dr('status', environmentOfStranger), 1, [/not from this installation/, /state folder/]);
    const certificateAuthorityFile = writeJson('stranger/authority.crt', stranger.certificateAuthority);
    writeJson('stranger/people/admin.json', { ...files, certificateAuthorityFile });
    const distrusted = await dr('status', environmentOfStranger);
    expectClear(distrusted, 3, [/certificates do not match/, /check the state folder/]);
    expect(await askProcessServer(authority)).toMatch(/process server.*certificate/);
  });

  async function askProcessServer(authority: Awaited<ReturnType<typeof createCertificateAuthority>>): Promise<string> {
    const agentId = idFromBytes('agent', Buffer.alloc(10, 7));
    const pair = await authority.issueKeyPair({ kind: 'agent', agentId }, { nowMs: Date.now() });
    const certificateAuthority = readFileSync(join(faults.layout.state, 'people', 'certificate-authority.crt'), 'utf8');
    const { certificate, privateKey } = pair;
    const times = { notBeforeMs: Date.now(), expiresAtMs: pair.expiresAtMs };
    const identity = {
      agentId,
      engineUrl: 'https://127.0.0.1',
      privateKey,
      certificate,
      certificateAuthority,
      ...times,
    };
    const { processServers } = JSON.parse(readFileSync(faults.layout.engineConfig, 'utf8'));
    const sender = createChangeSender({
      processServers: () => processServers,
      identity: () => identity,
      monotonicMs: () => performance.now(),
      delay: () => Promise.resolve(),
      tryForMs: 300,
    });
    const call = {
      diskId: idFromBytes('disk', Buffer.alloc(10, 7)),
      grant: () => 'none',
      signal: new AbortController().signal,
    };
    const error = await sender.position(call).then(
      () => undefined,
      (thrown: unknown) => thrown,
    );
    await sender.close();
    const nextStep = error instanceof Error && 'nextStep' in error ? ` ${error.nextStep}` : '';
    return `${describeCauses(error)}${nextStep}`;
  }

  test('a port that is taken: the program says which and how to find out whose, and ends', async () => {
    const engine = await run('lifeboat', ['engine', '--config', configuration('engine', { name: 'engine-2' })]);
    expectClear(engine, 1, [/listen on 127\.0\.0\.1:\d+ .*another program has this port/, /ss -ltnp .* names it/]);
    const processServer = await run('lifeboat', ['process-server', '--config', configuration('process-server', {})]);
    expectClear(processServer, 1, [/listen on 127\.0\.0\.1:\d+: another program has this port/, /ss -ltnp/]);
  });

  test('a vault that is missing: nobody makes a new one in its place', async () => {
    const gone = { kind: 'directory', folder: join(folder, 'not-mounted') };
    const processServer = configuration('process-server', { vault: gone, listen: { port: await freePort() } });
    const ended = await run('lifeboat', ['process-server', '--config', processServer]);
    expectClear(ended, 1, [/open the vault directory .*not-mounted/, /Mount the vault, or correct its path/]);
    const stateFolder = copyOfState('engine-without-vault');
    const engine = configuration('engine', { vault: gone, stateFolder });
    const refused = await run('lifeboat', ['engine', '--config', engine]);
    expectClear(refused, 1, [/open the vault directory .*not-mounted/, /Mount the vault, or correct its path/]);
    // The mount point is there, and nothing is mounted on it.
    mkdirSync(gone.folder);
    const empty = await run('lifeboat', ['engine', '--config', engine]);
    expectClear(empty, 1, [/it is empty, but recovery points were put into it/, /Mount or restore the vault/]);
    expect(existsSync(join(gone.folder, 'v1'))).toBe(false);
    // The planted bug: without the note of the points that it has made, the engine takes this for its first start.
    rmSync(join(stateFolder, 'engine', 'vault-anchors.json'));
    const databaseUrl = 'postgresql://lifeboat@127.0.0.1:1/lifeboat';
    const forgetful = configuration('engine', { vault: gone, stateFolder, databaseUrl });
    expectClear(await run('lifeboat', ['engine', '--config', forgetful]), 1, [/Postgres at .* does not answer/]);
    expect(existsSync(join(gone.folder, 'v1'))).toBe(true);
  });

  test('a key that is missing or wrong: nothing is opened with another one, and none is made', async () => {
    const stateFolder = copyOfState('engine-without-key');
    const keysFolder = join(stateFolder, 'keys');
    const key = join(keysFolder, 'vault-kek.key');
    const port = { listen: { port: await freePort() } };
    const programs = [
      ['engine', '--config', configuration('engine', { stateFolder })],
      ['process-server', '--config', configuration('process-server', { keysFolder, ...port })],
    ];
    rmSync(key);
    for (const words of programs) {
      expectClear(await run('lifeboat', words), 1, [/load the vault’s key .*there is no such file/, /safe copy/]);
    }
    writeFileSync(key, Buffer.alloc(32, 9));
    for (const words of programs) {
      expectClear(await run('lifeboat', words), 1, [
        /this key does not belong to this vault/,
        /key encryption key that was made/,
      ]);
    }
    expect(readFileSync(key)).toEqual(Buffer.alloc(32, 9));
  });

  test('a host without QEMU: a drill is refused with the command that installs it', async () => {
    const stateFolder = copyOfState('engine-without-qemu');
    const port = await freePort();
    const change = { stateFolder, name: 'engine-2', listen: { port }, url: `https://127.0.0.1:${port}` };
    const config = configuration('engine', change);
    const engine = startProgram('lifeboat', ['engine', '--config', config], { environment: { PATH: '/nowhere' } });
    await engine.says(/ready at/);
    const ended = await dr('failover vm-7 --test', { LIFEBOAT_STATE: stateFolder });
    expect((await engine.stop()).exitCode).toBe(0);
    expectClear(ended, 1, [
      /qemu-system-x86_64.*not installed on this host/,
      /Next: Install it with: apt-get install -y qemu/,
    ]);
    expect((await machineOf(faults.site, 'vm-7'))?.drill ?? null).toBeNull();
  });

  test('Postgres stops: dr says so, changes still reach the vault, and the points come when it is back', async () => {
    const postgres = brokenPostgres(faults);
    const before = storedSegments(faults.layout.vault);
    postgres.stop();
    try {
      await eventually('dr says that Postgres is away', 60_000, async () => {
        const ended = await dr('status');
        if (ended.exitCode === 0) return undefined;
        expectClear(ended, 1, [/Postgres at .* does not answer/, /Check that the server runs/]);
        return ended;
      });
      await eventually(
        'changes reach the vault',
        60_000,
        async () => storedSegments(faults.layout.vault) > before || undefined,
      );
    } finally {
      postgres.repair();
    }
    await expectNewPoint('vm-7');
    expectClear(await dr('status'), 0, [/vm-7/]);
  }, 240_000);

  /** A point that was taken from now on becomes available: replication is whole again. */
  async function expectNewPoint(machine: string): Promise<void> {
    const sinceMs = Date.now();
    await eventually(`a new point of ${machine}`, 120_000, async () => {
      const [newest] = await availablePoints(faults.site, machine);
      return newest !== undefined && newest.takenAtMs > sinceMs ? newest : undefined;
    });
  }

  test.skipIf(!canMount)(
    'a full vault: health says why, the agent keeps the changes, and sends them when there is room',
    async () => {
      small?.fill();
      const health = await eventually('the machine says why', 180_000, async () => {
        const view = await machineOf(faults.site, 'vm-7');
        return view?.health.kind !== 'healthy' && /full/.test(JSON.stringify(view?.health)) ? view?.health : undefined;
      });
      expect(JSON.stringify(health)).toMatch(/ENOSPC.*The vault is full\. Free space or enlarge it/);
      expect(spooledLogs(faults.layout)).toBeGreaterThan(0);
      expectClear(await dr('status vm-7'), 0, [/The vault is full\. Free space or enlarge it/]);
      small?.free();
      await expectNewPoint('vm-7');
      await eventually('the spool is empty again', 60_000, async () =>
        spooledLogs(faults.layout) < 3 ? true : undefined,
      );
      await expectHealthy('vm-7');
    },
    420_000,
  );

  test.skipIf(!canMount)(
    'a read-only vault: health says why and what to do, and it goes on afterwards',
    async () => {
      small?.remount('ro');
      try {
        await eventually('the machine says why', 180_000, async () => {
          const health = JSON.stringify((await machineOf(faults.site, 'vm-7'))?.health);
          return /EROFS.*Remount the file system for writing/.test(health) || undefined;
        });
        const words = [
          'process-server',
          '--config',
          configuration('process-server', { listen: { port: await freePort() } }),
        ];
        expectClear(await run('lifeboat', words), 1, [/vault/, /Remount the file system for writing/]);
      } finally {
        small?.remount('rw');
      }
      await expectNewPoint('vm-7');
      await expectHealthy('vm-7');
    },
    420_000,
  );

  async function expectHealthy(machine: string): Promise<void> {
    await eventually(`${machine} is healthy`, 60_000, async () => {
      return (await machineOf(faults.site, machine))?.health.kind === 'healthy' || undefined;
    });
  }

  test('after all that, a full read of the vault finds nothing wrong', async () => {
    const ended = await run('lifeboat', ['vault', 'verify', '--state', faults.layout.state]);
    expectClear(ended, 0, [/Good: \d+ segments, \d+ recovery points/]);
  }, 180_000);
});

#!/usr/bin/env node
import { mkdir, readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { Command, Option } from 'commander';
import { describeCauses } from '../domain/outage.ts';
import { mebibyte } from '../domain/units.ts';
import { localFileSource, secondsToMarker } from './boot.ts';
import { runChatBench } from './chat/run-chat-bench.ts';
import { type ConsoleBenchOptions, runConsoleBench } from './console/run-console-bench.ts';
import { isInstalled } from './installed.ts';
import { lifeboatContender, openLifeboat } from './lifeboat-contender.ts';
import { openLifeboatSite } from './lifeboat-site.ts';
import { makeLinuxGuest } from './linux-guest.ts';
import { describeMachine } from './machine-description.ts';
import { fileServers } from './nbd-servers.ts';
import { borg } from './peers/borg.ts';
import { qemuImgConvert, qemuImgRebase } from './peers/qemu-img.ts';
import { restic } from './peers/restic.ts';
import { rsync } from './peers/rsync.ts';
import { measureReads, type ReadMeasurement, readCells } from './read-path.ts';
import { makeSourceFolder, unmountLeftover } from './reflink-mount.ts';
import { reportOf } from './report.ts';
import type { BenchResults, BootResults } from './results.ts';
import { newCollection, runRound } from './rounds.ts';
import { imageSizes, makeSourceImage, type SourceImage } from './source-image.ts';
import { isMissed, judge } from './targets.ts';
import { vaultServer, vaultSource } from './vault-disk-server.ts';

type Options = {
  readonly size: keyof typeof imageSizes;
  readonly rounds: number;
  readonly check?: boolean;
  readonly keep?: boolean;
  readonly only?: 'copies' | 'boot';
  readonly peers?: readonly string[];
};

const benchFolder = import.meta.dirname;
const workFolder = join(benchFolder, 'work');
const kernelCache = join(benchFolder, '../node_modules/.cache/lifeboat-bench');
const allPeers = [restic, borg, rsync, qemuImgConvert, qemuImgRebase];
const say = (line: string) => console.error(`${(performance.now() / 1000).toFixed(1).padStart(7)} s  ${line}`);

/** Measures us and our peers on the same image, on this machine, in one run; prints the report and keeps it. */
async function runBench(options: Options): Promise<number> {
  const machine = describeMachine();
  const startedAt = new Date().toISOString();
  const sourceFolder = join(workFolder, 'source');
  await unmountLeftover(sourceFolder);
  await rm(workFolder, { recursive: true, force: true });
  await mkdir(workFolder, { recursive: true });
  const { sizeBytes } = imageSizes[options.size];
  const source = await makeSourceFolder(sourceFolder, 2 * sizeBytes + 512 * mebibyte);
  try {
    const image = await makeImage(options);
    const copies = await measureCopies(options.only === 'boot' ? { ...options, rounds: 0 } : options, image);
    const boots = options.only === 'copies' ? leftOut : await measureBoots(options);
    const results: BenchResults = {
      format: 'lifeboat-bench/1',
      startedAt,
      tookSeconds: performance.now() / 1000,
      machine,
      options: { size: options.size, rounds: options.rounds },
      image: { ...image, fileSystem: source.fileSystem },
      ...copies,
      boots,
    };
    await publish(results);
    return judge(results).some(isMissed) && options.check ? 1 : 0;
  } finally {
    await source.unmount();
    if (!options.keep) await rm(workFolder, { recursive: true, force: true });
  }
}

const leftOut: BootResults = { kind: 'not-measured', why: 'left out on request' };

async function makeImage({ size }: Options): Promise<SourceImage> {
  const image = await makeSourceImage(
    join(workFolder, 'source/source.img'),
    imageSizes[size],
    join(workFolder, 'files'),
  );
  say(`source image: ${(image.nonZeroBytes / mebibyte).toFixed(0)} MiB of ${image.origin}`);
  return image;
}

async function measureCopies(options: Options, image: SourceImage) {
  const version = `${JSON.parse(await readFile(join(benchFolder, '../package.json'), 'utf8')).version}`;
  const peers = allPeers.filter(({ name }) => options.peers?.includes(name) ?? true);
  const collected = newCollection([lifeboatContender(version), ...peers]);
  const reads: ReadMeasurement[] = [];
  for (let round = 0; round < options.rounds; round += 1) {
    const folder = join(workFolder, `round-${round}`);
    await runRound(
      {
        round,
        folder,
        image,
        contenders: peers,
        openLifeboat: (own) => openLifeboat(own, image.path),
        say,
        async beforeClose({ site }) {
          if (options.only === 'copies' || !isInstalled('fio')) return;
          const servers = [...fileServers(image.path, join(workFolder, 'nbd.log')), vaultServer(site, folder)];
          const turned = [...servers.slice(round), ...servers.slice(0, round)];
          reads.push(...(await measureReads(turned, readOptions(options, image))));
          say(`round ${round + 1}  reads over NBD`);
        },
      },
      collected,
    );
  }
  const { contenders, lifeboat, changedBytes } = collected;
  return { contenders: [...contenders.values()], lifeboat, changedBytes, reads };
}

/** The first part of the image is full of files; holes further on would measure something else. */
function readOptions({ size }: Options, { sizeBytes }: SourceImage) {
  return { areaBytes: sizeBytes / 8, seconds: size === 'full' ? 2 : 1, cells: readCells };
}

async function measureBoots(options: Options): Promise<BootResults> {
  if (!isInstalled('qemu-system-x86_64')) return { kind: 'not-measured', why: 'QEMU is not installed' };
  const folder = join(workFolder, 'boot');
  await mkdir(join(folder, 'site'), { recursive: true });
  const guest = await makeLinuxGuest(folder, kernelCache);
  if (guest.kind === 'not-made') return { kind: 'not-measured', why: guest.why };
  const site = await openLifeboatSite(join(folder, 'site'), guest.imagePath);
  try {
    await site.initialCopy();
    const [localSeconds, vaultSeconds]: [number[], number[]] = [[], []];
    for (let round = 0; round < options.rounds; round += 1) {
      const bootLocal = async () => localSeconds.push(await secondsToMarker(localFileSource(guest.imagePath), folder));
      const bootVault = async () => vaultSeconds.push(await secondsToMarker(vaultSource(site, folder), folder));
      for (const boot of round % 2 === 0 ? [bootLocal, bootVault] : [bootVault, bootLocal]) await boot();
      say(
        `round ${round + 1}  boot: local ${localSeconds.at(-1)?.toFixed(2)} s, vault ${vaultSeconds.at(-1)?.toFixed(2)} s`,
      );
    }
    return { kind: 'measured', guest: `Linux ${guest.kernel}`, localSeconds, vaultSeconds };
  } finally {
    await site.close();
  }
}

async function publish(results: BenchResults): Promise<void> {
  const report = reportOf(results);
  const folder = join(benchFolder, 'results');
  await mkdir(folder, { recursive: true });
  await writeFile(join(folder, `${results.startedAt.slice(0, 10)}.md`), report);
  await writeFile(join(folder, 'latest.json'), `${JSON.stringify(results, null, 2)}\n`);
  console.log(report);
}

const program = new Command('bench')
  .description('Measures Lifeboat beside restic, borg, rsync, qemu-img, nbdkit and qemu-nbd.')
  .addOption(
    new Option('--size <size>', 'full: 2 GiB, about 1 GiB of data; small: 256 MiB')
      .choices(['full', 'small'])
      .default('full'),
  )
  .option('--rounds <count>', 'how often everything is measured', Number, 3)
  .addOption(new Option('--only <part>', 'leave the rest out').choices(['copies', 'boot']))
  .option('--peers <names...>', 'measure beside these peers only')
  .option('--keep', 'leave bench/work behind')
  .option('--check', 'exit with 1 when a row that must be met is not')
  .action(async (options: Options) => {
    process.exitCode = await runBench(options);
  });
program
  .command('chat')
  .description(
    'Types and clicks on a whole site in a loopback Slack; exits with 1 when something is late, lost or doubled.',
  )
  .option('--seconds <count>', 'how long the load is', Number, 60)
  .option('--stopped-seconds <count>', 'how long it goes on while the engine is stopped', Number, 10)
  .action(async (options: { seconds: number; stoppedSeconds: number }) => {
    process.exitCode = await runChatBench(options, { resultsFolder: join(benchFolder, 'results'), say });
  });
program
  .command('console')
  .description(
    'Looks at a large site as the web console does, and with it in a browser; exits with 1 when that takes too long.',
  )
  .option('--machines <count>', 'protected machines', Number, 1000)
  .option('--points <count>', 'recovery points of each', Number, 100)
  .option('--drills <count>', 'drills of each', Number, 10)
  .option('--looks <count>', 'how often it is looked', Number, 100)
  .option('--loads <count>', 'how often the page is opened, each way', Number, 12)
  .action(async (options: ConsoleBenchOptions) => {
    process.exitCode = await runConsoleBench(options, { resultsFolder: join(benchFolder, 'results'), say });
  });

try {
  await program.parseAsync();
} catch (error) {
  console.error(`bench: ${describeCauses(error)}`);
  process.exitCode = 2;
}

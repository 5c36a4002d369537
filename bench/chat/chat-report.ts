import { gibibyte, mebibyte } from '../../domain/units.ts';
import type { Spread } from './figures.ts';
import type { ChatResults, LoadResults } from './measure-chat.ts';

/** One row of what chat has to keep under load. All of them decide the exit code. Source: issue 3 (load) */
export type ChatRow = {
  readonly what: string;
  readonly target: string;
  readonly measured: string;
  readonly isMet: boolean;
};

const acknowledgementMsMax = 1000;
const slackMsMax = 3000;

export function judgeChat({ busy, stopped, troubles, settings }: ChatResults): ChatRow[] {
  const load = `${settings.commandsPerSecond} commands/s for ${busy.seconds} s`;
  const silence = `engine stopped for ${stopped.seconds} s under the same load`;
  return [
    acknowledgementRow(`acknowledged, ${load}`, busy),
    answeredRow(`answered, ${load}`, busy, deedsIn(busy) / 100),
    trailRow(`orders in the audit trail, ${load}`, busy),
    acknowledgementRow(`acknowledged, ${silence}`, stopped),
    answeredRow(`answered, ${silence}`, stopped, deedsIn(stopped)),
    trailRow(`orders in the audit trail, ${silence}`, stopped),
    {
      what: 'programs that ended by themselves',
      target: '0',
      measured: troubles.length === 0 ? '0' : troubles.join('; ').slice(0, 300),
      isMet: troubles.length === 0,
    },
  ];
}

function acknowledgementRow(what: string, { load }: LoadResults): ChatRow {
  const { acknowledgementMs, unacknowledgedCount } = load;
  return {
    what,
    target: `p99 ≤ ${acknowledgementMsMax} ms, all within Slack’s ${slackMsMax} ms`,
    measured: `${spreadText(acknowledgementMs)}; ${unacknowledgedCount} never`,
    isMet:
      acknowledgementMs.p99 <= acknowledgementMsMax && acknowledgementMs.max <= slackMsMax && unacknowledgedCount === 0,
  };
}

function deedsIn({ load }: LoadResults): number {
  return load.commandCount + load.clickCount;
}

/** @param outageCountMax so many may be told that the engine cannot do it now: an honest answer, and not a good one */
function answeredRow(what: string, { load }: LoadResults, outageCountMax: number): ChatRow {
  const { lostCount, doubledAnswerCount, mistakeCount, outageCount, commandCount, clickCount } = load;
  return {
    what,
    target: 'each once and truly: 0 lost, 0 twice, 0 untrue',
    measured:
      `${commandCount} commands and ${clickCount} clicks: ${lostCount} lost, ${doubledAnswerCount} twice, ${mistakeCount} untrue; ` +
      `${outageCount} were told that the engine cannot do it now; ${spreadText(load.answerMs)}`,
    isMet: lostCount + doubledAnswerCount + mistakeCount === 0 && outageCount <= outageCountMax,
  };
}

/** An order of which nobody was told that it was not carried out must stand in the trail, and each of them once. */
function trailRow(what: string, { orderCount, unheardOrderCount, trail, load }: LoadResults): ChatRow {
  const isComplete = trail.orderCount <= orderCount && trail.orderCount >= orderCount - unheardOrderCount;
  return {
    what,
    target: 'as many as were sent, none twice, the chain whole',
    measured:
      `${trail.orderCount} of ${orderCount}${unheardOrderCount === 0 ? '' : ` (${unheardOrderCount} were told that nothing was begun)`}, ` +
      `${trail.doubledCount} twice, chain ${trail.isChainWhole ? 'whole' : 'broken'}; ${load.doubledCount} deliveries came twice`,
    isMet: isComplete && trail.doubledCount === 0 && trail.isChainWhole,
  };
}

/** The run as Markdown: the verdicts first, then what it cost. */
export function chatReportOf(results: ChatResults): string {
  const { machine, busy, stopped, settings } = results;
  const rows = judgeChat(results).map(
    (row, index) =>
      `| ${index + 1} | ${row.what} | ${row.target} | ${row.measured} | **${row.isMet ? 'met' : 'not met'}** |`,
  );
  const usage = Object.entries(busy.cpuSeconds).map(
    ([program, seconds]) => `| ${program} | ${seconds.toFixed(1)} | ${((100 * seconds) / busy.seconds).toFixed(0)} % |`,
  );
  return [
    `# Lifeboat's chat under load, ${results.startedAt.slice(0, 16).replace('T', ' ')} UTC`,
    `${machine.processor}, ${machine.coreCount} cores, ${(machine.memoryBytes / gibibyte).toFixed(0)} GiB, Linux ${machine.kernel}, ` +
      `Node ${machine.node}. Load average before the run ${machine.loadBefore.toFixed(1)}, at the end of the load ` +
      `${busy.loadAverage.toFixed(1)}, at the end of the engine’s silence ${stopped.loadAverage.toFixed(1)} (the run itself is part of both).`,
    'PostgreSQL, engine, process server, agent and bot, each a process of its own; the bot in Socket Mode with the loopback Slack workspace. Ten linked people of ' +
      `all roles type ${settings.commandsPerSecond} slash commands a second (55 % looks at machines, 20 % approvals, alerts and whoami, 15 % bookmark, pause and resume, ` +
      `5 % dry runs and clean-ups, 5 % nonsense) and click ${settings.clicksPerSecond} buttons a second, without waiting for answers; one delivery in ` +
      `${settings.doubledEvery} comes twice. The load was at most ${busy.load.latestMs.toFixed(0)} ms behind its own plan.`,
    ['| # | what | target | measured | verdict |', '| --- | --- | --- | --- | --- |', ...rows].join('\n'),
    '## What it cost',
    `From the first command to the last answer of the ${busy.seconds} s; the bot’s memory was ${(busy.botPeakMemoryBytes / mebibyte).toFixed(0)} MiB at most.`,
    ['| process | CPU seconds | of one core |', '| --- | --- | --- |', ...usage].join('\n'),
    ...exampleLines(results),
  ]
    .join('\n\n')
    .concat('\n');
}

function exampleLines({ busy, stopped }: ChatResults): string[] {
  const examples = [...busy.load.examples, ...stopped.load.examples];
  if (examples.length === 0) return [];
  return [
    'Some answers that are not what was asked for:',
    examples.map((one) => `- ${one.replaceAll('\n', ' ')}`).join('\n'),
  ];
}

function spreadText({ p50, p99, max }: Spread): string {
  return `p50 ${p50.toFixed(0)}, p99 ${p99.toFixed(0)}, max ${max.toFixed(0)} ms`;
}

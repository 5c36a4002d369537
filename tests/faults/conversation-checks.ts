import { parseGuestMarker } from '../../demo/guest/qemu-guest.ts';
import { proposalDigest } from '../../engine/approvals/proposal.ts';
import type { ApprovalRecord } from '../../engine/store/approvals.ts';
import type { VoteView } from '../../protocol/chat-api.ts';
import type { AuditView } from '../../protocol/people-api.ts';
import type { Evidence, OutboxRow, Post } from './conversation-evidence.ts';
import type { Kill } from './random-kills.ts';

/** What is wrong after a request that was approved and carried out: in words, nothing when all is well. */
export function problemsOfApproved(evidence: Evidence, kills: readonly Kill[]): string[] {
  return [
    ...runProblems(evidence),
    ...recordProblems(evidence),
    ...lossProblems(evidence),
    ...messageProblems(evidence, approvedWords),
    ...doubleProblems(evidence, kills),
    ...chainProblems(evidence),
  ];
}

/** The same after a request that was rejected. */
export function problemsOfRejected(evidence: Evidence, kills: readonly Kill[]): string[] {
  const { machine, runs, deedsAtMs, approvals, source, copyCount } = evidence;
  const [approval] = approvals;
  const vote = approval?.votes.map(({ person, decision }) => `${person} ${decision}`).join();
  return [
    ...wrong(runs.length === 0, `${runs.length} runs of a request that was rejected`),
    ...wrong(deedsAtMs.length === 0, 'something was begun although the request was rejected'),
    ...wrong(approvals.length === 1, `${approvals.length} requests instead of one`),
    ...wrong(approval?.state === 'rejected' && vote === 'ben reject', `the record says ${approval?.state} by ${vote}`),
    ...wrong(!machine.isHeld && machine.epoch === 1, 'the machine was fenced'),
    ...wrong(source.status === 'running', `the source is ${source.status}`),
    ...wrong(copyCount === 0, `${copyCount} machines at the target`),
    ...trailProblems(evidence, ['approval requested', 'vote reject', 'approval rejected']),
    ...messageProblems(evidence, rejectedWords),
    ...doubleProblems(evidence, kills),
    ...chainProblems(evidence),
  ];
}

function wrong(isRight: boolean, problem: string): string[] {
  return isRight ? [] : [problem];
}

function runProblems({ machine, runs, approvals, deedsAtMs, copyCount }: Evidence): string[] {
  const [approval] = approvals;
  const [run] = runs;
  const quorumAtMs = Math.max(...votesOf(approval).map(({ atMs }) => atMs));
  const early = deedsAtMs.filter((atMs) => atMs < quorumAtMs);
  return [
    ...wrong(runs.length === 1, `${runs.length} runs instead of one`),
    ...wrong(run?.state === 'succeeded', `the run is ${run?.state}: ${run?.failure}`),
    ...wrong(run !== undefined && run.approvalId === approval?.id, 'the run names another approval'),
    ...wrong(deedsAtMs.length > 1 && early.length === 0, `${early.length} things were begun before the quorum`),
    ...wrong(machine.isHeld && machine.protection.kind === 'failed-over', 'the source is not fenced'),
    ...wrong(copyCount === 1, `${copyCount} machines at the target instead of one`),
  ];
}

function recordProblems(evidence: Evidence): string[] {
  const { approvals, runs, audit } = evidence;
  const [approval] = approvals;
  const [run] = runs;
  if (approval === undefined || run === undefined) return ['there is no record'];
  const votes = votesOf(approval).map(({ person, decision, stepUp, via }) => `${person} ${decision} ${stepUp} ${via}`);
  const { digest, measured } = approval;
  const failover = run.result?.failover;
  const entries = trailOf(evidence);
  const bound = entries.filter(({ detail }) => detail.includes(digest));
  const ofRun = audit.filter(({ detail }) => detail.includes(run.id)).map(({ what }) => what);
  return [
    ...wrong(approvals.length === 1, `${approvals.length} requests instead of one`),
    ...wrong(approval.state === 'succeeded', `the approval is ${approval.state}`),
    ...wrong(votes.join() === 'ben approve totp slack', `the votes are ${votes.join()}`),
    ...wrong(approval.decidedBy === 'ben', `${approval.decidedBy} decided`),
    ...wrong(approval.runId === run.id, 'the approval names another run'),
    ...wrong(proposalDigest(Object(approval.params)) === digest, 'the digest is of something else'),
    ...wrong(JSON.stringify(Object(approval.params).plan) === JSON.stringify(run.plan), 'another plan was carried out'),
    ...wrong(measured !== null && measured.rtoMs > 0, 'nothing was measured'),
    ...wrong(
      measured?.rpoMs === failover?.rpoMs && measured?.rtoMs === failover?.rtoMs,
      'approval and run measured differently',
    ),
    ...wrong(bound.length === entries.length, 'the trail has an entry without the digest'),
    ...wrong(ofRun.join() === 'approval run,approval succeeded', `the trail binds the run to ${ofRun.join()}`),
    ...trailProblems(evidence, [
      ...['approval requested', 'vote approve', 'approval executing', 'approval run', 'approval succeeded'],
    ]),
  ];
}

function votesOf(approval: ApprovalRecord | undefined): readonly VoteView[] {
  return approval?.votes ?? [];
}

/** What became of the approval; besides that the trail has every command that somebody gave, refused ones too. */
function trailOf({ audit, approvals }: Evidence): AuditView[] {
  return audit.filter(({ target, what }) => target === approvals[0]?.id && /^(approval|vote) /.test(what));
}

function trailProblems(evidence: Evidence, expected: readonly string[]): string[] {
  const about = trailOf(evidence);
  const trail = about.map((entry) => entry.what);
  const voter = about.find((entry) => entry.what.startsWith('vote'));
  return [
    ...wrong(trail.join() === expected.join(), `the trail says ${trail.join()}`),
    ...wrong(voter?.who === 'ben' && voter.via.startsWith('slack:'), `the trail says that ${voter?.who} voted`),
  ];
}

function lossProblems({ runs, source }: Evidence): string[] {
  const result = runs[0]?.result;
  const marker = parseGuestMarker(`LIFEBOAT-MARKER ${result?.marker}\r\n`);
  return [
    ...wrong(result?.failover?.rpoMs === 0, 'the run says that something was lost'),
    ...wrong(
      source.counter > 0 && marker?.disk0 === source.counter,
      `${source.counter} written, ${marker?.disk0} there`,
    ),
    ...wrong(source.status === 'shutdown' || source.status === 'paused', `the source is ${source.status}`),
  ];
}

type Place = '#dr' | '@ana' | '@ben';
/** Words that stand in one message of a place. */
type Said = readonly [place: Place, ...words: string[]];

/** What must stand where in the end. */
type Words = {
  readonly final: string;
  readonly expected: (ids: { readonly approval: string; readonly run: string }) => readonly Said[];
};

const rejectedWords: Words = {
  final: ' · REJECTED by ben',
  expected: ({ approval }) => [
    ...(['#dr', '@ben'] as const).flatMap((place): Said[] => [
      [place, 'REJECTED by ben', 'Why: ', `${approval} · `],
      [place, '↳', 'ana asks for the planned failover'],
      [place, '↳', 'ben rejected the planned failover'],
    ]),
    ['@ana', 'Your request for', 'ben rejected the planned failover'],
  ],
};

const approvedWords: Words = {
  final: ' · done',
  expected: ({ approval, run }) => [
    ...(['#dr', '@ben'] as const).flatMap((place): Said[] => [
      [place, ' · done', 'Votes  ben approved', 'Measured  data loss 0 s', run, `${approval} · `],
      [place, '↳', 'ana asks for the planned failover'],
      [place, '↳', 'ben approved the planned failover', 'it begins'],
      [place, '↳', 'is done: lost nothing'],
    ]),
    ...(['#dr', '@ana', '@ben'] as const).flatMap((place): Said[] => [
      [place, ' · nothing lost', approval, `${run} · `],
      [place, '↳', 'also to the channel', 'The planned failover of', 'is done'],
      [place, '↳', '[file', '-console.png'],
    ]),
    ['@ana', 'Your request for', 'ben approved the planned failover', 'it begins'],
    ['@ana', 'Your request for', 'is done: lost nothing'],
  ],
};

function messageProblems(evidence: Evidence, words: Words): string[] {
  const { approvals, runs, machine, posts } = evidence;
  const approval = approvals[0]?.id ?? '';
  const run = runs[0]?.id ?? '';
  const mine = posts.filter(({ text }) => [machine.name, approval].some((name) => text.includes(name)));
  const missing = words
    .expected({ approval, run })
    .filter(
      ([place, ...said]) => !mine.some(({ text }) => [`${place} `, ...said].every((part) => text.includes(part))),
    );
  const kept = keptPosts(evidence).filter(({ about }) => about === approval || about === run);
  const untrue = kept.filter(({ about, text }) => about === approval && !text.split('\n')[0]?.includes(words.final));
  const running = kept.filter(({ about, text }) => about === run && text.includes('running for'));
  const open = kept.filter(({ text }) => /\[(Approve|Reject)\]/.test(text));
  return [
    ...missing.map((said) => `lost: ${said.join(' … ')}`),
    ...untrue.map(({ text }) => `not true any more: ${text}`),
    ...running.map(({ text }) => `runs for ever: ${text}`),
    ...open.map(({ text }) => `can still be decided: ${text}`),
    ...ownRows(evidence).flatMap((row) => rowProblems(row, evidence)),
  ];
}

/** Rows that tell of this request; direct notes have no topic, and their words are looked for above. */
function ownRows({ outbox, approvals, runs }: Evidence): OutboxRow[] {
  const topics = [`approval:${approvals[0]?.id}`, `run:${runs[0]?.id}`];
  return outbox.filter((row) => row.kind === 'direct' || topics.includes(row.topic ?? ''));
}

function rowProblems(row: OutboxRow, { outbox, posts }: Evidence): string[] {
  const digest = outbox.find(({ id }) => id === row.digest_id);
  const teller = row.state === 'superseded' && digest !== undefined ? digest : row;
  const isThere = posts.some(({ ts }) => ts === teller.ref?.ts) || (row.kind === 'picture' && teller.ref !== null);
  const isTold = teller.state === 'live' && !teller.is_due && isThere;
  return wrong(isTold, `${row.kind} of ${row.topic} in ${row.place} is ${row.state} and was not told`);
}

function keptPosts({ posts, outbox }: Evidence): Post[] {
  return posts.filter(({ ts }) => outbox.some((row) => row.ref?.ts === ts));
}

export type Double = { readonly first: Post; readonly second: Post };

/** Posts that no row of the outbox knows: each with the one that came in its place, or a stranger without one. */
export function doublesIn(evidence: Pick<Evidence, 'posts' | 'outbox'>): { doubles: Double[]; strangers: Post[] } {
  const known = new Set(evidence.outbox.map((row) => row.ref?.ts));
  const unknown = evidence.posts.filter((post) => !known.has(post.ts) && !isPicture(post) && !isOfBotItself(post));
  const found = [...unknown, ...extraPictures(evidence)].map((first) => {
    const isLater = (post: Post) => post.seenAtMs >= first.seenAtMs && post.ts !== first.ts;
    const isSame = ({ channel, about }: Post) => channel === first.channel && about === first.about;
    return { first, second: evidence.posts.find((post) => isLater(post) && isSame(post)) };
  });
  return {
    doubles: found.flatMap(({ first, second }) => (second === undefined ? [] : [{ first, second }])),
    strangers: found.filter(({ second }) => second === undefined).map(({ first }) => first),
  };
}

function isPicture({ text }: Post): boolean {
  return /\[file .*\.png/.test(text);
}

/** Slack names no message for an uploaded picture: of those only the number can be compared. */
function extraPictures({ posts, outbox }: Pick<Evidence, 'posts' | 'outbox'>): Post[] {
  const channels = [...new Set(posts.map(({ channel }) => channel))];
  return channels.flatMap((channel) => {
    const there = posts.filter((post) => isPicture(post) && post.channel === channel);
    const wanted = outbox.filter((row) => row.kind === 'picture' && row.ref?.channel === channel);
    return there.slice(0, Math.max(0, there.length - wanted.length));
  });
}

/** What the bot says when the engine is silent for a minute: no row of the outbox can ask for that. */
function isOfBotItself({ text }: Post): boolean {
  return /The engine (does not answer|answers again)/.test(text);
}

/** A message comes twice only when the bot was killed after Slack had taken it and before the engine knew. */
function doubleProblems(evidence: Evidence, kills: readonly Kill[]): string[] {
  const { doubles, strangers } = doublesIn(evidence);
  const botKills = kills.filter((kill) => kill.victim === 'bot');
  const unexplained = doubles.filter(
    ({ first, second }) => !botKills.some(({ atMs }) => atMs >= first.seenAtMs - 50 && atMs <= second.seenAtMs),
  );
  return [
    ...strangers.map(({ text }) => `nobody wanted this: ${text}`),
    ...unexplained.map(({ first }) => `twice without a kill of the bot: ${first.text}`),
  ];
}

function chainProblems({ chain }: Evidence): string[] {
  return wrong(chain.kind === 'whole', `the audit trail is ${JSON.stringify(chain)}`);
}

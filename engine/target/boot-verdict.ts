import { assertNever } from '../../domain/invariant.ts';
import { formatDuration } from '../../domain/units.ts';
import { bootFailureLine, isBlank, isSamePicture } from './console-picture.ts';
import type { ConsoleView } from './machine-console.ts';
import type { BootFailure, BootVerification } from './target.ts';

/** What was seen of a boot when it was time to judge it. */
export type BootFacts = {
  readonly ending: 'marker' | 'guest-ended' | 'limit';
  readonly marker: string | undefined;
  /** The last two looks at the console, older first; fewer when it could not be seen. */
  readonly views: readonly ConsoleView[];
  readonly failedReadCount: number;
  /** The last bytes that the vault could not give, as the disk server logged it. */
  readonly lastReadError: string | undefined;
  readonly firmware: 'bios' | 'uefi';
  readonly endedHow: string;
  readonly lastSerialLines: string;
  readonly elapsedMs: number;
  readonly limitMs: number;
  readonly consolePicture: string | undefined;
};

/** The verdict on a boot. A marker proves it; a picture counts only when it shows more than firmware and stands still. */
export function judgeBoot(facts: BootFacts): BootVerification {
  const common = { consolePicture: facts.consolePicture, elapsedMs: facts.elapsedMs };
  const fail = (why: BootFailure, explanation: string): BootVerification => ({
    ...common,
    kind: 'failed',
    verified: false,
    why,
    explanation,
    ...(facts.marker === undefined ? {} : { marker: facts.marker }),
  });
  // First: a machine that came up on a disk with unreadable parts proves the opposite of recoverability.
  if (facts.failedReadCount > 0 || facts.lastReadError !== undefined) return fail('read-errors', readErrorWords(facts));
  switch (facts.ending) {
    case 'marker': {
      const marker = facts.marker ?? '';
      const explanation = `It printed its marker after ${formatDuration(facts.elapsedMs)}: ${marker}`;
      return { ...common, kind: 'marker', verified: true, marker, explanation };
    }
    case 'guest-ended':
      return fail('guest-ended', endedWords(facts));
    case 'limit': {
      const picture = judgePicture(facts);
      if (picture.kind === 'failed') return fail(picture.why, picture.explanation);
      return { ...common, kind: 'picture', verified: true, explanation: picture.explanation };
    }
    default:
      return assertNever(facts.ending);
  }
}

type PictureVerdict =
  | { kind: 'shown'; explanation: string }
  | { kind: 'failed'; why: BootFailure; explanation: string };

function judgePicture(facts: BootFacts): PictureVerdict {
  const limit = formatDuration(facts.limitMs);
  const [older, newer] = [facts.views.at(-2), facts.views.at(-1)];
  if (newer === undefined) {
    const explanation = `No marker was printed within ${limit}, and the console could not be seen.`;
    return { kind: 'failed', why: 'blank', explanation };
  }
  if (isBlank(newer.picture)) {
    const explanation = `The console is blank and no marker was printed within ${limit}.`;
    return { kind: 'failed', why: 'blank', explanation };
  }
  const failureLine = bootFailureLine(newer.textLines ?? []);
  if (failureLine !== undefined) {
    const explanation = `The boot did not get further than this within ${limit}: "${failureLine}"`;
    return { kind: 'failed', why: 'firmware-only', explanation };
  }
  if (facts.firmware === 'uefi') {
    const explanation = `No marker was printed within ${limit}. The console shows a picture, but UEFI firmware shows one too: look at it.`;
    return { kind: 'failed', why: 'firmware-only', explanation };
  }
  if (older === undefined || !isSamePicture(older.picture, newer.picture)) {
    const explanation = `No marker was printed within ${limit}, and the console still changes: it may need more time.`;
    return { kind: 'failed', why: 'not-settled', explanation };
  }
  return { kind: 'shown', explanation: 'The console shows a picture; no marker was printed.' };
}

function readErrorWords(facts: BootFacts): string {
  const marker = facts.marker === undefined ? '' : ' It printed its marker all the same, but this point is damaged.';
  const reason = facts.lastReadError === undefined ? '' : ` The last one: ${facts.lastReadError}`;
  return `The machine could not read parts of its disks.${marker}${reason}`;
}

function endedWords(facts: BootFacts): string {
  const words = facts.lastSerialLines === '' ? 'It said nothing on its serial line.' : 'Its last words:';
  return `${facts.endedHow} after ${formatDuration(facts.elapsedMs)}. ${words} ${facts.lastSerialLines}`.trim();
}

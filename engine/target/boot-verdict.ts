import { assertNever } from '../../domain/invariant.ts';
import { formatDuration } from '../../domain/units.ts';
import { bootFailureLine, isBlank, isSamePicture } from './console-picture.ts';
import type { ConsoleView } from './machine-console.ts';
import { lastReadError } from './recovery-disk-server.ts';
import type { BootFailure, BootVerification } from './target.ts';

/** Whether the machine asked for bytes of its disks that it was not given. What nobody could find out is not `none`. */
export type FailedReads =
  | { readonly kind: 'none' }
  /** `last`: the last bytes that the vault could not give, as the disk server logged it. */
  | { readonly kind: 'some'; readonly last: string | undefined }
  | { readonly kind: 'unknown'; readonly why: string };

/** What was seen of a boot when it was time to judge it. */
export type BootFacts = {
  readonly ending: 'marker' | 'guest-ended' | 'limit';
  readonly marker: string | undefined;
  /** The last two looks at the console, older first; fewer when it could not be seen. */
  readonly views: readonly ConsoleView[];
  readonly failedReads: FailedReads;
  readonly firmware: 'bios' | 'uefi';
  readonly endedHow: string;
  readonly lastSerialLines: string;
  readonly elapsedMs: number;
  readonly limitMs: number;
  readonly consolePicture: string | undefined;
};

/**
 * The verdict on a boot. A marker proves it; a picture counts only when it shows more than firmware and stands still.
 * Neither counts when reads of the disks failed, or may have failed.
 */
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
  if (facts.failedReads.kind === 'some')
    return fail('read-errors', readErrorWords(facts.marker, facts.failedReads.last));
  const unproven =
    facts.failedReads.kind === 'unknown' ? unknownReadWords(facts.marker, facts.failedReads.why) : undefined;
  switch (facts.ending) {
    case 'marker': {
      if (unproven !== undefined) return fail('reads-unknown', unproven);
      const marker = facts.marker ?? '';
      const explanation = `It printed its marker after ${formatDuration(facts.elapsedMs)}: ${marker}`;
      return { ...common, kind: 'marker', verified: true, marker, explanation };
    }
    case 'guest-ended':
      return fail('guest-ended', endedWords(facts));
    case 'limit': {
      const picture = judgePicture(facts);
      if (picture.kind === 'failed') return fail(picture.why, picture.explanation);
      if (unproven !== undefined) return fail('reads-unknown', unproven);
      return { ...common, kind: 'picture', verified: true, explanation: picture.explanation };
    }
    default:
      return assertNever(facts.ending);
  }
}

/**
 * What QEMU and the disk server say together of failed reads. The disk server logs each read that the vault refused before it answers
 * it; QEMU also counts the reads that no disk server answered. Only both of them together can say that there were none.
 *
 * @param counted by QEMU since the machine was started; in words why it could not be asked
 * @param log the disk server's
 */
export function failedReadsOf(counted: number | string, log: string): FailedReads {
  const last = lastReadError(log);
  if (last !== undefined || (typeof counted === 'number' && counted > 0)) return { kind: 'some', last };
  if (typeof counted === 'string') return { kind: 'unknown', why: counted };
  // It says at its start what it serves: an empty log is a lost one.
  return log === '' ? { kind: 'unknown', why: 'the log of the disk server is gone' } : { kind: 'none' };
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

function readErrorWords(marker: string | undefined, last: string | undefined): string {
  const came = marker === undefined ? '' : ' It printed its marker all the same, but this point is damaged.';
  const reason = last === undefined ? '' : ` The last one: ${last}`;
  return `The machine could not read parts of its disks.${came}${reason}`;
}

function unknownReadWords(marker: string | undefined, why: string): string {
  const came = marker === undefined ? 'Its console shows a picture' : 'It printed its marker';
  return `${came}, but whether it could read all that it asked for is not known: ${why}. Start the drill again.`;
}

function endedWords(facts: BootFacts): string {
  const words = facts.lastSerialLines === '' ? 'It said nothing on its serial line.' : 'Its last words:';
  return `${facts.endedHow} after ${formatDuration(facts.elapsedMs)}. ${words} ${facts.lastSerialLines}`.trim();
}

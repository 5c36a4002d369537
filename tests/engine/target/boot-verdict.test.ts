import { inflateSync } from 'node:zlib';
import { describe, expect, test } from 'vitest';
import { type BootFacts, type FailedReads, failedReadsOf, judgeBoot } from '../../../engine/target/boot-verdict.ts';
import {
  bootFailureLine,
  encodePng,
  isBlank,
  isSamePicture,
  type Picture,
  parsePortablePixmap,
  textScreenLines,
} from '../../../engine/target/console-picture.ts';

function picture(paint: (x: number, y: number) => boolean, width = 720, height = 400): Picture {
  const pixels = Buffer.alloc(3 * width * height);
  for (let y = 0; y < height; y += 1) {
    for (let x = 0; x < width; x += 1) if (paint(x, y)) pixels.fill(0xaa, 3 * (y * width + x), 3 * (y * width + x) + 3);
  }
  return { width, height, pixels };
}
const black = picture(() => false);
const text = picture((x, y) => y < 200 && (x * 7 + y * 3) % 5 === 0);
const cursor = picture((x, y) => x < 9 && y >= 14 && y < 16);

function facts(changes: Partial<BootFacts> = {}): BootFacts {
  return {
    ending: 'limit',
    marker: undefined,
    views: [
      { picture: text, textLines: ['Debian GNU/Linux 12 vm-7 tty1', 'vm-7 login:'] },
      { picture: text, textLines: ['Debian GNU/Linux 12 vm-7 tty1', 'vm-7 login:'] },
    ],
    failedReads: { kind: 'none' },
    firmware: 'bios',
    endedHow: '',
    lastSerialLines: '',
    elapsedMs: 61_000,
    limitMs: 60_000,
    consolePicture: '/pictures/run.png',
    ...changes,
  };
}

describe('the verdict', () => {
  test('a marker verifies, whatever the screen shows', () => {
    const outcome = judgeBoot(facts({ ending: 'marker', marker: 'machine=vm-7', views: [], elapsedMs: 400 }));
    expect(outcome).toMatchObject({ kind: 'marker', verified: true, marker: 'machine=vm-7' });
  });

  test('a marker from a disk with unreadable parts does not: the point is damaged', () => {
    const outcome = judgeBoot(
      facts({ ending: 'marker', marker: 'machine=vm-7', failedReads: { kind: 'some', last: 'frame 7 was changed' } }),
    );
    expect(outcome).toMatchObject({ kind: 'failed', why: 'read-errors', marker: 'machine=vm-7' });
    expect(outcome.explanation).toContain('frame 7 was changed');
  });

  test.each([
    ['a marker', { ending: 'marker', marker: 'machine=vm-7' }],
    ['a standing picture', {}],
  ] satisfies [string, Partial<BootFacts>][])(
    '%s does not verify when nobody knows whether reads failed',
    (_, seen) => {
      const unknown = facts({ ...seen, failedReads: { kind: 'unknown', why: 'QEMU did not answer' } });
      expect(judgeBoot(unknown)).toMatchObject({ kind: 'failed', verified: false, why: 'reads-unknown' });
      // The same boot verifies once it is known: the missing knowledge alone is the reason.
      expect(judgeBoot({ ...unknown, failedReads: { kind: 'none' } })).toMatchObject({ verified: true });
    },
  );

  test('a guest that ended is reported as ended, also when nobody knows whether reads failed', () => {
    const outcome = judgeBoot(facts({ ending: 'guest-ended', failedReads: { kind: 'unknown', why: 'QEMU ended' } }));
    expect(outcome).toMatchObject({ why: 'guest-ended' });
  });

  test('a login prompt that stands still verifies by picture', () => {
    expect(judgeBoot(facts())).toMatchObject({ kind: 'picture', verified: true });
  });

  test.each([
    ['one look only', { views: facts().views.slice(1) }, 'not-settled'],
    ['no look at all', { views: [] }, 'blank'],
    ['a blank screen', { views: [black, black].map((seen) => ({ picture: seen, textLines: [] })) }, 'blank'],
    ['a screen that changes', { views: [{ picture: black, textLines: [] }, ...facts().views.slice(1)] }, 'not-settled'],
    ['UEFI firmware, which shows pictures of its own', { firmware: 'uefi' }, 'firmware-only'],
  ] satisfies [string, Partial<BootFacts>, string][])('%s verifies nothing', (_what, changes, why) => {
    expect(judgeBoot(facts(changes))).toMatchObject({ kind: 'failed', verified: false, why });
  });

  test('a guest that ended is quoted', () => {
    const outcome = judgeBoot(
      facts({ ending: 'guest-ended', endedHow: 'QEMU ended', lastSerialLines: 'no init found' }),
    );
    expect(outcome.explanation).toBe('QEMU ended after 1 min 1 s. Its last words: no init found');
  });
});

describe('failed reads', () => {
  const served = 'serving 2 disks on /tmp/nbd.sock';
  const refused = 'cannot read disk0 bytes 0+512: frame 7 was changed';
  test.each([
    ['counted and logged as none', 0, served, { kind: 'none' }],
    ['counted by QEMU alone', 1, served, { kind: 'some', last: undefined }],
    ['logged by the disk server alone', 0, `${served}\n${refused}\nended`, { kind: 'some', last: refused }],
    ['logged, and QEMU cannot be asked', 'QEMU ended', `${served}\n${refused}`, { kind: 'some', last: refused }],
    ['not logged, and QEMU cannot be asked', 'QEMU ended', served, { kind: 'unknown', why: 'QEMU ended' }],
    ['counted as none, and the log is gone', 0, '', { kind: 'unknown', why: 'the log of the disk server is gone' }],
  ] satisfies [string, number | string, string, FailedReads][])('%s', (_, counted, log, expected) => {
    expect(failedReadsOf(counted, log)).toEqual(expected);
  });
});

describe('screens that show that nothing came up', () => {
  test.each([
    [['SeaBIOS (version 1.16.2)', 'Booting from Hard Disk...'], 'Booting from Hard Disk...'],
    [
      ['SeaBIOS', 'Booting from Hard Disk...', 'Boot failed: not a bootable disk', 'No bootable device.'],
      'Boot failed: not a bootable disk',
    ],
    [['SYSLINUX 6.04 EDD'], 'SYSLINUX 6.04 EDD'],
    [['error: no such partition.', 'Entering rescue mode...', 'grub rescue>'], 'error: no such partition.'],
    [['[ 1.2] Kernel panic - not syncing: VFS', '---[ end ]---'], '[ 1.2] Kernel panic - not syncing: VFS'],
    [['You are in emergency mode.', 'Press Enter for maintenance'], 'You are in emergency mode.'],
  ])('%j', (lines, line) => {
    expect(bootFailureLine(lines)).toBe(line);
  });

  test('a boot loader’s line that others follow is no failure', () => {
    expect(bootFailureLine(['SeaBIOS', 'Booting from Hard Disk...', 'vm-7 login:'])).toBeUndefined();
  });
});

describe('pictures', () => {
  test('a screen with nothing but a cursor is blank; a line of text is not', () => {
    expect(isBlank(black)).toBe(true);
    expect(isBlank(cursor)).toBe(true);
    expect(isBlank(text)).toBe(false);
    expect(isBlank(picture((x, y) => y < 16 && x < 300 && x % 3 === 0))).toBe(false);
  });

  test('a blinking cursor makes no other picture; another size does', () => {
    const blinking = picture((x, y) => (y < 200 && (x * 7 + y * 3) % 5 === 0) || (x < 9 && y >= 398));
    expect(isSamePicture(text, blinking)).toBe(true);
    expect(isSamePicture(text, black)).toBe(false);
    expect(
      isSamePicture(
        text,
        picture(() => false, 640, 480),
      ),
    ).toBe(false);
  });

  test('what QEMU dumped is read, and cut-off dumps are refused', () => {
    const dump = Buffer.concat([Buffer.from('P6\n2 1\n255\n'), Buffer.from([1, 2, 3, 4, 5, 6])]);
    expect(parsePortablePixmap(dump)).toMatchObject({ width: 2, height: 1 });
    expect(() => parsePortablePixmap(dump.subarray(0, -1))).toThrow('no whole picture');
    expect(() => parsePortablePixmap(Buffer.from('nothing'))).toThrow('no whole picture');
  });

  test('the PNG holds the same pixels', () => {
    const png = encodePng({ width: 2, height: 2, pixels: Buffer.from([1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12]) });
    const dataStart = png.indexOf('IDAT') + 4;
    const lines = inflateSync(png.subarray(dataStart, dataStart + png.readUInt32BE(dataStart - 8)));
    expect([...lines]).toEqual([0, 1, 2, 3, 4, 5, 6, 0, 7, 8, 9, 10, 11, 12]);
  });

  test('the text screen is read from video memory', () => {
    const memory = Buffer.alloc(4000);
    for (const [index, letter] of [...'login:'].entries()) memory.write(letter, 2 * (160 + index), 'latin1');
    expect(textScreenLines(memory)).toEqual(['login:']);
  });
});

import { crc32, deflateSync } from 'node:zlib';
import { OutageError } from '../../domain/outage.ts';

/** A console's picture: three bytes a pixel, row by row. */
export type Picture = { readonly width: number; readonly height: number; readonly pixels: Buffer };

const sideMax = 16_384;

/** Reads the picture that QEMU's screendump writes (binary PPM, 8 bits a channel). */
export function parsePortablePixmap(bytes: Buffer): Picture {
  const header = /^P6\s+(\d{1,5})\s+(\d{1,5})\s+255\s/.exec(bytes.toString('latin1', 0, 64));
  const [width, height] = [Number(header?.[1] ?? 0), Number(header?.[2] ?? 0)];
  const pixels = bytes.subarray(header?.[0].length ?? 0);
  const isWhole =
    width > 0 && height > 0 && width <= sideMax && height <= sideMax && pixels.length === 3 * width * height;
  if (!isWhole) throw new OutageError('read the console picture: QEMU wrote no whole picture', { retryable: true });
  return { width, height, pixels };
}

/** True when hardly anything but one colour can be seen; a blinking cursor in a corner is still blank. */
export function isBlank(picture: Picture): boolean {
  return differingShare(picture, () => picture.pixels.readUIntBE(0, 3)) < 0.0005 || lonelyCursor(picture);
}

/** A text cursor alone: few pixels differ from the corner's colour and they lie in one character cell. */
function lonelyCursor({ width, height, pixels }: Picture): boolean {
  const background = pixels.readUIntBE(0, 3);
  let [left, right, top, bottom] = [width, -1, height, -1];
  for (let index = 0; index < width * height; index += 1) {
    if (pixels.readUIntBE(3 * index, 3) === background) continue;
    const [x, y] = [index % width, Math.floor(index / width)];
    [left, right, top, bottom] = [Math.min(left, x), Math.max(right, x), Math.min(top, y), Math.max(bottom, y)];
  }
  return right - left < 10 && bottom - top < 17;
}

/** Pictures count as the same when up to 2 % of their pixels differ: a clock or a blinking cursor is no progress. */
export function isSamePicture(a: Picture, b: Picture): boolean {
  if (a.width !== b.width || a.height !== b.height) return false;
  return differingShare(a, (index) => b.pixels.readUIntBE(3 * index, 3)) <= 0.02;
}

function differingShare(picture: Picture, expected: (index: number) => number): number {
  const count = picture.width * picture.height;
  let differing = 0;
  for (let index = 0; index < count; index += 1) {
    if (picture.pixels.readUIntBE(3 * index, 3) !== expected(index)) differing += 1;
  }
  return differing / count;
}

/** The picture as PNG, made here so that the kept picture is the one that was judged. Source: W3C PNG, RFC 2083 */
export function encodePng({ width, height, pixels }: Picture): Buffer {
  const header = Buffer.alloc(13);
  header.writeUInt32BE(width, 0);
  header.writeUInt32BE(height, 4);
  // 8 bits a channel, red-green-blue; compression, filter and interlace methods 0.
  header.set([8, 2, 0, 0, 0], 8);
  const lineBytes = 3 * width;
  const lines = Buffer.alloc(height * (lineBytes + 1));
  for (let y = 0; y < height; y += 1) {
    // The byte before each line names its filter: none.
    pixels.copy(lines, y * (lineBytes + 1) + 1, y * lineBytes, (y + 1) * lineBytes);
  }
  const signature = Buffer.from('89504e470d0a1a0a', 'hex');
  return Buffer.concat([
    signature,
    pngChunk('IHDR', header),
    pngChunk('IDAT', deflateSync(lines)),
    pngChunk('IEND', Buffer.alloc(0)),
  ]);
}

function pngChunk(type: string, data: Buffer): Buffer {
  const body = Buffer.concat([Buffer.from(type, 'latin1'), data]);
  const ends = Buffer.alloc(8);
  ends.writeUInt32BE(data.length, 0);
  ends.writeUInt32BE(crc32(body), 4);
  return Buffer.concat([ends.subarray(0, 4), body, ends.subarray(4)]);
}

/** True when the picture is that of the 80 x 25 text mode, whose characters can be read from video memory. */
export function isTextMode({ width, height }: Picture): boolean {
  return width === 720 && height === 400;
}

export const textScreenBytes = 80 * 25 * 2;

/** The lines of the text screen from video memory (a character and an attribute byte per cell), trimmed, empty ones left out. */
export function textScreenLines(videoMemory: Buffer): string[] {
  const characters = Buffer.from(videoMemory.subarray(0, textScreenBytes).filter((_byte, index) => index % 2 === 0));
  const text = characters.toString('latin1').replace(/[^\x20-\x7e]/g, ' ');
  const lines = Array.from({ length: 25 }, (_, row) => text.slice(80 * row, 80 * row + 80).trimEnd());
  return lines.filter((line) => line !== '');
}

/** What firmware, boot loaders and kernels print when they cannot go on. */
const failureWords =
  /no bootable device|boot failed|missing operating system|operating system not found|bootmgr is missing|grub rescue>|no such partition|kernel panic|\(initramfs\)|emergency mode|isolinux.*(error|failed)|boot error|unable to mount root|disk read error|disk error/i;

/** The line that says that the boot failed, or the firmware's or boot loader's when it is the last; undefined when there is none. */
export function bootFailureLine(lines: readonly string[]): string | undefined {
  const failure = lines.find((line) => failureWords.test(line));
  if (failure !== undefined) return failure;
  const last = lines.at(-1);
  return last !== undefined &&
    /^(SeaBIOS|iPXE|Booting from |SYSLINUX |ISOLINUX |EXTLINUX |GRUB loading|Welcome to GRUB|LILO )/.test(last)
    ? last
    : undefined;
}

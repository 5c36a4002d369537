import { execFile } from 'node:child_process';
import { createCipheriv, createHash } from 'node:crypto';
import { mkdir, open, readFile, rm } from 'node:fs/promises';
import path from 'node:path';
import { promisify } from 'node:util';
import { invariant } from '../../domain/invariant.ts';

/** What a demo guest's disks are made of. Source of the layout: writer.S */
export type GuestDiskRequest = {
  readonly folder: string;
  /** Shown by the guest on its screen and serial line; at most 31 ASCII characters. */
  readonly machineName: string;
  /** One or two disks; `filledBytes` of each hold deterministic, half compressible data from 2 MiB on. */
  readonly disks: readonly { readonly sizeBytes: number; readonly filledBytes: number }[];
  readonly format: 'raw' | 'qcow2';
  /** BIOS ticks (55 ms) per round of counter writes; 0: as fast as it can. Default 5, about four rounds a second. */
  readonly ticksPerRound?: number;
  /** Only say the marker, then halt: for tests of booting. Default false. */
  readonly stopAfterMarker?: boolean;
};

export type GuestDisk = {
  readonly path: string;
  readonly format: 'raw' | 'qcow2';
  readonly sizeBytes: number;
};

const sectorBytes = 512;
const configOffsetBytes = 64 * sectorBytes;
/** Where each disk keeps its counter. */
export const counterOffsetBytes = 2048 * sectorBytes;
const fillOffsetBytes = 4096 * sectorBytes;
const smallestDiskBytes = 8 * 1024 * 1024;
const chunkBytes = 4 * 1024 * 1024;
const pieceBytes = 4096;
const counterMagic = 'LIFEBOAT-COUNTER';

/** Makes `disk0.raw`, `disk1.raw` (or `.qcow2`) in the folder, replacing what was there. */
export async function makeGuestDisks(request: GuestDiskRequest): Promise<GuestDisk[]> {
  invariant(/^[!-~]{1,31}$/.test(request.machineName), 'a guest name has 1 to 31 printable characters');
  await mkdir(request.folder, { recursive: true });
  const made: GuestDisk[] = [];
  for (const [index, disk] of request.disks.entries()) {
    invariant(disk.sizeBytes >= smallestDiskBytes, `a guest disk has at least ${smallestDiskBytes} bytes`);
    const target = path.join(request.folder, `disk${index}.${request.format}`);
    const rawPath = request.format === 'raw' ? target : `${target}.making`;
    await writeRawDisk(rawPath, request, index);
    if (request.format === 'qcow2') await convertToQcow2(rawPath, target);
    made.push({ path: target, format: request.format, sizeBytes: disk.sizeBytes });
  }
  return made;
}

async function writeRawDisk(rawPath: string, request: GuestDiskRequest, index: number): Promise<void> {
  // The caller loops over the disks, so this index has one.
  const { sizeBytes, filledBytes } = request.disks[index]!;
  const file = await open(rawPath, 'w');
  try {
    await file.truncate(sizeBytes);
    if (index === 0) {
      await file.write(await readFile(new URL('writer.bin', import.meta.url)), 0, undefined, 0);
      await file.write(configSector(request), 0, undefined, configOffsetBytes);
    }
    const fillEndBytes = Math.min(sizeBytes, fillOffsetBytes + filledBytes);
    const fill = pseudoData(`${request.machineName} ${index}`);
    for (let offset = fillOffsetBytes; offset < fillEndBytes; offset += chunkBytes) {
      await file.write(fill(offset), 0, Math.min(chunkBytes, fillEndBytes - offset), offset);
    }
  } finally {
    await file.close();
  }
}

function configSector(request: GuestDiskRequest): Buffer {
  const sector = Buffer.alloc(sectorBytes);
  sector.write('LIFEBOAT-CONFIG\0', 0, 'latin1');
  sector.write(request.machineName, 16, 'latin1');
  sector.writeUInt8(request.ticksPerRound ?? 5, 48);
  sector.writeUInt8(request.stopAfterMarker === true ? 1 : 0, 49);
  return sector;
}

/** Pieces of 4 KiB, half of them key stream and half one repeated sentence, so that they compress to about a half. */
function pseudoData(seed: string): (offsetBytes: number) => Buffer {
  const key = createHash('sha256').update(seed).digest();
  const cipher = createCipheriv('aes-256-ctr', key, Buffer.alloc(16));
  const zeros = Buffer.alloc(chunkBytes / 2);
  const chunk = Buffer.alloc(chunkBytes, `Lifeboat demo data of ${seed}: the quick boat rows to the calm harbour. `);
  return (offsetBytes) => {
    const noise = cipher.update(zeros);
    for (let at = 0; at < chunkBytes; at += pieceBytes) {
      noise.copy(chunk, at, at / 2, at / 2 + pieceBytes / 2);
      // Makes each piece's compressible half different too.
      chunk.writeDoubleBE(offsetBytes + at, at + pieceBytes / 2);
    }
    return chunk;
  };
}

async function convertToQcow2(rawPath: string, target: string): Promise<void> {
  await promisify(execFile)('qemu-img', ['convert', '-f', 'raw', '-O', 'qcow2', rawPath, target]);
  await rm(rawPath);
}

/** The number in a counter sector; 0 when the guest has not written one yet. */
export function guestCounter(sector: Buffer): number {
  return sector.toString('latin1', 0, counterMagic.length) === counterMagic ? sector.readUInt32LE(16) : 0;
}

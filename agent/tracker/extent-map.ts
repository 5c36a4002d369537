import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { alignExtents, type Extent } from '../../domain/extent.ts';
import { OutageError } from '../../domain/outage.ts';

/** A run of a file's bytes and where the file system keeps it. */
export type MappedExtent = {
  readonly offsetBytes: number;
  readonly lengthBytes: number;
  readonly physicalBytes: number;
  /** The place says all about the content: written, not compressed, not inline, not waiting for a place. */
  readonly isPlain: boolean;
};

const mapUnitBytes = 4096;
const plainFlags = new Set(['last', 'eof', 'shared', 'merged']);
/** More runs than this are not worth comparing: the file is scanned instead. */
const extentsMax = 4_000_000;
const line = /^\s*\d+:\s+(\d+)\.\.\s*\d+:\s+(\d+)\.\.\s*\d+:\s+(\d+):(.*)$/;

/**
 * Asks the file system where a file's data lies (FIEMAP, by way of `filefrag`), after writing it out.
 *
 * @returns runs in ascending order; what is not in them is a hole
 * @throws OutageError when the file system cannot say
 */
export async function readExtentMap(file: string): Promise<MappedExtent[]> {
  const child = spawn('filefrag', ['-s', '-v', '-e', `-b${mapUnitBytes}`, file], { stdio: ['ignore', 'pipe', 'pipe'] });
  const ended = once(child, 'close');
  const extents: MappedExtent[] = [];
  const problems: string[] = [];
  child.stderr.on('data', (chunk: Buffer) => problems.length < 10 && problems.push(chunk.toString()));
  try {
    for await (const text of createInterface({ input: child.stdout })) {
      const extent = parseExtentLine(text);
      if (extent !== undefined) extents.push(extent);
      if (extents.length > extentsMax) throw new OutageError(`${file} is in too many pieces`, { retryable: false });
    }
    const [code] = await ended;
    if (code !== 0 || problems.length > 0) throw new Error(problems.join('').trim() || `filefrag ended with ${code}`);
  } catch (cause) {
    child.kill();
    throw new OutageError(`read the extent map of ${file}`, { cause, retryable: false });
  }
  return extents;
}

/** One line of `filefrag -v -e -b4096`; undefined for its headings. */
export function parseExtentLine(text: string): MappedExtent | undefined {
  const found = line.exec(text);
  if (found === null) return undefined;
  const [, logical, physical, length, rest = ''] = found;
  const flags = (rest.split(':').at(-1) ?? '').trim().split(',');
  return {
    offsetBytes: Number(logical) * mapUnitBytes,
    physicalBytes: Number(physical) * mapUnitBytes,
    lengthBytes: Number(length) * mapUnitBytes,
    isPlain: flags.every((flag) => flag === '' || plainFlags.has(flag)),
  };
}

/**
 * Where two clones of one file may differ. Both exist, so a place that both name holds the same data.
 *
 * In doubt (a run that is not plain in either) it counts as changed. A hole in both is equal.
 */
export function changedExtents(
  before: readonly MappedExtent[],
  after: readonly MappedExtent[],
  sizeBytes: number,
): Extent[] {
  const edges = new Set<number>();
  for (const extent of [...before, ...after]) {
    edges.add(extent.offsetBytes);
    edges.add(extent.offsetBytes + extent.lengthBytes);
  }
  const cuts = [...edges].sort((a, b) => a - b);
  const changed: Extent[] = [];
  const oldRuns = walker(before);
  const newRuns = walker(after);
  for (const [index, offsetBytes] of cuts.slice(0, -1).entries()) {
    const lengthBytes = (cuts[index + 1] ?? offsetBytes) - offsetBytes;
    if (!samePlace(oldRuns(offsetBytes), newRuns(offsetBytes))) changed.push({ offsetBytes, lengthBytes });
  }
  return alignExtents(changed, sizeBytes);
}

/** Looks up the run at an offset; offsets must ascend from call to call. */
function walker(extents: readonly MappedExtent[]): (offsetBytes: number) => MappedExtent | undefined {
  let index = 0;
  return (offsetBytes) => {
    let extent = extents[index];
    while (extent !== undefined && extent.offsetBytes + extent.lengthBytes <= offsetBytes) extent = extents[++index];
    return extent !== undefined && extent.offsetBytes <= offsetBytes ? extent : undefined;
  };
}

function samePlace(before: MappedExtent | undefined, after: MappedExtent | undefined): boolean {
  if (before === undefined || after === undefined) return before === after;
  if (!before.isPlain || !after.isPlain) return false;
  return before.physicalBytes - before.offsetBytes === after.physicalBytes - after.offsetBytes;
}

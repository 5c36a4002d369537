/** A run of bytes of one disk: `[offsetBytes, offsetBytes + lengthBytes)`. */
export type Extent = { readonly offsetBytes: number; readonly lengthBytes: number };

/** The tracked block: every change is rounded out to whole blocks of this size. Source: REPLICATION 1 (64 KiB). */
export const blockBytes = 65_536;

/** How many blocks a disk has; the last one may be short. */
export function blockCount(diskBytes: number): number {
  return Math.ceil(diskBytes / blockBytes);
}

/**
 * The smallest list of extents that covers the same bytes: sorted, non-overlapping, adjacent ones joined.
 *
 * @param extents in any order; they may overlap; empty ones are dropped
 */
export function mergeExtents(extents: readonly Extent[]): Extent[] {
  const sorted = extents.filter((extent) => extent.lengthBytes > 0).sort((a, b) => a.offsetBytes - b.offsetBytes);
  const merged: Extent[] = [];
  for (const extent of sorted) {
    const last = merged.at(-1);
    if (last === undefined || last.offsetBytes + last.lengthBytes < extent.offsetBytes) {
      merged.push(extent);
      continue;
    }
    const end = Math.max(last.offsetBytes + last.lengthBytes, extent.offsetBytes + extent.lengthBytes);
    merged[merged.length - 1] = { offsetBytes: last.offsetBytes, lengthBytes: end - last.offsetBytes };
  }
  return merged;
}

/** Rounds extents out to whole blocks of the disk, clipped to its end, and merges them. */
export function alignExtents(extents: readonly Extent[], diskBytes: number): Extent[] {
  const aligned = extents
    .filter((extent) => extent.lengthBytes > 0 && extent.offsetBytes < diskBytes)
    .map((extent) => {
      const start = Math.floor(extent.offsetBytes / blockBytes) * blockBytes;
      const end = Math.ceil((extent.offsetBytes + extent.lengthBytes) / blockBytes) * blockBytes;
      return { offsetBytes: start, lengthBytes: Math.min(end, diskBytes) - start };
    });
  return mergeExtents(aligned);
}

/** The sum of the extents' lengths; they must not overlap. */
export function totalBytes(extents: readonly Extent[]): number {
  return extents.reduce((sum, extent) => sum + extent.lengthBytes, 0);
}

import { mebibyte } from '../../domain/units.ts';
import type { DiskReader } from '../vault/vault.ts';

type Piece = { readonly offsetBytes: number; readonly lengthBytes: number };

const pieceBytes = mebibyte;
/** Enough reads at once that decryption, decompression and the store's latency overlap. */
const readsAtOnce = 8;

/**
 * Reads all stored bytes of a disk, several pieces at a time, and hands each piece over as it comes, in no order.
 *
 * The first failure ends it: pieces under way are awaited, nothing more is begun, and the failure is thrown.
 */
export async function readStoredPieces(
  reader: DiskReader,
  take: (data: Buffer, offsetBytes: number) => Promise<void>,
): Promise<void> {
  const pieces = piecesOf(reader.allocated());
  let failure: { error: unknown } | undefined;
  const work = async () => {
    for (const piece of pieces) {
      if (failure !== undefined) return;
      try {
        await take(await reader.read(piece.offsetBytes, piece.lengthBytes), piece.offsetBytes);
      } catch (error) {
        failure ??= { error };
      }
    }
  };
  await Promise.all(Array.from({ length: readsAtOnce }, work));
  if (failure !== undefined) throw failure.error;
}

/** Pieces begin at multiples of their size, so that each of the vault's frames is opened once. */
function* piecesOf(runs: readonly Piece[]): Generator<Piece> {
  for (const run of runs) {
    const end = run.offsetBytes + run.lengthBytes;
    for (let at = run.offsetBytes; at < end; ) {
      const next = Math.min(end, (Math.floor(at / pieceBytes) + 1) * pieceBytes);
      yield { offsetBytes: at, lengthBytes: next - at };
      at = next;
    }
  }
}

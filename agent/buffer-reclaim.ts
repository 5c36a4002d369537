import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';

/**
 * Frees buffers that nobody holds any more.
 *
 * A scan reads the whole disk through short-lived buffers outside V8's heap. V8 collects them only when some 100 MiB have gathered,
 * because its own heap hardly grows meanwhile; on a protected machine that memory is not ours to waste. A minor collection takes about a
 * millisecond. Measured over 2 GiB: 276 MiB of resident memory without it.
 */
export const reclaimBuffers: () => void = collector();

function collector(): () => void {
  setFlagsFromString('--expose-gc');
  const collect: unknown = runInNewContext('gc');
  if (typeof collect !== 'function') return () => undefined;
  return () => void collect({ type: 'minor' });
}

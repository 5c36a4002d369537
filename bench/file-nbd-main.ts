import { closeSync, fstatSync, openSync, readSync } from 'node:fs';
import { exportOf } from '../engine/target/nbd-export.ts';
import { startNbdServer } from '../engine/target/nbd-server.ts';
import type { DiskReader } from '../engine/vault/vault.ts';

/** Our NBD server with a plain file behind it instead of a vault: what the server itself costs. `<image> <socket>` */
const [imagePath = '', socketPath = ''] = process.argv.slice(2);
const file = openSync(imagePath, 'r');
const { size: sizeBytes } = fstatSync(file);
const reader: DiskReader = {
  sizeBytes,
  async read(offsetBytes, lengthBytes, allocate = Buffer.allocUnsafe) {
    // The image is in the page cache: handing the read to a thread would cost more than the read itself.
    const buffer = allocate(lengthBytes);
    readSync(file, buffer, 0, lengthBytes, offsetBytes);
    return buffer;
  },
  allocated: () => [{ offsetBytes: 0, lengthBytes: sizeBytes }],
  close: async () => closeSync(file),
};
const server = await startNbdServer({
  socketPath,
  exports: [exportOf('', reader)],
  onReadError: (error) => console.error(error),
  onClientError: (error) => console.error(error),
});
process.once('SIGTERM', () => void server.close().then(() => process.exit(0)));

import { DefaultAzureCredential } from '@azure/identity';
import { ContainerClient, RestError, type StoragePipelineOptions } from '@azure/storage-blob';
import { OutageError } from '../../domain/outage.ts';
import type { BlobStore, ByteRange } from './blob-store.ts';

/** Which container: in Azure by the identity of this program, or anywhere (Azurite) by a connection string. */
export type AzureContainer =
  | { readonly kind: 'identity'; readonly containerUrl: string }
  | { readonly kind: 'connection-string'; readonly connectionString: string; readonly container: string };

const tryTimeoutMs = 60_000;
const triesMax = 4;
const pipeline: StoragePipelineOptions = {
  retryOptions: { maxTries: triesMax, tryTimeoutInMs: tryTimeoutMs, retryDelayInMs: 500, maxRetryDelayInMs: 8_000 },
};
/** Larger blobs go up in blocks, a few at a time; they are committed at once, so never seen in part. */
const singleUploadBytesMax = 67_108_864;
const uploadBlockBytes = 8_388_608;
const uploadsAtOnce = 4;

/** A vault in a container of Azure Blob Storage: each blob a block blob, written once (`If-None-Match: *`). */
export function openAzureBlobStore(place: AzureContainer): BlobStore {
  const client = clientOf(place);
  // The query of the URL may carry a signature: it is never shown.
  const description = client.url.split('?')[0] ?? '';
  return {
    description,
    put: (name, content) => put(client, name, content),
    get: (name, range) => get(client, name, range),
    head: (name) => head(client, name),
    list: (prefix) => list(client, prefix),
    delete: (name) => remove(client, name),
    check: () => check(client, description),
  };
}

/** Makes the container when it is missing (a new vault). */
export async function createAzureContainer(place: AzureContainer): Promise<void> {
  const client = clientOf(place);
  await attempt('create the container', async () => client.createIfNotExists());
}

function clientOf(place: AzureContainer): ContainerClient {
  return place.kind === 'identity'
    ? new ContainerClient(place.containerUrl, new DefaultAzureCredential(), pipeline)
    : new ContainerClient(place.connectionString, place.container, pipeline);
}

async function put(
  client: ContainerClient,
  name: string,
  content: readonly Uint8Array[],
): Promise<'created' | 'exists'> {
  return attempt(`write the blob ${name}`, async () => {
    try {
      await client.getBlockBlobClient(name).uploadData(Buffer.concat(content), {
        conditions: { ifNoneMatch: '*' },
        maxSingleShotSize: singleUploadBytesMax,
        blockSize: uploadBlockBytes,
        concurrency: uploadsAtOnce,
      });
      return 'created';
    } catch (error) {
      // A repeated try after an answer that was lost lands here too; the caller reads the blob then, and knows its own.
      if (isTaken(error)) return 'exists';
      throw error;
    }
  });
}

async function get(client: ContainerClient, name: string, range?: ByteRange): Promise<Buffer | undefined> {
  if (range?.lengthBytes === 0) return (await head(client, name)) === undefined ? undefined : Buffer.alloc(0);
  const blob = client.getBlockBlobClient(name);
  return attempt(`read the blob ${name}`, async () => {
    try {
      const answer = await blob.download(range?.offsetBytes ?? 0, range?.lengthBytes, { maxRetryRequests: triesMax });
      const wanted = range?.lengthBytes ?? answer.contentLength ?? 0;
      const bytes = await bodyOf(answer.readableStreamBody, wanted);
      if (bytes.length !== wanted) throw pastEnd(name, range);
      return bytes;
    } catch (error) {
      if (isAbsent(error)) return undefined;
      if (error instanceof RestError && error.statusCode === 416) throw pastEnd(name, range);
      throw error;
    }
  });
}

async function bodyOf(stream: NodeJS.ReadableStream | undefined, wantedBytes: number): Promise<Buffer> {
  const pieces: Buffer[] = [];
  let length = 0;
  for await (const piece of stream ?? []) {
    const bytes = Buffer.from(piece);
    length += bytes.length;
    if (length > wantedBytes) throw new OutageError('read a blob: it is longer than announced', { retryable: true });
    pieces.push(bytes);
  }
  return Buffer.concat(pieces);
}

function pastEnd(name: string, range?: ByteRange): OutageError {
  const { offsetBytes, lengthBytes } = range ?? { offsetBytes: 0, lengthBytes: 0 };
  return new OutageError(`read ${lengthBytes} bytes at ${offsetBytes} of ${name}: the blob ends before`, {
    retryable: false,
    nextStep: 'The blob was cut short. Run a full verification of the vault.',
  });
}

async function head(client: ContainerClient, name: string): Promise<{ sizeBytes: number } | undefined> {
  return attempt(`look for the blob ${name}`, async () => {
    try {
      const { contentLength } = await client.getBlockBlobClient(name).getProperties();
      return { sizeBytes: contentLength ?? 0 };
    } catch (error) {
      if (isAbsent(error)) return undefined;
      throw error;
    }
  });
}

/** The service lists names in ascending order; a page has up to 5,000. */
async function* list(client: ContainerClient, prefix: string): AsyncGenerator<{ name: string; sizeBytes: number }> {
  const blobs = client.listBlobsFlat({ prefix })[Symbol.asyncIterator]();
  while (true) {
    const { done, value } = await attempt(`list the blobs ${prefix}`, () => blobs.next());
    if (done === true) return;
    yield { name: value.name, sizeBytes: value.properties.contentLength ?? 0 };
  }
}

async function remove(client: ContainerClient, name: string): Promise<'deleted' | 'absent'> {
  return attempt(`delete the blob ${name}`, async () => {
    const { succeeded } = await client.getBlockBlobClient(name).deleteIfExists();
    return succeeded ? 'deleted' : 'absent';
  });
}

/** Shows account, network and the right to read; the right to write shows with the first blob. */
async function check(client: ContainerClient, description: string): Promise<void> {
  const found = await attempt(`open the container ${description}`, () => client.exists());
  if (found) return;
  throw new OutageError(`open the container ${description}: there is none`, {
    retryable: true,
    nextStep: 'Create the container, or correct its URL.',
  });
}

function isTaken(error: unknown): boolean {
  // 409 BlobAlreadyExists from the service, 412 when a commit of blocks finds the name taken.
  return error instanceof RestError && (error.code === 'BlobAlreadyExists' || error.statusCode === 412);
}

function isAbsent(error: unknown): boolean {
  return error instanceof RestError && error.statusCode === 404 && error.code !== 'ContainerNotFound';
}

async function attempt<Result>(what: string, action: () => Promise<Result>): Promise<Result> {
  try {
    return await action();
  } catch (error) {
    throw error instanceof OutageError ? error : outage(what, error);
  }
}

/** Only status and code are kept of the service's error: its request could show a signature. */
function outage(what: string, error: unknown): OutageError {
  if (!(error instanceof RestError)) {
    const cause = new Error(error instanceof Error ? `${error.name}: ${withoutQuery(error.message)}` : 'unknown');
    return new OutageError(what, { cause, retryable: true, nextStep: networkStep });
  }
  const status = error.statusCode ?? 0;
  const cause = new Error(`${error.code ?? 'no code'} (HTTP ${status || 'none'})`);
  const forbidden = status === 401 || status === 403;
  const retryable = !forbidden && status !== 400;
  return new OutageError(what, { cause, retryable, nextStep: forbidden ? accessStep : networkStep });
}

const networkStep = 'Check the network to the storage account, and its state in Azure.';
const accessStep = 'Give this program’s identity the role "Storage Blob Data Contributor" on the container.';

function withoutQuery(message: string): string {
  return message.replace(/\?[^\s"']*/g, '?…');
}

/**
 * Where a vault's blobs are kept: a directory or Azure Blob Storage. Everything above it sees only this.
 *
 * Names are relative paths of `[a-zA-Z0-9._-]` parts joined by `/`, made by our own code from ids and numbers.
 * A blob is written once and never changed. Every implementation passes tests/engine/vault/blob-store-suite.ts.
 */
export type BlobStore = {
  /** For people and errors: the directory's path, or the container's URL without any secret. */
  readonly description: string;
  /**
   * Writes a blob that must not exist yet. After it resolves the blob survives a power cut (as far as the store can promise).
   * `exists` means that the name was taken; the stored bytes are unchanged.
   */
  put(name: string, content: readonly Uint8Array[]): Promise<'created' | 'exists'>;
  /** The whole blob or a range of it; undefined when there is no such blob. A range past the end is an OutageError. */
  get(name: string, range?: ByteRange): Promise<Buffer | undefined>;
  /** The blob's size; undefined when there is no such blob. */
  head(name: string): Promise<{ readonly sizeBytes: number } | undefined>;
  /** All blobs whose name starts with the prefix, in ascending order of name (byte order). */
  list(prefix: string): AsyncIterable<{ readonly name: string; readonly sizeBytes: number }>;
  delete(name: string): Promise<'deleted' | 'absent'>;
  /** Throws an OutageError with a next step when the store cannot be read and written now. */
  check(): Promise<void>;
};

export type ByteRange = { readonly offsetBytes: number; readonly lengthBytes: number };

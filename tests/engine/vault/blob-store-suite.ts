import { randomBytes } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { OutageError } from '../../../domain/outage.ts';
import type { BlobStore } from '../../../engine/vault/blob-store.ts';

/** What every blob store must do. @param open makes a new, empty store */
export function blobStoreSuite(
  kind: string,
  open: () => Promise<{ store: BlobStore; close: () => Promise<void> }>,
): void {
  describe(`a blob store on ${kind}`, () => {
    let store: BlobStore;
    let close: () => Promise<void>;
    beforeAll(async () => {
      ({ store, close } = await open());
    });
    afterAll(() => close());

    it('gives back what was put, in pieces and whole', async () => {
      const pieces = [randomBytes(10), Buffer.alloc(0), randomBytes(100_000), randomBytes(1)];
      expect(await store.put('a/whole.bin', pieces)).toBe('created');
      const whole = Buffer.concat(pieces);
      expect(await store.get('a/whole.bin')).toEqual(whole);
      expect(await store.get('a/whole.bin', { offsetBytes: 5, lengthBytes: 50_000 })).toEqual(
        whole.subarray(5, 50_005),
      );
      expect(await store.get('a/whole.bin', { offsetBytes: 100_010, lengthBytes: 1 })).toEqual(whole.subarray(100_010));
      expect(await store.head('a/whole.bin')).toEqual({ sizeBytes: 100_011 });
    });

    it('keeps a blob of many thousand pieces and an empty blob', async () => {
      const pieces = Array.from({ length: 5_000 }, (_, index) => Buffer.from(`${index},`));
      await store.put('a/pieces', pieces);
      expect(await store.get('a/pieces')).toEqual(Buffer.concat(pieces));
      await store.put('a/empty', []);
      expect(await store.get('a/empty')).toHaveLength(0);
    });

    it('never replaces a blob', async () => {
      await store.put('b/once', [Buffer.from('first')]);
      expect(await store.put('b/once', [Buffer.from('second, longer')])).toBe('exists');
      expect((await store.get('b/once'))?.toString()).toBe('first');
    });

    it('lets exactly one of many writers at the same name win', async () => {
      const outcomes = await Promise.all(
        Array.from({ length: 8 }, (_, writer) => store.put('b/race', [Buffer.alloc(70_000, writer + 1)])),
      );
      expect(outcomes.filter((outcome) => outcome === 'created')).toHaveLength(1);
      const winner = outcomes.indexOf('created') + 1;
      expect(await store.get('b/race')).toEqual(Buffer.alloc(70_000, winner));
    });

    it('says that a blob is absent without an error', async () => {
      expect(await store.get('c/nothing')).toBeUndefined();
      expect(await store.get('c/nothing', { offsetBytes: 3, lengthBytes: 3 })).toBeUndefined();
      expect(await store.head('c/nothing')).toBeUndefined();
      expect(await store.delete('c/nothing')).toBe('absent');
    });

    it('refuses a range past the end with an outage', async () => {
      await store.put('c/short', [Buffer.from('12345')]);
      await expect(store.get('c/short', { offsetBytes: 3, lengthBytes: 3 })).rejects.toThrow(OutageError);
      await expect(store.get('c/short', { offsetBytes: 9, lengthBytes: 1 })).rejects.toThrow(OutageError);
    });

    it('lists by prefix in byte order, with sizes', async () => {
      const names = ['d/b/2', 'd/b/10', 'd/b-x', 'd/b.y', 'd/a', 'd/B', 'd/bb/1', 'dd/z', 'd/b/sub/deep'];
      for (const [index, name] of names.entries()) await store.put(name, [Buffer.alloc(index)]);
      expect(await namesUnder(store, 'd/')).toEqual(names.filter((name) => name.startsWith('d/')).sort());
      expect(await namesUnder(store, 'd/b')).toEqual(names.filter((name) => name.startsWith('d/b')).sort());
      expect(await namesUnder(store, 'd/b/')).toEqual(['d/b/10', 'd/b/2', 'd/b/sub/deep']);
      expect(await namesUnder(store, 'nowhere/')).toEqual([]);
      for await (const { name, sizeBytes } of store.list('d/b/sub/'))
        expect([name, sizeBytes]).toEqual(['d/b/sub/deep', 8]);
    });

    it('deletes once; the name is free again afterwards', async () => {
      await store.put('e/gone', [Buffer.from('x')]);
      expect(await store.delete('e/gone')).toBe('deleted');
      expect(await store.delete('e/gone')).toBe('absent');
      expect(await namesUnder(store, 'e/')).toEqual([]);
      expect(await store.put('e/gone', [Buffer.from('y')])).toBe('created');
    });

    it('is found in order by its check', async () => {
      await expect(store.check()).resolves.toBeUndefined();
      expect(store.description).not.toMatch(/AccountKey|sig=/);
    });
  });
}

async function namesUnder(store: BlobStore, prefix: string): Promise<string[]> {
  const names: string[] = [];
  for await (const { name } of store.list(prefix)) names.push(name);
  return names;
}

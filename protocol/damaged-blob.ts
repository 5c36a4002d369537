import { OutageError } from '../domain/outage.ts';

/** How stored bytes differ from what was written; the words that a vault's report uses too. */
export type Damage = 'missing' | 'truncated' | 'changed' | 'swapped' | 'rolled-back' | 'unsigned' | 'unreadable';

/** Stored bytes are not what was written: they are never used, only reported. */
export class DamagedBlobError extends OutageError {
  readonly damage: Damage;
  /** The blob that is damaged, when it is another one than that which was being read (a disk's key). */
  readonly blob: string | undefined;

  constructor(damage: Damage, message: string, options: { cause?: unknown; nextStep?: string; blob?: string } = {}) {
    super(message, {
      cause: options.cause,
      retryable: false,
      nextStep:
        options.nextStep ??
        'Run a full verification of the vault; the points that need this blob cannot be used, older or newer ones may.',
    });
    this.name = 'DamagedBlobError';
    this.damage = damage;
    this.blob = options.blob;
  }
}

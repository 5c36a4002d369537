/**
 * Something outside our code did not do its part: a disk, a network, a database, a hypervisor, a wrong file.
 *
 * The message says what was being done to what; the cause is in `cause`, never repeated in the message;
 * `nextStep` tells a person what to do next, when we know.
 */
export class OutageError extends Error {
  readonly retryable: boolean;
  readonly nextStep: string | undefined;

  constructor(message: string, options: { cause?: unknown; retryable: boolean; nextStep?: string }) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.name = 'OutageError';
    this.retryable = options.retryable;
    this.nextStep = options.nextStep;
  }
}

/** The chain of messages from an error down to its first cause, outermost first; what logs and people are shown. */
export function describeCauses(error: unknown, depthMax = 8): string {
  const messages: string[] = [];
  let current = error;
  while (current !== undefined && current !== null && messages.length < depthMax) {
    const message = current instanceof Error ? current.message || current.name : String(current);
    messages.push(message);
    current = current instanceof Error ? current.cause : undefined;
  }
  return messages.join(': ');
}

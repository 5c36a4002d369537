import { describeCauses, type OutageError } from '../../domain/outage.ts';

/** Why nothing is known of the site, for somebody who looks at it: the first cause only, because it stands at the top of the page. */
export function outageWords(error: OutageError): string {
  let cause: unknown = error;
  while (cause instanceof Error && cause.cause !== undefined) cause = cause.cause;
  return `The engine cannot be asked: ${describeCauses(cause).slice(0, 160)}`;
}

import { randomBytes } from 'node:crypto';
import { type Id, type IdKind, idBodyLength, idFromBytes } from '../../domain/ids.ts';

/** A fresh id of that kind. */
export function newId<Kind extends IdKind>(kind: Kind): Id<Kind> {
  return idFromBytes(kind, randomBytes(idBodyLength));
}

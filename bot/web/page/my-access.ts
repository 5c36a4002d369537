import { type AccessRequest, decideAccess, grantWords, roleNeeded } from '../../../domain/access.ts';
import type { MachineView } from '../../../protocol/control-api.ts';
import type { Me } from '../wire.ts';

/**
 * Why this person may not do it, by the rule that the engine uses too: `You are a viewer: an operator may do this.` Undefined when they may, and when
 * the page does not know. Only a hint: the engine decides.
 */
export function whyNotMine(
  me: Me | undefined,
  request: AccessRequest,
  machine: Pick<MachineView, 'name' | 'tags'>,
): string | undefined {
  if (me?.grants === undefined) return undefined;
  const { name, tags } = machine;
  if (decideAccess(me.grants, request, { name, tags }).kind === 'allowed') return undefined;
  const needed = withArticle(roleNeeded[request]);
  // Who has the role for other machines has to know that it is about this one.
  const where = decideAccess(me.grants, request).kind === 'allowed' ? ` for ${name}` : '';
  return `${roleWords(me.grants)}: ${needed}${where} may do this.`;
}

const shownGrantsMax = 3;

function roleWords(grants: NonNullable<Me['grants']>): string {
  if (grants.length === 0) return 'You have no role yet';
  const words = grants.slice(0, shownGrantsMax).map((grant) => withArticle(grantWords(grant)));
  const more = grants.length - words.length;
  return `You are ${words.join(', ')}${more > 0 ? ` and ${more} more` : ''}`;
}

/** @param words that begin with a role */
function withArticle(words: string): string {
  return `${/^[aeiou]/.test(words) ? 'an' : 'a'} ${words}`;
}

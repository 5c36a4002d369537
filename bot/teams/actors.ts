import { createHash } from 'node:crypto';
import type { ChatActor } from '../../protocol/chat-api.ts';
import { type InboundActivity, type RosterMember, tenantOf } from './activity.ts';
import type { BotFramework } from './bot-framework.ts';
import { ConnectorError } from './connector-http.ts';

export type Actors = {
  /**
   * Who speaks. Whether somebody is a guest only the roster tells, so it is asked, and kept for ten minutes.
   *
   * @throws ConnectorError when Teams does not say: then nobody is taken for a member
   */
  readonly actorOf: (activity: InboundActivity) => Promise<ChatActor>;
  /** The person that a mention names, as the engine knows them: their Entra object id. */
  readonly mentionedUser: (activity: InboundActivity, userId: string) => Promise<string | undefined>;
};

const keptMs = 600_000;
const keptCountMax = 5000;

export function createActors(deps: {
  readonly framework: Pick<BotFramework, 'member'>;
  readonly nowMs: () => number;
}): Actors {
  const kept = new Map<string, { readonly member: RosterMember | undefined; readonly untilMs: number }>();
  const memberOf = async (activity: InboundActivity, userId: string) => {
    const key = `${tenantOf(activity)} ${userId}`;
    const before = kept.get(key);
    if (before !== undefined && deps.nowMs() < before.untilMs) return before.member;
    const member = await askRoster(deps.framework, activity, userId);
    kept.delete(key);
    kept.set(key, { member, untilMs: deps.nowMs() + keptMs });
    const [oldest] = kept.keys();
    if (kept.size > keptCountMax && oldest !== undefined) kept.delete(oldest);
    return member;
  };
  return {
    actorOf: async (activity) => {
      const { from } = activity;
      const isBot = isBotAccount(from);
      const member = isBot || !from.aadObjectId ? undefined : await memberOf(activity, from.id);
      const tenant = tenantOf(activity) ?? '';
      return {
        surface: 'teams',
        tenant,
        user: (from.aadObjectId ?? from.id).slice(0, 100),
        displayName: (from.name ?? '').slice(0, 100),
        kind: isBot ? 'bot' : kindOf(activity, member),
        envelope: envelopeOf(activity),
      };
    },
    mentionedUser: async (activity, userId) => {
      const member = await memberOf(activity, userId);
      return member?.aadObjectId ?? member?.objectId ?? undefined;
    },
  };
}

export function isBotAccount(account: InboundActivity['from']): boolean {
  return account.id.startsWith('28:') || account.role === 'bot' || account.role === 'skill';
}

/** The platform's number of the event: the same for a delivery that is repeated, another one for a second click. */
export function envelopeOf(activity: InboundActivity): string {
  const { conversation, id, timestamp } = activity;
  const envelope = `${conversation.id}|${id ?? ''}|${timestamp ?? ''}`;
  return envelope.length <= 300 ? envelope : createHash('sha256').update(envelope).digest('hex');
}

function kindOf(activity: InboundActivity, member: RosterMember | undefined): ChatActor['kind'] {
  const { aadObjectId } = activity.from;
  if (!aadObjectId || member === undefined) return 'external';
  const rosterId = member.aadObjectId ?? member.objectId;
  // A roster that knows somebody else under this id is not believed, and neither is the activity.
  if (rosterId && rosterId !== aadObjectId) return 'external';
  if (member.tenantId && member.tenantId !== tenantOf(activity)) return 'external';
  return member.userRole === 'guest' || member.userRole === 'anonymous' ? 'guest' : 'member';
}

async function askRoster(
  framework: Pick<BotFramework, 'member'>,
  activity: InboundActivity,
  userId: string,
): Promise<RosterMember | undefined> {
  try {
    return await framework.member(activity.serviceUrl, activity.conversation.id.replace(/;.*$/, ''), userId);
  } catch (error) {
    if (error instanceof ConnectorError && error.status === 404) return undefined;
    throw error;
  }
}

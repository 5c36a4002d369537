import type { webApi } from '@slack/bolt';
import { z } from 'zod';
import { OutageError } from '../../domain/outage.ts';
import { minuteMs } from '../../domain/units.ts';
import type { ChatActor } from '../../protocol/chat-api.ts';
import { shorten } from '../card.ts';
import { createBoundedMemory } from './bounded-memory.ts';

/** The workspace, or the organisation, that the app is installed in. */
export type SlackHome = { readonly teamId: string; readonly enterpriseId: string | undefined };
export type Speaker = { readonly kind: ChatActor['kind']; readonly displayName: string };

const userAnswer = z.object({
  id: z.string(),
  name: z.string().default(''),
  real_name: z.string().default(''),
  team_id: z.string(),
  deleted: z.boolean().default(false),
  is_bot: z.boolean().default(false),
  is_workflow_bot: z.boolean().default(false),
  // Not defaulted: what Slack does not say of a person is never taken as a right.
  is_restricted: z.boolean(),
  is_ultra_restricted: z.boolean(),
  is_stranger: z.boolean().default(false),
  enterprise_user: z.object({ enterprise_id: z.string() }).optional(),
});

/** What somebody is for us; guests, outsiders and bots may not act. Source: CHAT 5.2 (3) */
export function kindOfUser(user: z.infer<typeof userAnswer>, home: SlackHome): ChatActor['kind'] {
  if (user.is_bot || user.is_workflow_bot || user.id === 'USLACKBOT') return 'bot';
  if (user.is_restricted || user.is_ultra_restricted) return 'guest';
  const isOfEnterprise = home.enterpriseId !== undefined && user.enterprise_user?.enterprise_id === home.enterpriseId;
  const isAtHome = user.team_id === home.teamId || isOfEnterprise;
  return user.is_stranger || user.deleted || !isAtHome ? 'external' : 'member';
}

/**
 * Asks Slack who a user is, at most once in five minutes.
 *
 * @throws OutageError when Slack does not say: nobody is trusted for want of an answer
 */
export function createWhoSpeaks(deps: {
  readonly client: Pick<webApi.WebClient, 'users'>;
  readonly home: SlackHome;
  readonly nowMs: () => number;
}): (userId: string) => Promise<Speaker> {
  const known = createBoundedMemory<Promise<Speaker>>({ countMax: 2000, keepMs: 5 * minuteMs, nowMs: deps.nowMs });
  return (userId) => {
    const remembered = known.get(userId);
    if (remembered !== undefined) return remembered;
    const asked = askSlack(userId, deps);
    known.set(userId, asked);
    asked.catch(() => known.forget(userId)); // The caller sees the error; here it only must not be remembered.
    return asked;
  };
}

async function askSlack(userId: string, deps: Parameters<typeof createWhoSpeaks>[0]): Promise<Speaker> {
  try {
    const answer = await deps.client.users.info({ user: userId });
    const user = userAnswer.parse(answer.user);
    return { kind: kindOfUser(user, deps.home), displayName: shorten(user.real_name || user.name, 100) };
  } catch (cause) {
    throw new OutageError('asking Slack who you are', {
      cause,
      retryable: true,
      nextStep: 'try again in a minute; `dr` on the command line works without Slack',
    });
  }
}

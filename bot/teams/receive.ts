import { z } from 'zod';
import { describeCauses } from '../../domain/outage.ts';
import { type ButtonData, buttonData, type InboundActivity, inboundActivity, tenantOf } from './activity.ts';
import { envelopeOf, isBotAccount } from './actors.ts';
import { answerInvoke, type InvokeAnswer, invokeRefusal } from './invokes.ts';
import { isAddressed, lineOfMessage } from './message-text.ts';
import { createReplayTable } from './replay-table.ts';
import { carryOut, noteCard, postCard, postReply, problemCard, type TeamsDeps } from './replies.ts';
import { isAllowedServiceUrl, teamsLimits, tenantsOf } from './settings.ts';
import { withinTime } from './within-time.ts';

/** What the HTTP server answers. */
export type HttpAnswer = InvokeAnswer & { readonly retryAfterSeconds?: number };

export type Receiver = {
  /** Takes a request's body; `authorization` is the header as it came. */
  readonly receive: (authorization: string | undefined, body: unknown) => Promise<HttpAnswer>;
  /** Resolves when nothing is being worked on any more. */
  readonly idle: () => Promise<void>;
};

/** Takes what Teams sends: proves where it comes from, answers at once, and works on it once, however often it is sent. */
export function createReceiver(given: TeamsDeps): Receiver {
  const deps = { ...given, refused: calmLog(given) };
  const seen = createReplayTable<HttpAnswer>({
    countMax: teamsLimits.replayCount,
    keptMs: teamsLimits.replayMs,
    nowMs: deps.nowMs,
  });
  const working = new Set<Promise<void>>();
  const inBackground = (work: Promise<void>) => {
    const tracked = work.finally(() => working.delete(tracked));
    working.add(tracked);
  };
  return {
    receive: async (authorization, body) => {
      const admitted = await admit(authorization, body, deps);
      if (admitted.kind === 'refused') return admitted.answer;
      if (working.size >= teamsLimits.inFlightCount) return { status: 429, retryAfterSeconds: 2 };
      const { activity } = admitted;
      const key = `${activity.type} ${envelopeOf(activity)}`;
      return seen.once(key, () => handle(activity, deps, inBackground));
    },
    idle: async () => {
      while (working.size > 0) await Promise.allSettled(working);
    },
  };
}

type Admitted =
  | { readonly kind: 'admitted'; readonly activity: InboundActivity }
  | { readonly kind: 'refused'; readonly answer: HttpAnswer };

/** Who cannot prove to be Teams learns nothing more than that. */
async function admit(
  authorization: string | undefined,
  body: unknown,
  deps: TeamsDeps & { readonly refused: (message: string) => void },
): Promise<Admitted> {
  const { settings } = deps;
  const refuse = (status: number, why: string): Admitted => {
    deps.refused(`a request to the Teams endpoint was refused (${status}): ${why}`);
    return { kind: 'refused', answer: { status } };
  };
  if (!authorization) return refuse(401, 'no authorization');
  const parsed = inboundActivity.safeParse(body);
  if (!parsed.success) return refuse(400, `not an activity of Teams: ${z.prettifyError(parsed.error).slice(0, 300)}`);
  const activity = parsed.data;
  const verdict = await deps.framework.verify(authorization, activity);
  if (verdict.kind === 'refused') return refuse(401, verdict.why);
  if (verdict.kind === 'unknown')
    return refuse(503, `Microsoft's keys cannot be had: ${describeCauses(verdict.cause)}`);
  if (!isAllowedServiceUrl(activity.serviceUrl, settings.serviceUrls)) return refuse(403, 'service URL is not allowed');
  if (!tenantsOf(settings).includes(tenantOf(activity) ?? '')) return refuse(403, 'tenant is not allowed');
  const aheadMs = atMsOf(activity, deps) - deps.nowMs();
  if (aheadMs > teamsLimits.staleMs) return refuse(400, 'the activity is dated in the future; compare the clocks');
  return { kind: 'admitted', activity };
}

/** Anybody can knock: twenty refusals a minute are logged, the rest is counted, so that nobody fills the disk with them. */
function calmLog({ log, nowMs }: TeamsDeps): (message: string) => void {
  let minute = 0;
  let count = 0;
  return (message) => {
    const now = Math.floor(nowMs() / 60_000);
    if (now !== minute && count > refusalLogCountMax)
      log.warn(`${count} requests to the Teams endpoint were refused in a minute`);
    count = now === minute ? count + 1 : 1;
    minute = now;
    if (count <= refusalLogCountMax) log.warn(message);
  };
}

const refusalLogCountMax = 20;

function atMsOf(activity: InboundActivity, deps: Pick<TeamsDeps, 'nowMs'>): number {
  return activity.timestamp ? Date.parse(activity.timestamp) : deps.nowMs();
}

async function handle(
  activity: InboundActivity,
  deps: TeamsDeps,
  inBackground: (work: Promise<void>) => void,
): Promise<HttpAnswer> {
  if (isBotAccount(activity.from) && activity.type !== 'conversationUpdate') return { status: 200 };
  const logged = (doing: Promise<void>, what: string) =>
    inBackground(doing.catch((error: unknown) => deps.log.warn(what, error)));
  logged(deps.places.learn(activity), 'where an activity from Teams came from could not be kept');
  if (activity.type === 'invoke') return invoke(activity, deps);
  logged(work(activity, deps), 'an activity from Teams could not be answered');
  return { status: 202 };
}

/** The chat boundary: a person is told of outages; our own bugs are logged, and said to be ours. */
async function invoke(activity: InboundActivity, deps: TeamsDeps): Promise<HttpAnswer> {
  const late = lateCard(activity, deps);
  if (late !== undefined) return invokeRefusal({ activity }, late);
  try {
    const answering = deps.actors.actorOf(activity).then((actor) => answerInvoke({ activity, actor }, deps));
    return (await withinTime(answering, teamsLimits.invokeTotalMs)) ?? invokeRefusal({ activity }, slowCard);
  } catch (error) {
    const known = problemCard(error);
    deps.log.warn('a click in Teams could not be answered', error);
    return invokeRefusal({ activity }, known ?? bugCard);
  }
}

async function work(activity: InboundActivity, deps: TeamsDeps): Promise<void> {
  if (activity.type === 'installationUpdate' && activity.action === 'add') return greet(activity, deps);
  if (activity.type !== 'message') return;
  const click = buttonData.safeParse(activity.value);
  if (!click.success && (!activity.text || !isAddressed(activity))) return;
  try {
    const late = lateCard(activity, deps);
    if (late !== undefined) return void (await postCard(late, { activity }, deps));
    const turn = { activity, actor: await deps.actors.actorOf(activity) };
    const line = click.success
      ? lineOfClick(click.data.lifeboat)
      : await lineOfMessage(activity, (userId) => deps.actors.mentionedUser(activity, userId));
    await postReply(await carryOut(line, turn, deps), turn, deps);
  } catch (error) {
    deps.log.warn('a message in Teams could not be answered', error);
    await postCard(problemCard(error) ?? bugCard, { activity }, deps);
  }
}

/** A click from a client without universal actions or dialogs: the line is carried out as it stands; it asks for what it lacks. */
function lineOfClick(data: ButtonData): string {
  return data.kind === 'answers' ? data.context : data.line;
}

/** What was asked minutes ago may be the wrong thing now: it is not done, and that is said. */
function lateCard(activity: InboundActivity, deps: TeamsDeps) {
  const lateMs = deps.nowMs() - atMsOf(activity, deps);
  if (lateMs <= teamsLimits.staleMs) return undefined;
  return noteCard(`That reached me ${Math.round(lateMs / 60_000)} minutes late`, [
    'It was not carried out. If you still want it, please do it again.',
  ]);
}

async function greet(activity: InboundActivity, deps: TeamsDeps): Promise<void> {
  await postCard(
    {
      title: 'Lifeboat is here',
      tone: 'neutral',
      audience: 'channel',
      text: ['Disaster recovery by chat. `help` says what you may do; `link` tells me who you are, in a private chat.'],
      copyLine: 'help',
      buttons: [{ label: 'Help', line: 'help', style: 'primary' }],
    },
    { activity },
    deps,
  );
}

const slowCard = noteCard('Teams is slow to say who you are', [
  'Nothing was done yet. Please look before you click again.',
]);

const bugCard = noteCard('Something in Lifeboat broke', [
  'It is in the log of the bot. Whatever was asked for is safe to ask for again.',
]);

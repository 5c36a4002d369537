import { messageMethods } from './message-methods.ts';
import { viewMethods } from './view-methods.ts';
import { addMessage, type Upload, type World } from './world.ts';

type Args = Readonly<Record<string, unknown>>;
export type Answer = Readonly<Record<string, unknown>> | { readonly error: string; readonly why?: string };
/** One method of Slack's Web API; an answer with `error` is a refusal. */
export type Method = (args: Args, world: World, baseUrl: string) => Answer;

const userMethods: Readonly<Record<string, Method>> = {
  'auth.test': (_, world) => ({
    url: 'https://harbour.slack.com/',
    team: world.teamName,
    team_id: world.teamId,
    user: world.botUser.name,
    user_id: world.botUser.id,
    bot_id: world.botId,
  }),
  'users.info': (args, world) => {
    const user = world.users.get(String(args.user));
    if (user === undefined) return { error: 'user_not_found' };
    const { id, name, kind } = user;
    return {
      user: {
        id,
        name: name.toLowerCase(),
        real_name: name,
        team_id: kind === 'external' ? 'TELSEWHERE' : world.teamId,
        deleted: false,
        is_bot: kind === 'bot',
        is_restricted: kind === 'guest',
        is_ultra_restricted: false,
        is_stranger: kind === 'external',
      },
    };
  },
  'usergroups.users.list': (args, world) => {
    const group = [...world.userGroups.values()].find((one) => one.id === args.usergroup);
    return group === undefined ? { error: 'no_such_subteam' } : { users: group.users };
  },
};

const fileMethods: Readonly<Record<string, Method>> = {
  'files.getUploadURLExternal': (args, world, baseUrl) => {
    const [name, sizeBytes, altText] = [String(args.filename ?? ''), Number(args.length), String(args.alt_text ?? '')];
    if (name === '' || !(sizeBytes > 0) || altText.length > 1000) return { error: 'invalid_arguments' };
    const id = world.newId('F');
    world.uploads.set(id, { name, sizeBytes, altText, bytes: undefined });
    return { upload_url: `${baseUrl}/upload/${id}`, file_id: id };
  },
  'files.completeUploadExternal': (args, world) => {
    const files = Array.isArray(args.files) ? args.files : [];
    const uploads = files.map((file: { id?: unknown }) => world.uploads.get(String(file.id)));
    if (uploads.length === 0 || uploads.some((upload) => upload?.bytes === undefined))
      return { error: 'file_not_found' };
    const channelId = String(args.channel_id);
    // A user's id is refused here, unlike in chat.postMessage.
    if (!/^[CGDZ][A-Z0-9]{8,}$/.test(channelId)) return { error: 'invalid_arguments', why: 'channel_id' };
    const channel = world.channels.get(channelId);
    if (channel === undefined) return { error: 'channel_not_found' };
    // And chat:write.public does not help here.
    if (!channel.members.has(world.botUser.id)) return { error: 'not_in_channel' };
    const threadTs = typeof args.thread_ts === 'string' ? args.thread_ts : undefined;
    for (const upload of uploads) {
      if (upload === undefined) continue;
      const file = { name: upload.name, altText: upload.altText, bytes: upload.bytes ?? Buffer.alloc(0) };
      addMessage(world, { channel: channelId, user: world.botUser.id, text: '', threadTs, file });
    }
    return { files: files.map((file: { id?: unknown }) => ({ id: String(file.id) })) };
  },
};

/** Called with the app-level token. */
const appMethods: Readonly<Record<string, Method>> = {
  'apps.connections.open': (_, world, baseUrl) => ({
    url: `${baseUrl.replace('http:', 'ws:')}/link/?ticket=${world.newId('k')}`,
  }),
};

const botMethods: Readonly<Record<string, Method>> = {
  ...userMethods,
  ...messageMethods,
  ...viewMethods,
  ...fileMethods,
};

const scopesNeeded: Readonly<Record<string, string>> = {
  'users.info': 'users:read',
  'usergroups.users.list': 'usergroups:read',
  'chat.postMessage': 'chat:write',
  'chat.postEphemeral': 'chat:write',
  'chat.update': 'chat:write',
  'conversations.open': 'im:write',
  'files.getUploadURLExternal': 'files:write',
  'files.completeUploadExternal': 'files:write',
};

/** Answers a call as Slack does: tokens, then scopes, then the method itself. */
export function answerCall(
  call: { readonly method: string; readonly token: string | undefined; readonly args: Args },
  world: World,
  baseUrl: string,
): Readonly<Record<string, unknown>> {
  const answer = judge(call, world, baseUrl);
  const error = 'error' in answer ? String(answer.error) : undefined;
  const why = 'why' in answer ? String(answer.why) : '';
  world.calls.push({
    method: call.method,
    args: call.args,
    answer: error === undefined ? 'ok' : `${error} ${why}`.trim(),
  });
  if (error === undefined) return { ok: true, ...answer };
  return { ok: false, ...answer, ...(why !== '' && { response_metadata: { messages: [`[ERROR] ${why}`] } }) };
}

function judge(call: Parameters<typeof answerCall>[0], world: World, baseUrl: string): Answer {
  if (call.token === undefined || call.token === '') return { error: 'not_authed' };
  const isApp = call.token === world.appToken;
  if (!isApp && call.token !== world.botToken) return { error: 'invalid_auth' };
  const method = (isApp ? appMethods : botMethods)[call.method];
  if (method === undefined) {
    const isKnown = call.method in appMethods || call.method in botMethods;
    return { error: isKnown ? 'not_allowed_token_type' : 'unknown_method' };
  }
  const needed = scopesNeeded[call.method];
  if (needed !== undefined && !world.scopes.has(needed)) {
    return { error: 'missing_scope', needed, provided: [...world.scopes].join(',') };
  }
  return method(call.args, world, baseUrl);
}

/** The bytes of an upload, before it is completed; refused when they are not as long as was said. */
export function takeUpload(id: string, bytes: Buffer, world: World): number {
  const upload: Upload | undefined = world.uploads.get(id);
  if (upload === undefined || upload.bytes !== undefined) return 404;
  if (bytes.length !== upload.sizeBytes) return 400;
  upload.bytes = bytes;
  return 200;
}

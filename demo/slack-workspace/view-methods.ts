import { checkView, type View } from './block-kit.ts';
import type { Answer, Method } from './web-api.ts';
import type { OpenView, World } from './world.ts';

/** Source: CHAT 2.1 */
const triggerMs = 3000;
const stackCountMax = 3;

/** views.*: a trigger works once and for three seconds; what was closed cannot be filled any more. */
export const viewMethods: Readonly<Record<string, Method>> = {
  'views.open': (args, world) => open(args, world),
  'views.update': (args, world) => {
    const open =
      world.views.get(String(args.view_id)) ?? [...world.homes.values()].find((home) => home.id === args.view_id);
    if (open === undefined || !open.isOpen) return { error: 'not_found' };
    if (args.hash !== undefined && args.hash !== open.hash) return { error: 'hash_conflict' };
    const checked = checkView(args.view, open.view.type);
    if (!checked.ok) return { error: checked.error, why: checked.why };
    replaceView(open, checked.value, world);
    return { view: viewPayload(open, world) };
  },
  'views.publish': (args, world) => {
    const user = world.users.get(String(args.user_id));
    if (user === undefined) return { error: 'user_not_found' };
    const checked = checkView(args.view, 'home');
    if (!checked.ok) return { error: checked.error, why: checked.why };
    const known = world.homes.get(user.id);
    const home = known ?? newView(user.id, checked.value, world);
    world.homes.set(user.id, home);
    replaceView(home, checked.value, world);
    return { view: viewPayload(home, world) };
  },
};

function open(args: Readonly<Record<string, unknown>>, world: World): Answer {
  const trigger = world.triggers.get(String(args.trigger_id));
  if (trigger === undefined) return { error: 'invalid_trigger_id' };
  if (trigger.isUsed) return { error: 'exchanged_trigger_id' };
  if (world.nowMs() - trigger.bornAtMs > triggerMs) return { error: 'expired_trigger_id' };
  trigger.isUsed = true;
  const checked = checkView(args.view, 'modal');
  if (!checked.ok) return { error: checked.error, why: checked.why };
  const stack = [...world.views.values()].filter((view) => view.isOpen && view.user === trigger.user);
  if (stack.length >= stackCountMax) return { error: 'push_limit_reached' };
  const opened = newView(trigger.user, checked.value, world);
  world.views.set(opened.id, opened);
  world.changes.emit('change');
  return { view: viewPayload(opened, world) };
}

export function replaceView(open: OpenView, view: View, world: World): void {
  open.view = view;
  open.hash = `${world.newTs()}.${world.newId('h')}`;
  world.changes.emit('change');
}

function newView(user: string, view: View, world: World): OpenView {
  return { id: world.newId('V'), user, view, hash: `${world.newTs()}.${world.newId('h')}`, isOpen: true };
}

/** A view as Slack describes it to the app. */
export function viewPayload(open: OpenView, world: World) {
  const { id, hash, view } = open;
  return { id, hash, ...view, team_id: world.teamId, app_id: world.appId, bot_id: world.botId, state: { values: {} } };
}

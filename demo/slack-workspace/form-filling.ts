import { checkView, type InputBlock } from './block-kit.ts';
import type { Acknowledged } from './deliveries.ts';
import type { Seat } from './person.ts';
import { replaceView, viewPayload } from './view-methods.ts';
import { newTrigger, type OpenView, type World } from './world.ts';

/** The dialog that a person has before them. */
export function topView({ user, world }: Pick<Seat, 'user' | 'world'>): OpenView | undefined {
  return [...world.views.values()].findLast((view) => view.isOpen && view.user === user.id);
}

/** Fills the dialog in by the labels of its fields, and sends it. */
export async function fillsIn(answers: Readonly<Record<string, string>>, seat: Seat): Promise<Acknowledged> {
  const { user, world, deliveries } = seat;
  const top = topView(seat);
  if (top?.view.type !== 'modal' || top.view.submit === undefined)
    throw new Error(`${user.name} has no form before them`);
  const inputs = top.view.blocks.filter((block): block is InputBlock => block.type === 'input');
  const unknown = Object.keys(answers).filter((label) => !inputs.some((input) => input.label.text === label));
  if (unknown.length > 0) throw new Error(`the form has no field ${unknown.join(', ')}`);
  const values = Object.fromEntries(
    inputs.map((input, index) => [
      input.block_id ?? `b${index}`,
      { [input.element.action_id]: filled(input, answers[input.label.text]) },
    ]),
  );
  const acknowledged = await deliveries.deliver({
    kind: 'interactive',
    payload: {
      type: 'view_submission',
      team: { id: world.teamId, domain: 'harbour' },
      user: { id: user.id, name: user.name.toLowerCase(), team_id: world.teamId },
      api_app_id: world.appId,
      token: 'verification-token',
      trigger_id: newTrigger(world, user.id),
      view: { ...viewPayload(top, world), state: { values } },
      response_urls: [],
      is_enterprise_install: false,
    },
  });
  takeAnswer(top, acknowledged, world);
  return acknowledged;
}

/** Slack's own client refuses what is missing, too short or too long, before anything is sent. */
function filled(input: InputBlock, answer: string | undefined) {
  const { element } = input;
  if (element.type === 'plain_text_input') {
    const value = answer ?? element.initial_value ?? '';
    if (value === '' && input.optional !== true) throw new Error(`${input.label.text} must be filled in`);
    const isRight =
      value === '' || (value.length >= (element.min_length ?? 0) && value.length <= (element.max_length ?? 3000));
    if (!isRight) throw new Error(`${input.label.text} has a wrong length`);
    return { type: element.type, value: value === '' ? null : value };
  }
  if (element.type === 'checkboxes') return { type: element.type, selected_options: [] };
  const initial = element.initial_option?.text.text;
  const option = element.options.find((one) => one.text.text === (answer ?? initial));
  if (option === undefined && (answer !== undefined || input.optional !== true)) {
    throw new Error(`${input.label.text} has no choice "${answer ?? ''}"`);
  }
  return { type: element.type, selected_option: option ?? null };
}

function takeAnswer(open: OpenView, acknowledged: Acknowledged, world: World): void {
  if (acknowledged === undefined) return;
  const { response_action: action, view } = acknowledged.answer ?? {};
  if (action === undefined || action === 'clear') open.isOpen = false;
  if (action === 'update') {
    const checked = checkView(view, 'modal');
    if (!checked.ok) throw new Error(`the app acknowledged with a view that Slack refuses: ${checked.why}`);
    replaceView(open, checked.value, world);
  }
  world.changes.emit('change');
}

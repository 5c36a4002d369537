import type { types } from '@slack/bolt';
import { z } from 'zod';
import { chatPlace } from '../../protocol/chat-api.ts';
import { type Card, shorten } from '../card.ts';
import type { Form, FormAnswers, FormField } from '../form.ts';
import { safeText } from '../terminal/safe-text.ts';
import { renderBlocks, type SlackRenderOptions, slackLimits } from './render-card.ts';
import { plainText, richText, words } from './rich-text.ts';

/** What a modal carries with it, because Slack tells no channel when it is sent. Source: CHAT 2.2 */
export type ModalOrigin = {
  readonly kind: Form['kind'] | 'line';
  readonly place: z.infer<typeof chatPlace>;
  /** The thread in which it began. */
  readonly threadTs: string | undefined;
  /** It began on the person's home tab. */
  readonly isFromHome: boolean;
};
const modalOrigin = z.object({
  kind: z.enum(['failover', 'approve', 'reject', 'snooze', 'line']),
  place: chatPlace,
  threadTs: z.string().optional(),
  isFromHome: z.boolean(),
});

/** All our modals; what they are about is in their metadata. */
export const modalCallbackId = 'dr-form';
const answerAction = 'answer';
const metadataLengthMax = 3000;

/** A form as a modal. Texts of the form may come from outside: they are shown letter by letter. */
export function formView(form: Form, origin: Omit<ModalOrigin, 'kind'>): types.ModalView {
  const text = form.text.map((paragraph) => words(shorten(safeText(paragraph), 3000)));
  return {
    type: 'modal',
    callback_id: modalCallbackId,
    title: plainText(shorten(safeText(form.title), 24)),
    submit: plainText(shorten(safeText(form.submitLabel), 24)),
    close: plainText('Cancel'),
    private_metadata: metadataOf({ ...origin, kind: form.kind }, form.context),
    blocks: [...richText(text), ...form.fields.map(inputBlock)] satisfies types.KnownBlock[],
  };
}

/** The form of the message shortcut: one line of the grammar. */
export function lineView(origin: Omit<ModalOrigin, 'kind'>): types.ModalView {
  const hint = plainText('As after /dr. Example: status vm-7. The answer comes into this thread.');
  return {
    type: 'modal',
    callback_id: modalCallbackId,
    title: plainText('Run /dr here'),
    submit: plainText('Run'),
    close: plainText('Cancel'),
    private_metadata: metadataOf({ ...origin, kind: 'line' }, ''),
    blocks: [
      {
        type: 'input',
        block_id: 'line',
        label: plainText('Command'),
        hint,
        element: { type: 'plain_text_input', action_id: answerAction, max_length: 2000 },
      },
    ] satisfies types.KnownBlock[],
  };
}

/** Opened within the three seconds that Slack gives, and filled when the engine has answered. */
export function waitingView(title: string): types.ModalView {
  return {
    type: 'modal',
    title: plainText(shorten(title, 24)),
    close: plainText('Close'),
    blocks: [...richText([words('Asking the engine…')])],
  };
}

/** The answer to a form that was sent, in the modal itself. */
export function cardsView(cards: readonly Card[], options: SlackRenderOptions): types.ModalView {
  const blocks = cards.flatMap((card) => renderBlocks({ ...card, buttons: [] }, { ...options, hasTables: false }));
  return {
    type: 'modal',
    title: plainText('Lifeboat'),
    close: plainText('Close'),
    blocks: blocks.length === 0 ? [...richText([words('Done.')])] : blocks.slice(0, slackLimits.viewBlockCount),
  };
}

function metadataOf(origin: ModalOrigin, context: string): string {
  const whole = `${JSON.stringify(origin)}\n${context}`;
  if (whole.length > metadataLengthMax) throw new RangeError(`a form's context is too long for Slack: ${whole.length}`);
  return whole;
}

/** Reads what `metadataOf` wrote; undefined for a modal that is not ours, or of another version. */
export function readOrigin(metadata: string): { origin: ModalOrigin; context: string } | undefined {
  const [head = '', ...rest] = metadata.split('\n');
  const parsed = modalOrigin.safeParse(parseJson(head));
  if (!parsed.success) return undefined;
  return { origin: { ...parsed.data, threadTs: parsed.data.threadTs }, context: rest.join('\n') };
}

/** What is not JSON matches no schema. */
function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

const stateValues = z.record(
  z.string(),
  z.record(
    z.string(),
    z.object({
      value: z.string().nullish(),
      selected_option: z.object({ value: z.string() }).nullish(),
    }),
  ),
);

/** What a person filled in, by the form's field ids; fields that were left empty are missing. */
export function answersOf(values: unknown): FormAnswers {
  const parsed = stateValues.parse(values);
  const answers = Object.entries(parsed).flatMap(([fieldId, actions]) => {
    const answer = actions[answerAction];
    const value = answer?.value ?? answer?.selected_option?.value;
    return value === undefined || value === null || value === '' ? [] : [[fieldId, value] as const];
  });
  return Object.fromEntries(answers);
}

function inputBlock(field: FormField): types.InputBlock {
  return {
    type: 'input',
    block_id: shorten(field.id, 255),
    label: plainText(shorten(safeText(field.label), 2000)),
    optional: !field.isRequired,
    ...(field.hint !== undefined && { hint: plainText(shorten(safeText(field.hint), 2000)) }),
    element: elementOf(field),
  };
}

function elementOf(field: FormField): types.InputBlockElement {
  switch (field.kind) {
    case 'choice':
      return choiceOf(field);
    case 'code':
      // One more than six digits: authenticators show them in two groups.
      return { type: 'plain_text_input', action_id: answerAction, min_length: 6, max_length: 7 };
    default: {
      const lengthMax = Math.max(1, Math.min(3000, field.lengthMax));
      return {
        type: 'plain_text_input',
        action_id: answerAction,
        multiline: field.kind === 'paragraph',
        max_length: lengthMax,
        ...(field.value !== undefined && field.value !== '' && { initial_value: field.value.slice(0, lengthMax) }),
      };
    }
  }
}

function choiceOf(field: Extract<FormField, { kind: 'choice' }>): types.StaticSelect | types.RadioButtons {
  const usable = field.options.filter((option) => option.value !== '' && option.value.length <= 75);
  const isShort = usable.length <= 6;
  const options = usable.slice(0, isShort ? 10 : 100).map((option) => ({
    text: plainText(shorten(safeText(option.label), 75)),
    value: option.value,
  }));
  const chosen = options.find((option) => option.value === field.value);
  const initial = chosen === undefined ? {} : { initial_option: chosen };
  const type = isShort ? ('radio_buttons' as const) : ('static_select' as const);
  return { type, action_id: answerAction, options, ...initial };
}

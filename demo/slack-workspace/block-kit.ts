import { z } from 'zod';

/**
 * What Slack takes as blocks, as a schema: every limit of CHAT 2.1. Stricter than Slack where Slack is silent, so that what passes
 * here passes there. Slack's own words for a refusal are `invalid_blocks` and the like; why is said in the metadata.
 */
const text = (max: number) => z.string().min(1).max(max);
const plain = (max: number) =>
  z.strictObject({ type: z.literal('plain_text'), text: text(max), emoji: z.boolean().optional() });
const markdown = (max: number) =>
  z.strictObject({ type: z.literal('mrkdwn'), text: text(max), verbatim: z.boolean().optional() });
const anyText = (max: number) => z.discriminatedUnion('type', [plain(max), markdown(max)]);
const blockId = { block_id: z.string().max(255).optional() };
const actionId = { action_id: text(255) };
const confirm = z.strictObject({
  title: plain(100),
  text: anyText(300),
  confirm: plain(30),
  deny: plain(30),
  style: z.enum(['primary', 'danger']).optional(),
});
const button = z.strictObject({
  type: z.literal('button'),
  ...actionId,
  text: plain(75),
  value: text(2000).optional(),
  url: z.url().max(3000).optional(),
  style: z.enum(['primary', 'danger']).optional(),
  confirm: confirm.optional(),
  accessibility_label: z.string().max(75).optional(),
});
const option = z.strictObject({ text: anyText(75), value: text(75), description: plain(75).optional() });
const plainOption = z.strictObject({ text: plain(75), value: text(75), description: plain(75).optional() });
const choosing = { ...actionId, confirm: confirm.optional(), focus_on_load: z.boolean().optional() };
const select = z.strictObject({
  type: z.literal('static_select'),
  ...choosing,
  options: z.array(plainOption).min(1).max(100),
  initial_option: plainOption.optional(),
  placeholder: plain(150).optional(),
});
const radio = z.strictObject({
  type: z.literal('radio_buttons'),
  ...choosing,
  options: z.array(option).min(1).max(10),
  initial_option: option.optional(),
});
const checkboxes = z.strictObject({
  type: z.literal('checkboxes'),
  ...choosing,
  options: z.array(option).min(1).max(10),
  initial_options: z.array(option).min(1).optional(),
});
const overflow = z.strictObject({
  type: z.literal('overflow'),
  ...actionId,
  options: z.array(plainOption).min(1).max(5),
  confirm: confirm.optional(),
});
const input = z.strictObject({
  type: z.literal('plain_text_input'),
  ...actionId,
  multiline: z.boolean().optional(),
  min_length: z.int().min(0).max(3000).optional(),
  max_length: z.int().min(1).max(3000).optional(),
  initial_value: z.string().max(3000).optional(),
  placeholder: plain(150).optional(),
  focus_on_load: z.boolean().optional(),
});
const style = z
  .strictObject({ bold: z.boolean(), italic: z.boolean(), strike: z.boolean(), code: z.boolean() })
  .partial()
  .optional();
const richElement = z.discriminatedUnion('type', [
  z.strictObject({ type: z.literal('text'), text: text(12_000), style }),
  z.strictObject({ type: z.literal('user'), user_id: z.string().regex(/^[UW][A-Z0-9]+$/), style }),
  z.strictObject({ type: z.literal('link'), url: z.url().max(3000), text: text(3000).optional(), style }),
  z.strictObject({ type: z.literal('usergroup'), usergroup_id: z.string().regex(/^S[A-Z0-9]+$/), style }),
  z.strictObject({
    type: z.literal('date'),
    timestamp: z.int().positive(),
    format: text(500).regex(/\{[a-z_]+\}/),
    url: z.url().optional(),
    fallback: text(500).optional(),
    style,
  }),
]);
const richSection = z.strictObject({ type: z.literal('rich_text_section'), elements: z.array(richElement).min(1) });
const richPart = z.discriminatedUnion('type', [
  richSection,
  z.strictObject({ type: z.literal('rich_text_preformatted'), elements: z.array(richElement).min(1) }),
  z.strictObject({ type: z.literal('rich_text_quote'), elements: z.array(richElement).min(1) }),
  z.strictObject({
    type: z.literal('rich_text_list'),
    elements: z.array(richSection).min(1),
    style: z.enum(['bullet', 'ordered']),
    indent: z.int().min(0).max(8).optional(),
  }),
]);
const richText = z.strictObject({ type: z.literal('rich_text'), ...blockId, elements: z.array(richPart).min(1) });
const section = z
  .strictObject({
    type: z.literal('section'),
    ...blockId,
    text: anyText(3000).optional(),
    fields: z.array(anyText(2000)).min(1).max(10).optional(),
    accessory: z.discriminatedUnion('type', [button, select, radio, checkboxes, overflow]).optional(),
  })
  .refine((block) => block.text !== undefined || block.fields !== undefined, 'a section needs text or fields');
const table = z
  .strictObject({
    type: z.literal('table'),
    ...blockId,
    rows: z
      .array(
        z
          .array(
            z.discriminatedUnion('type', [z.strictObject({ type: z.literal('raw_text'), text: text(3000) }), richText]),
          )
          .min(1)
          .max(20),
      )
      .min(1)
      .max(100),
    column_settings: z
      .array(
        z.strictObject({
          align: z.enum(['left', 'center', 'right']).optional(),
          is_wrapped: z.boolean().optional(),
        }),
      )
      .max(20)
      .optional(),
  })
  .refine((block) => new Set(block.rows.map((row) => row.length)).size === 1, 'rows of one table are of one length');
const actions = z.strictObject({
  type: z.literal('actions'),
  ...blockId,
  elements: z
    .array(z.discriminatedUnion('type', [button, select, radio, checkboxes, overflow]))
    .min(1)
    .max(25),
});
const common = [
  z.strictObject({ type: z.literal('header'), ...blockId, text: plain(150) }),
  z.strictObject({ type: z.literal('divider'), ...blockId }),
  z.strictObject({ type: z.literal('context'), ...blockId, elements: z.array(anyText(2000)).min(1).max(10) }),
  section,
  richText,
  actions,
] as const;
const inputBlock = z.strictObject({
  type: z.literal('input'),
  ...blockId,
  label: plain(2000),
  hint: plain(2000).optional(),
  optional: z.boolean().optional(),
  dispatch_action: z.boolean().optional(),
  element: z.discriminatedUnion('type', [input, select, radio, checkboxes]),
});
const messageBlocks = z.array(z.discriminatedUnion('type', [...common, table])).max(50);
const viewBlocks = z.array(z.discriminatedUnion('type', [...common, inputBlock])).max(100);
const viewCommon = {
  private_metadata: z.string().max(3000).optional(),
  callback_id: z.string().max(255).optional(),
  external_id: z.string().max(255).optional(),
  blocks: viewBlocks.min(1),
};
const modal = z
  .strictObject({
    type: z.literal('modal'),
    ...viewCommon,
    title: plain(24),
    submit: plain(24).optional(),
    close: plain(24).optional(),
    clear_on_close: z.boolean().optional(),
    notify_on_close: z.boolean().optional(),
  })
  .refine(
    (view) => view.submit !== undefined || view.blocks.every((block) => block.type !== 'input'),
    'a modal with inputs needs a submit button',
  );
const home = z.strictObject({ type: z.literal('home'), ...viewCommon });

export type View = z.infer<typeof modal> | z.infer<typeof home>;
export type InputBlock = z.infer<typeof inputBlock>;
export type Block = Readonly<Record<string, unknown>> & { readonly type: string };
/** What Slack would answer, and why. */
export type Refused = { readonly error: string; readonly why: string };
export type Checked<Value> = { readonly ok: true; readonly value: Value } | ({ readonly ok: false } & Refused);

/** Undocumented, seen by others at 13,172 to 13,297 characters. Source: CHAT 2.1 */
const blocksLengthMax = 13_100;
const viewBytesMax = 250_000;

export function checkMessageBlocks(blocks: unknown): Checked<Block[]> {
  const parsed = messageBlocks.safeParse(blocks);
  if (!parsed.success) return refused('invalid_blocks', parsed.error);
  if (parsed.data.filter((block) => block.type === 'table').length > 1) {
    return { ok: false, error: 'only_one_table_allowed', why: 'a message may hold one table' };
  }
  if (JSON.stringify(blocks).length > blocksLengthMax) {
    return { ok: false, error: 'msg_blocks_too_long', why: `${JSON.stringify(blocks).length} characters` };
  }
  const doubled = doubledIds(parsed.data);
  return doubled === undefined
    ? { ok: true, value: parsed.data }
    : { ok: false, error: 'invalid_blocks', why: doubled };
}

export function checkView(view: unknown, kind: View['type']): Checked<View> {
  const parsed = kind === 'modal' ? modal.safeParse(view) : home.safeParse(view);
  if (!parsed.success) return refused('invalid_arguments', parsed.error);
  if (JSON.stringify(view).length > viewBytesMax)
    return { ok: false, error: 'view_too_large', why: 'more than 250 KB' };
  const doubled = doubledIds(parsed.data.blocks);
  return doubled === undefined
    ? { ok: true, value: parsed.data }
    : { ok: false, error: 'invalid_arguments', why: doubled };
}

function refused(error: string, cause: z.ZodError): { ok: false } & Refused {
  return { ok: false, error, why: z.prettifyError(cause).slice(0, 1500) };
}

/** Block ids are unique in a message, action ids in a block. */
function doubledIds(blocks: readonly Block[]): string | undefined {
  const blockIds = blocks.map((block) => block.block_id).filter((id) => id !== undefined);
  if (new Set(blockIds).size !== blockIds.length) return 'a block_id is there twice';
  for (const block of blocks) {
    const elements = Array.isArray(block.elements) ? block.elements : [];
    const ids = elements.flatMap((element: { action_id?: string }) => element.action_id ?? []);
    if (new Set(ids).size !== ids.length) return 'an action_id is there twice in a block';
  }
  return undefined;
}

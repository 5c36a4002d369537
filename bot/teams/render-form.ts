import type { Form, FormField } from '../form.ts';
import type { AdaptiveCard, ButtonData } from './activity.ts';
import { type Element, harmless, harmlessWords, line } from './card-elements.ts';

/** Inputs come back beside our own data; the prefix keeps them apart from it. */
const inputPrefix = 'answer.';

/** A form as the card of a task dialog. Its Send button brings the answers back as `task/submit`. */
export function renderForm(form: Form): AdaptiveCard {
  const data: ButtonData = { kind: 'answers', form: form.kind, context: form.context };
  return {
    type: 'AdaptiveCard',
    $schema: 'http://adaptivecards.io/schemas/adaptive-card.json',
    version: '1.5',
    fallbackText: harmlessWords(form.title),
    body: [...form.text.flatMap((paragraph) => line(paragraph)), ...form.fields.flatMap(fieldElements)],
    actions: [
      {
        type: 'Action.Submit',
        title: harmless(form.submitLabel),
        data: { lifeboat: data },
        style: form.style === 'primary' ? 'positive' : 'destructive',
      },
    ],
  };
}

/** What opens the dialog, or shows it again. */
export function taskOfForm(form: Form): Readonly<Record<string, unknown>> {
  return taskOfCard(form.title, renderForm(form));
}

export function taskOfCard(title: string, content: AdaptiveCard): Readonly<Record<string, unknown>> {
  const card = { contentType: 'application/vnd.microsoft.card.adaptive', content };
  return {
    task: { type: 'continue', value: { title: harmlessWords(title), height: 'medium', width: 'medium', card } },
  };
}

/** Closes the dialog and says something. */
export function taskMessage(text: string): Readonly<Record<string, unknown>> {
  return { task: { type: 'message', value: harmlessWords(text) } };
}

/** The answers of a sent dialog, by field id; what was left empty is left out. */
export function answersIn(value: Readonly<Record<string, unknown>>): Readonly<Record<string, string>> {
  const answers = Object.entries(value).flatMap(([key, answer]) =>
    key.startsWith(inputPrefix) && typeof answer === 'string' && answer.trim() !== ''
      ? [[key.slice(inputPrefix.length), answer] as const]
      : [],
  );
  return Object.fromEntries(answers);
}

function fieldElements(field: FormField): Element[] {
  const common = {
    id: `${inputPrefix}${field.id}`,
    label: harmless(field.label),
    isRequired: field.isRequired,
    ...(field.isRequired && { errorMessage: `${harmless(field.label)} is needed` }),
  };
  const hint = field.hint === undefined ? [] : line(field.hint, { isSubtle: true, size: 'small' }, { spacing: 'none' });
  return [inputOf(field, common), ...hint];
}

function inputOf(field: FormField, common: Readonly<Record<string, unknown>>): Element {
  switch (field.kind) {
    case 'line':
    case 'paragraph':
      return {
        type: 'Input.Text',
        ...common,
        maxLength: field.lengthMax,
        ...(field.kind === 'paragraph' && { isMultiline: true }),
        ...(field.value !== undefined && { value: harmless(field.value) }),
      };
    case 'code':
      return {
        type: 'Input.Text',
        ...common,
        maxLength: 10,
        regex: '^\\s*[0-9]{3}\\s?[0-9]{3}\\s*$',
        placeholder: '123456',
        errorMessage: 'Six digits from your authenticator',
      };
    case 'choice':
      // Never the style `filtered`: several clients draw it as nothing. Source: CHAT 4
      return {
        type: 'Input.ChoiceSet',
        ...common,
        style: field.options.length <= 4 ? 'expanded' : 'compact',
        choices: field.options.map(({ value, label }) => ({ title: harmless(label), value })),
        ...(field.value !== undefined && { value: field.value }),
      };
    default:
      return field satisfies never;
  }
}

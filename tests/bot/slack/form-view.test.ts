import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { Form, FormField } from '../../../bot/form.ts';
import { answersOf, cardsView, formView, lineView, readOrigin, waitingView } from '../../../bot/slack/form-view.ts';
import { checkView } from '../../../demo/slack-workspace/block-kit.ts';
import { anyCard } from './card-arbitrary.ts';

const place = { surface: 'slack', tenant: 'T1', place: 'C00000001' } as const;
const origin = { place, threadTs: '1.2', isFromHome: false };
const nowMs = 0;

const field: fc.Arbitrary<FormField> = fc
  .record({ id: fc.uuid(), label: fc.string({ minLength: 1, maxLength: 100 }), isRequired: fc.boolean() })
  .chain((common) =>
    fc.oneof(
      fc.record({ lengthMax: fc.integer({ min: 1, max: 5000 }), value: fc.string({ maxLength: 100 }) }).map((more) => ({
        ...common,
        ...more,
        kind: 'paragraph' as const,
      })),
      fc.constant({ ...common, kind: 'code' as const }),
      fc.uniqueArray(fc.string({ minLength: 1, maxLength: 70 }), { minLength: 1, maxLength: 40 }).map((values) => ({
        ...common,
        kind: 'choice' as const,
        value: values[0] ?? '',
        options: values.map((value) => ({ value, label: `option ${value}` })),
      })),
    ),
  );
const form: fc.Arbitrary<Form> = fc.record({
  title: fc.string({ minLength: 1, maxLength: 40 }),
  kind: fc.constantFrom('failover', 'approve', 'reject', 'snooze'),
  context: fc.string({ maxLength: 2000 }),
  text: fc.array(fc.string({ maxLength: 600 }), { maxLength: 6 }),
  fields: fc.uniqueArray(field, { minLength: 1, maxLength: 5, selector: (one) => one.id }),
  submitLabel: fc.string({ minLength: 1, maxLength: 24 }),
  style: fc.constantFrom('primary', 'danger'),
});

describe('forms as modals', () => {
  it('stay within every limit of Slack, and carry their context there and back', () => {
    fc.assert(
      fc.property(form, (one) => {
        const view = formView(one, origin);
        expect(checkView(view, 'modal')).toMatchObject({ ok: true });
        expect(readOrigin(view.private_metadata ?? '')).toEqual({
          origin: { ...origin, kind: one.kind },
          context: one.context,
        });
      }),
      { numRuns: 150 },
    );
  });

  it('and so do answers in a modal, the waiting one and the one for a line', () => {
    fc.assert(
      fc.property(fc.array(anyCard, { maxLength: 3 }), (cards) => {
        expect(checkView(cardsView(cards, { nowMs }), 'modal')).toMatchObject({ ok: true });
      }),
      { numRuns: 40 },
    );
    expect(checkView(waitingView('Lifeboat'), 'modal')).toMatchObject({ ok: true });
    expect(checkView(lineView(origin), 'modal')).toMatchObject({ ok: true });
  });

  it('are read by the ids of their fields; what was left empty is missing', () => {
    const values = {
      code: { answer: { type: 'plain_text_input', value: '123456' } },
      reason: { answer: { type: 'plain_text_input', value: null } },
      mode: {
        answer: {
          type: 'radio_buttons',
          selected_option: { text: { type: 'plain_text', text: 'Test' }, value: 'test' },
        },
      },
    };
    expect(answersOf(values)).toEqual({ code: '123456', mode: 'test' });
  });

  it('are not read from metadata that is not ours', () => {
    expect(readOrigin('')).toBeUndefined();
    expect(readOrigin('{"kind":"drop"}\nx')).toBeUndefined();
    expect(readOrigin('{"kind":')).toBeUndefined();
  });
});

/**
 * A dialog, apart from any platform: Slack's modal, Teams' task dialog, the terminal's questions, the web page's form.
 *
 * A form never does anything itself: its answers make a line of the grammar, which is then carried out as if it had been typed by
 * who sent the form. Source: CHAT 5.2 (4), 5.4
 */
export type Form = {
  /** At most 24 characters: Slack's title of a modal. */
  readonly title: string;
  readonly kind: FormKind;
  /** What `lineOfForm` needs besides the answers; at most 2,000 characters, no secrets. */
  readonly context: string;
  /** What a person must know before they answer. */
  readonly text: readonly string[];
  /** What was wrong when it was sent before; it is the first sentence of the text too. */
  readonly problem?: string;
  readonly fields: readonly FormField[];
  /** At most 24 characters. */
  readonly submitLabel: string;
  readonly style: 'primary' | 'danger';
};

export type FormKind = 'failover' | 'approve' | 'reject' | 'snooze';

export type FormField = {
  readonly id: string;
  readonly label: string;
  readonly isRequired: boolean;
  readonly hint?: string;
} & (
  | { readonly kind: 'line' | 'paragraph'; readonly lengthMax: number; readonly value?: string }
  /** Six digits; never shown again, never stored by the bot. */
  | { readonly kind: 'code' }
  | {
      readonly kind: 'choice';
      readonly options: readonly { readonly value: string; readonly label: string }[];
      readonly value?: string;
    }
);

/** What a person filled in, by field id. */
export type FormAnswers = Readonly<Record<string, string>>;

import type { Button } from '../../card.ts';
import type { Form, FormAnswers } from '../../form.ts';
import { isRunnableVerb, specOf } from '../../verb-table.ts';
import { isIncomplete, readAction, withoutOpenFlags, withoutProgram } from './action-lines.ts';
import type { Page } from './page.ts';
import type { Place } from './talk.ts';

/** What a person does in the conversation: each deed is one call of the server, and two events. */

let lastNumber = 0;

/** Numbers of deeds, sheets and forms; never the same one twice while the page is open. */
function nextNumber(): number {
  lastNumber += 1;
  return lastNumber;
}

/** Sends a line of the grammar, as if it had been typed, and shows the answer in the chat and at its place. */
export async function say(page: Page, typed: string, place: Place = { kind: 'chat' }): Promise<void> {
  const line = withoutProgram(typed);
  const number = nextNumber();
  page.dispatch({ kind: 'talk-sent', number, line, place, atMs: page.nowMs });
  const saidAtMs = clockOf(page);
  const answer = await page.api.sendLine(line);
  page.dispatch({ kind: 'talk-answered', number, place, answer, atMs: saidAtMs() });
}

/** The engine's clock, going on from when this page was drawn: an answer can take a minute. */
function clockOf({ nowMs }: Page): () => number {
  const startedAtMs = performance.now();
  return () => nowMs + Math.round(performance.now() - startedAtMs);
}

/** Sends a form. The answers go to the server and nowhere else: they can hold a six-digit code. */
export async function sendForm(page: Page, form: Form, answers: FormAnswers): Promise<void> {
  const open = page.state.talk.form;
  if (open === undefined || open.isBusy) return;
  const number = nextNumber();
  const place = { kind: 'form', number: open.number } as const;
  page.dispatch({ kind: 'talk-sent', number, line: form.context, place, atMs: page.nowMs });
  const saidAtMs = clockOf(page);
  const answer = await page.api.sendForm({ kind: form.kind, context: form.context }, answers);
  page.dispatch({ kind: 'talk-answered', number, place, answer, atMs: saidAtMs() });
}

/** Opens the dialog of an action; a line with a dry run is tried at once, which changes nothing. */
export function openSheet(page: Page, typed: string): void {
  const line = withoutProgram(typed);
  const number = nextNumber();
  page.dispatch({ kind: 'talk-sheet-opened', number, line });
  if (readAction(line).hasDryRun)
    void say(page, `${withoutOpenFlags(line).rest} --dry-run`, { kind: 'dry-run', number });
}

const repeatMs = 700;
let lastPress = { line: '', atMs: 0 };

/** True for the second half of a double click, a held key, or a click while the same line is still under way. */
export function isRepeat(page: Page, line: string, event: Event): boolean {
  const isUnderWay = page.state.talk.busy.some((one) => one.line === line);
  const isSecondClick = event instanceof MouseEvent && event.detail > 1;
  const isSoon = lastPress.line === line && event.timeStamp - lastPress.atMs < repeatMs;
  if (isUnderWay || isSecondClick || isSoon) return true;
  lastPress = { line, atMs: event.timeStamp };
  return false;
}

/** A click on a card's button: its line is carried out, unless it first needs words or a second thought. */
export function press(page: Page, button: Button, click: { readonly event: Event; readonly place: Place }): void {
  if (isRepeat(page, button.line, click.event)) return;
  const isGrave = button.style === 'danger' && button.opens === undefined;
  if (button.opens === undefined && (isGrave || isIncomplete(button.line))) openSheet(page, button.line);
  else void say(page, button.line, click.place);
}

/**
 * The same in a dialog that shows a card: another action takes the dialog's place, a form lies over it, and whatever else is answered
 * in the chat is looked at there.
 */
export function pressInDialog(page: Page, button: Button, event: Event): void {
  const { verb } = readAction(button.line);
  const isAction = isRunnableVerb(verb) && specOf(verb).group === 'Act';
  if (button.opens === undefined && isAction) {
    if (!isRepeat(page, button.line, event)) openSheet(page, button.line);
    return;
  }
  if (button.opens === undefined) closeDialogs(page);
  press(page, button, { event, place: { kind: 'chat' } });
}

function closeDialogs(page: Page): void {
  page.dispatch({ kind: 'talk-sheet-closed' });
  page.dispatch({ kind: 'talk-form-closed' });
}

/** Puts a line into the clipboard and says so for a moment. */
export async function copyLine(page: Page, line: string): Promise<void> {
  try {
    await navigator.clipboard.writeText(line);
  } catch {
    // The browser forbids it, e.g. without focus: the line stays selectable beside the button.
    return;
  }
  page.dispatch({ kind: 'talk-copied', line });
  setTimeout(() => page.dispatch({ kind: 'talk-copied', line: undefined }), 2500);
}

/** Puts a line into the chat's field, to be changed and sent by hand. */
export function writeInChat(page: Page, line: string): void {
  closeDialogs(page);
  page.dispatch({ kind: 'talk-pane', pane: 'open' });
  page.dispatch({ kind: 'talk-typed', text: line });
  page.dispatch({ kind: 'talk-list-closed' });
  // Once it is drawn.
  requestAnimationFrame(() => requestAnimationFrame(() => document.getElementById('talk-input')?.focus()));
}

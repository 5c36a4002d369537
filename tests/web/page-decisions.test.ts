import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { approvalCard } from '../../bot/conversation/approval-cards.ts';
import type { FormAnswers } from '../../bot/form.ts';
import type { AlertView, ApprovalView } from '../../protocol/chat-api.ts';
import { nowMs } from '../bot/recorded-answers.ts';
import { look, seriousFindings } from '../fixtures/browser.ts';
import { smallEngine } from '../teams/small-engine.ts';
import { placesOf } from './page-checks.ts';
import {
  alert,
  ben,
  type ConversationSite,
  eventually,
  me,
  overflowScript,
  pending,
  planned,
  startConversationSite,
  well,
} from './page-conversation-site.ts';

/** What people decide and do on the page, in a real browser: requests, actions, alerts. */

let site: ConversationSite;
let page: ConversationSite['page'];
let harness: ConversationSite['harness'];
beforeAll(async () => {
  site = await startConversationSite();
  ({ page, harness } = site);
});
afterAll(() => site?.close());

/** Which of these are not wholly in sight: not there, outside the window, or under what stands fixed at its bottom. */
function outOfSight(places: readonly string[]): Promise<string[]> {
  return page.evaluate(`(() => {
    const topOf = (place) => document.querySelector(place).getBoundingClientRect().top;
    return ${JSON.stringify(places)}.filter((place) => {
      const element = document.querySelector(place);
      if (element === null) return true;
      const { top, bottom, height } = element.getBoundingClientRect();
      return height === 0 || top < 0 || bottom > topOf(element.closest('.decide') === null ? '.decide' : '.navigation');
    });
  })()`);
}

/** A request as the engine tells of it, with all that can stand at its head. */
const grave: ApprovalView = {
  ...pending,
  reason: `The power supply of rack 7 is replaced tonight, and the vendor needs both feeds off. ${'See CHG-20391. '.repeat(10)}`,
  impact: [
    'Stops: vm-7 on demo-host is shut down in order and stays off; it starts again on QEMU on vm.',
    'For how long: about 2 min; after 7 min at most it runs there or here again.',
    'Lost: nothing. It starts at the target only when every disk is proven to be what the source wrote last.',
    'Reached by: nobody yet. Its network at the target is isolated, and the way back comes with a later version.',
    'Point: the one taken after the shutdown (newest now: 14 s old).',
  ],
  checks: [
    { name: 'replication', state: 'failed', detail: 'the lag is 4 min 12 s, the limit 60 s' },
    ...pending.checks,
  ],
};

describe('an approval', () => {
  test.each([
    [390, 844, ['li:nth-child(1)', 'li:nth-child(2)', 'li:nth-child(3)']],
    [360, 640, ['li:nth-child(1)']],
  ])('on a phone of %i × %i its essence and its buttons are seen without scrolling', async (width, height, impact) => {
    await look(page, 'light', width, height);
    await site.open(`/approvals/${pending.id}`, { approvals: [grave] });
    const essence = ['.approval h1', '.approval-state', '.approval-bad', '.approval-why', '.approval-why blockquote'];
    const sentences = impact.map((sentence) => `.approval-impact ${sentence}`);
    await site.picture(`approval-${width}`);
    expect(await outOfSight([...essence, ...sentences, '.decide-buttons'])).toEqual([]);
    await page.getByText('more', { exact: true }).click();
    await page.getByText('See CHG-20391. '.repeat(10).trim()).waitFor();
    expect(await page.evaluate(overflowScript)).toEqual([]);
  });

  test('what was done alone says until when it needs a review, and opens it for who may', async () => {
    const review = { dueAtMs: nowMs + 72_000_000, reviewedBy: null, note: null };
    const done = { ...pending, state: 'succeeded', decidedAtMs: nowMs - 1000, isBreakGlass: true, review } as const;
    await site.open(`/approvals/${pending.id}`, { approvals: [done] });
    await page.getByText(/Needs a review by .* \(due in 20 h\)/).waitFor();
    await page.getByRole('heading', { name: 'What was asked for' }).waitFor();
    await page.getByText('none; it was run by break-glass').waitFor();
    await page.getByRole('button', { name: 'Review…' }).click();
    const dialog = page.getByRole('dialog', { name: `Review ${pending.id}` });
    await dialog.getByLabel('Note').waitFor();
    await dialog.getByText(`/dr review ${pending.id}`).waitFor();
    await site.open(`/approvals/${pending.id}`, { approvals: [done] }, { ...me, name: 'ana' });
    await page.getByText('You did this alone, so another person reviews it.').waitFor();
    expect(await page.getByRole('button', { name: 'Review…' }).count()).toBe(0);
  });

  test('on a phone it is read and decided in one look; the code is nowhere when it is sent', async () => {
    const engine = smallEngine();
    engine.approval = pending;
    engine.people.set('u', 'ben');
    const sent: FormAnswers[] = [];
    site.talksWith({ ask: (call) => engine.ask(call, { actor: ben }) });
    const reply = harness.answers.form;
    harness.answers.form = (form, answers) => {
      sent.push(answers);
      return reply(form, answers);
    };
    await look(page, 'light', 360, 740);
    await site.open(`/approvals/${pending.id}`);
    expect(await seriousFindings(page)).toEqual([]);
    expect(await page.evaluate(overflowScript)).toEqual([]);
    await site.picture('approval-360');
    const approve = page.getByRole('group', { name: 'Decide' }).getByRole('button', { name: 'Approve' });
    expect(await approve.boundingBox()).toMatchObject({ height: 52 });
    await approve.dblclick();
    const code = page.getByLabel('Six-digit code');
    await code.waitFor();
    expect(harness.linesSent).toEqual([`approve ${pending.id} --rev 1 --digest ab12cd34`]);
    await eventually(() => page.evaluate('document.activeElement.name')).toBe('code');
    await page.getByText(`/dr approve ${pending.id} --rev 1 --digest ab12cd34`).waitFor();
    expect(await soundDialog()).toEqual([]);
    await page.keyboard.type('654321');
    await site.picture('approval-form-360');
    // The search finds it while it stands in its field.
    expect(await placesOf(page, '654321')).toEqual(['fields']);
    await page.keyboard.press('Enter');
    await page.getByText('That code is wrong').first().waitFor();
    await site.picture('approval-refused-360');
    // Said right above the field, whole in sight, and the field has the focus.
    await eventually(() => page.evaluate(refusalScript)).toEqual({ isAbove: true, isSeen: true, focus: 'code' });
    expect(await soundDialog()).toEqual([]);
    expect(await placesOf(page, '654321')).toEqual([]);
    await page.keyboard.type('123456');
    await page.keyboard.press('Enter');
    await page
      .getByRole('dialog')
      .getByRole('heading', { name: /approved by ben/ })
      .waitFor();
    expect(await placesOf(page, '123456')).toEqual([]);
    expect(sent.map(({ code: typed }) => typed)).toEqual(['654321', '123456']);
    await site.later(1000, { approvals: [engine.approval] });
    await page.keyboard.press('Enter');
    await page.getByText('It is approved. There is nothing left to decide.').waitFor();
    expect(await page.getByRole('button', { name: 'Approve' }).count()).toBe(0);
  });

  test.each([
    ['ana', 'You asked for this, so another person decides', ['Withdraw']],
    ['carl', 'You are no approver for vm-7, so you can read this and not decide it', []],
  ])('%s reads it and cannot decide it, and is told why', async (name, words, buttons) => {
    await site.open(`/approvals/${pending.id}`, {}, { ...me, name });
    await page.getByText(words).waitFor();
    expect(await page.getByRole('group', { name: 'Decide' }).getByRole('button').allInnerTexts()).toEqual(buttons);
  });

  test('a rejection asks why, and shows its line', async () => {
    const engine = smallEngine();
    engine.approval = pending;
    engine.people.set('u', 'ben');
    site.talksWith({ ask: (call) => engine.ask(call, { actor: ben }) });
    await look(page, 'dark', 360, 640);
    await site.open(`/approvals/${pending.id}`);
    await page.getByRole('button', { name: 'Reject' }).click();
    await page.getByRole('dialog', { name: 'Reject' }).getByLabel('Reason').waitFor();
    await page.getByText(`/dr reject ${pending.id} --rev 1 --digest ab12cd34`).waitFor();
    expect(await soundDialog()).toEqual([]);
    await site.picture('reject-360');
  });

  test('those that wait for me stand first', async () => {
    const others = ['succeeded', 'pending'] as const;
    const approvals = others.map((state, index) => ({
      ...pending,
      id: `apr_000000000${index}` as ApprovalView['id'],
      state,
      eligible: ['zoe'],
    }));
    await look(page, 'dark', 1280);
    await site.open('/approvals', { approvals: [...approvals, pending] });
    expect(await page.getByRole('heading', { level: 2 }).allInnerTexts()).toEqual([
      'Waiting for you 1',
      'Open, for others to decide or running 1',
      'Ended in the last hour 1',
    ]);
    expect(await seriousFindings(page, 'main', ['color-contrast'])).toEqual([]);
  });
});

/** Where a refused code is said: above its field, both in the window, without scrolling. */
const refusalScript = `(() => {
  const box = (place) => document.querySelector(place).getBoundingClientRect();
  const [said, field, foot] = [box('#form-refusal > *'), box('.code-input'), box('dialog[open] .dialog-foot')];
  const isAbove = said.height > 0 && said.bottom <= field.top && field.top - said.bottom < 60;
  return { isAbove, isSeen: said.top >= 0 && field.bottom <= foot.top, focus: document.activeElement.name };
})()`;

/** What is wrong with the dialog that is open: a serious finding, what is cut off, the line that it stands for out of sight. */
async function soundDialog(): Promise<string[]> {
  const { height } = page.viewportSize() ?? { height: 0 };
  const typed = await page.locator('dialog[open] .typed code').first().boundingBox();
  const isLineSeen = typed !== null && typed.y >= 0 && typed.y + typed.height <= height;
  const findings = await seriousFindings(page, 'dialog[open]');
  return [...findings, ...((await page.evaluate(overflowScript)) as string[]), ...(isLineSeen ? [] : ['no line'])];
}

describe('an action', () => {
  test('shows what would be typed and what it would do, asks for what is missing, and runs once', async () => {
    site.talksWith({
      ask: async (call) => (call.kind === 'plannedFailover' ? planned(call.body.dryRun === true) : well().ask(call)),
    });
    harness.answers.card = async () => ({ kind: 'card', card: approvalCard(pending, nowMs), isFinal: false });
    await look(page, 'light', 360, 740);
    await site.open('/machines/vm-7');
    await page.getByRole('button', { name: 'Planned failover…' }).click();
    const dialog = page.getByRole('dialog', { name: 'Planned failover of vm-7' });
    await dialog.getByText('dry run: it can be asked for').waitFor();
    await eventually(() => page.evaluate('document.activeElement.id')).toBe('sheet-reason');
    await page.keyboard.type('say "DC --now"');
    const line = `failover vm-7 --planned --reason 'say "DC --now"'`;
    await dialog.getByText(`/dr ${line}`).waitFor();
    expect(await soundDialog()).toEqual([]);
    await site.picture('action-360');
    // A time that cannot be read is corrected where it was written, and the reason with it is not lost.
    await dialog.getByLabel('Not before').fill('tonight');
    await dialog.getByRole('button', { name: 'Ask for approval' }).click();
    await dialog.getByRole('heading', { name: 'Not understood; nothing was done' }).waitFor();
    await site.picture('action-refused-360');
    expect(await dialog.getByRole('textbox', { name: 'Reason' }).inputValue()).toBe('say "DC --now"');
    await dialog.getByLabel('Not before').fill('');
    await dialog.getByRole('button', { name: 'Ask for approval' }).dblclick();
    await dialog.getByText('waits for approval').first().waitFor();
    expect(harness.linesSent).toEqual(['failover vm-7 --planned --dry-run', `${line} --at tonight`, line]);
    await page.keyboard.press('Escape');
    await eventually(() => page.getByRole('dialog').count()).toBe(0);
  });
});

describe('a line of the palette', () => {
  const typeLine = async (line: string) => {
    await page.keyboard.press('Control+k');
    await page.getByRole('combobox', { name: /line to run/ }).waitFor();
    await page.keyboard.type(line);
  };

  test('that ends with a flag without its value is asked for the value', async () => {
    site.talksWith({
      ask: async (call) => (call.kind === 'plannedFailover' ? planned(call.body.dryRun === true) : well().ask(call)),
    });
    await look(page, 'light', 360, 740);
    await site.open('/');
    await typeLine('failover vm-7 --planned --rea');
    await page.keyboard.press('Enter');
    await page.getByRole('option', { name: 'Run: failover vm-7 --planned --reason' }).waitFor();
    await page.keyboard.press('Enter');
    const dialog = page.getByRole('dialog', { name: 'Planned failover of vm-7' });
    await dialog.getByText('dry run: it can be asked for').waitFor();
    await eventually(() => page.evaluate('document.activeElement.id')).toBe('sheet-reason');
    expect(await dialog.getByRole('button', { name: 'Ask for approval' }).getAttribute('aria-disabled')).toBe('false');
    expect(harness.linesSent).toEqual(['failover vm-7 --planned --dry-run']);
  });

  test('that cannot be read says so, and Run is off', async () => {
    site.talksWith(well());
    await site.open('/');
    await typeLine('failover vm-7 --tset');
    await page.keyboard.press('Enter');
    const dialog = page.getByRole('dialog', { name: 'Failover vm-7' });
    await dialog.getByText(/Did you mean/).waitFor();
    const run = dialog.getByRole('button', { name: 'Run', exact: true });
    expect(await run.getAttribute('aria-disabled')).toBe('true');
    await eventually(() => page.evaluate("document.activeElement.closest('.dry-run') !== null")).toBe(true);
    expect(await soundDialog()).toEqual([]);
    await site.picture('action-off-360');
    await run.click({ force: true });
    expect(harness.linesSent).toEqual(['failover vm-7 --tset --dry-run']);
  });
});

describe('alerts', () => {
  test('stand by severity with what can be done about them', async () => {
    site.talksWith({ ask: async (call) => (call.kind === 'alert' ? { kind: 'alert', alert } : well().ask(call)) });
    const warning = {
      ...alert,
      id: 'alr_0000000001' as AlertView['id'],
      severity: 'warning',
      title: 'hv-1 is silent',
    } as const;
    await look(page, 'dark', 360, 900);
    await site.open('/alerts', { alerts: [warning, alert] });
    expect(await page.getByRole('heading', { level: 2 }).allInnerTexts()).toEqual(['Critical 1', 'Warning 1']);
    expect(await seriousFindings(page, 'main')).toEqual([]);
    expect(await page.evaluate(overflowScript)).toEqual([]);
    await site.picture('alerts-360');
    const lines = ['ack', 'snooze', 'escalate', 'mute'].map((verb) => `/dr ${verb} ${alert.id}`);
    expect(await page.locator('.card-lines').first().locator('code').allInnerTexts()).toEqual(lines);
    await page.getByRole('button', { name: 'Ack', exact: true }).first().click();
    await page.locator('.alert-answer').getByRole('heading').waitFor();
    await page.getByRole('button', { name: 'Snooze' }).first().click();
    await page.getByRole('dialog', { name: 'Snooze' }).getByLabel('4h').check();
    expect(await soundDialog()).toEqual([]);
    await site.picture('snooze-360');
    await page.keyboard.press('Escape');
    await page.getByRole('button', { name: 'Mute' }).first().click();
    await page.getByRole('dialog', { name: /Mute/ }).getByLabel('Reason').waitFor();
    expect(harness.linesSent).toEqual([`ack ${alert.id}`, `snooze ${alert.id}`]);
  });
});

test('the page broke nothing and breached no policy in all of this', () => {
  expect(site.faults).toEqual([]);
});

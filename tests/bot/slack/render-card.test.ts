import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { Card } from '../../../bot/card.ts';
import { approvalCard } from '../../../bot/conversation/approval-cards.ts';
import { textOfBlocks } from '../../../bot/slack/block-text.ts';
import { homeView } from '../../../bot/slack/home-view.ts';
import { messagesOf } from '../../../bot/slack/messages.ts';
import { fallbackText, renderBlocks, renderSlackText } from '../../../bot/slack/render-card.ts';
import { checkMessageBlocks, checkView } from '../../../demo/slack-workspace/block-kit.ts';
import { pendingApproval } from '../../slack/slack-engine.ts';
import { anyCard, hostileTexts } from './card-arbitrary.ts';

const nowMs = Date.UTC(2026, 10, 21, 14, 2, 20);
const plain: Card = { title: 'vm-7 · Enabled', tone: 'good', audience: 'asker' };

describe('cards as Block Kit', () => {
  it('stay within every limit of Slack, whatever is in them', () => {
    fc.assert(
      fc.property(anyCard, (card) => {
        expect(checkMessageBlocks(renderBlocks(card, { nowMs }))).toMatchObject({ ok: true });
      }),
      { numRuns: 150 },
    );
  });

  it('stay within the limits of modals and home tabs', () => {
    fc.assert(
      fc.property(fc.array(anyCard, { maxLength: 6 }), (cards) => {
        expect(checkView(JSON.parse(JSON.stringify(homeView([plain, ...cards], nowMs))), 'home')).toMatchObject({
          ok: true,
        });
      }),
      { numRuns: 30 },
    );
  });

  it('are put into messages that Slack takes, all of them', () => {
    fc.assert(
      fc.property(fc.array(anyCard, { maxLength: 6 }), (cards) => {
        const messages = messagesOf(cards, nowMs);
        for (const message of messages) expect(checkMessageBlocks(message.blocks)).toMatchObject({ ok: true });
        const headers = messages.flatMap((message) => message.blocks.filter((block) => block.type === 'header'));
        expect(headers.length).toBe(cards.length);
      }),
      { numRuns: 40 },
    );
  });

  it('would break a limit without the cuts: the check sees it', () => {
    const card: Card = { ...plain, fields: Array.from({ length: 8 }, () => ({ label: 'x', value: 'y'.repeat(1900) })) };
    const uncut = card.fields?.flatMap(({ value }) => renderBlocks({ ...plain, text: [value] }, { nowMs })) ?? [];
    expect(checkMessageBlocks(uncut)).toMatchObject({ ok: false, error: 'msg_blocks_too_long' });
    expect(checkMessageBlocks(renderBlocks(card, { nowMs }))).toMatchObject({ ok: true });
    expect(renderSlackText(card, { nowMs })).toContain('Shortened to fit into Slack');
  });

  it('never hold markup: every text from outside is shown letter by letter', () => {
    for (const hostile of hostileTexts) {
      const card: Card = {
        ...plain,
        title: hostile,
        text: [hostile],
        fields: [{ label: 'Reason', value: hostile }],
        table: { columns: ['Machine', 'Reason'], rows: [['vm-7', hostile]] },
        sections: [{ title: hostile, rows: [['a', hostile]] }],
        buttons: [{ label: hostile, line: 'status', style: 'danger' }],
        footer: hostile,
      };
      const blocks = renderBlocks(card, { nowMs });
      expect(typesIn(blocks)).not.toContain('mrkdwn');
      for (const type of ['user', 'usergroup', 'channel', 'broadcast', 'link', 'emoji']) {
        expect(typesIn(blocks)).not.toContain(type);
      }
      expect(JSON.stringify(blocks)).not.toContain('"emoji":true');
      expect(fallbackText(card)).not.toMatch(/[<>]|&(?!(lt|gt|amp);)/);
      expect(JSON.stringify(blocks)).not.toMatch(/\u202e|\\u0000|\\u001b/);
    }
  });

  it('make a link of the card’s own address only, and only of a page of the web', () => {
    const url = 'https://lifeboat.example:7443/sign-in#7K3M-9Q2W-XA4T';
    const linked = renderBlocks({ ...plain, text: ['http://evil.example'], link: { label: 'Open', url } }, { nowMs });
    expect(typesIn(linked).filter((type) => type === 'link')).toHaveLength(1);
    expect(renderSlackText({ ...plain, link: { label: 'Open', url } }, { nowMs })).toContain(url);
    const wrong = renderBlocks({ ...plain, link: { label: 'Open', url: 'javascript:alert(1)' } }, { nowMs });
    expect(JSON.stringify(wrong)).not.toContain('javascript');
    // A phone's notification is read by whoever sees the phone.
    expect(fallbackText({ ...plain, link: { label: 'Open', url } })).not.toContain('7K3M');
  });

  it('mention only ids of users and groups, never what somebody wrote', () => {
    const mentions = ['U00000001', '<!channel>', 'S00000001', '!here', 'U1|<!channel>', 'here'];
    const blocks = renderBlocks(plain, { nowMs, mentions });
    expect(textOfBlocks(blocks)[1]).toBe('<@U00000001> <!subteam^S00000001>');
    expect(fallbackText(plain, mentions)).toBe('<@U00000001> <!subteam^S00000001> ✔ vm-7 · Enabled');
  });

  it('put the reader’s own time behind a deadline, and leave other times alone', () => {
    const card: Card = {
      ...plain,
      fields: [
        { label: 'Expires', value: '14:32:20Z (in 30 min)' },
        { label: 'Newest', value: '14:02:11Z' },
      ],
    };
    const dates = JSON.stringify(renderBlocks(card, { nowMs })).match(/"timestamp":\d+/g);
    expect(dates).toEqual([`"timestamp":${Date.UTC(2026, 10, 21, 14, 32, 20) / 1000}`]);
    expect(renderSlackText(card, { nowMs })).toContain('Expires  14:32:20Z (in 30 min)');
  });

  it('draw signs beside what they are about, and other tables as tables', () => {
    const steps: Card = { ...plain, table: { columns: ['', 'Step', 'Took'], rows: [['✓', 'start machine', '2.9 s']] } };
    expect(renderSlackText(steps, { nowMs })).toContain('✓  start machine  2.9 s');
    const list: Card = { ...plain, table: { columns: ['Machine', 'Lag'], rows: [['vm-7', '']] } };
    expect(renderBlocks(list, { nowMs }).map((block) => block.type)).toContain('table');
    expect(renderSlackText(list, { nowMs }).split('\n').slice(-2)).toEqual(['Machine  Lag', 'vm-7     –']);
  });

  it('show an approval with what it does, who may decide, and its three buttons', () => {
    const card = approvalCard(pendingApproval(nowMs), nowMs);
    expect(renderSlackText(card, { nowMs, isKept: true })).toMatchInlineSnapshot(`
      "▲ Planned failover of vm-7 · waits for approval (0 of 1)
      vm-7 stops for about 40 s and starts again at qemu.
      You can approve: ben. You are asked because you are approvers for vm-7 and ana, who asks, may not decide.
      Asked by  ana (slack), 14:01:20Z (1 min ago)
      Reason  DC power work <!channel> <http://evil|click>
      Target  qemu at hv-2
      Expires  14:32:20Z (in 30 min)
      ✓  replication  protected, lag 9 s
      [Approve] [Reject] [Details]
      apr_7K3M9Q2WXA · revision 1 · digest ab12cd34"
    `);
  });
});

function typesIn(value: unknown): string[] {
  const found: string[] = [];
  JSON.stringify(value, (key, inner: unknown) => {
    if (key === 'type' && typeof inner === 'string') found.push(inner);
    return inner;
  });
  return found;
}

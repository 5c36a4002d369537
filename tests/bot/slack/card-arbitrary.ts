import fc from 'fast-check';
import { brokenLimits, type Card } from '../../../bot/card.ts';

/** What people, guests and hosts might write to do harm in Slack. */
export const hostileTexts = [
  '<!channel> wake up',
  '<!here|here>',
  '<!everyone>',
  '<@U00000001>',
  '<#C00000001|dr>',
  '<!subteam^S1|@oncall>',
  '<http://evil.example|click here>',
  'http://evil.example/?a=1&b=2',
  '@channel @here @everyone',
  '*bold* _it_ ~no~ `code` ```block```',
  '> quote\n> more',
  ':rotating_light: :skull:',
  '&lt;!channel&gt; &amp;',
  '\u202egnp.exe \u0000\u001b[2J',
  '<!date^1392734382^{date}|now>',
  '[Approve](http://evil)',
] as const;

const text = (lengthMax: number) =>
  fc.oneof(
    fc.constantFrom(...hostileTexts).map((value) => value.slice(0, lengthMax)),
    fc.string({ unit: 'binary', maxLength: Math.min(lengthMax, 200) }),
    fc.string({ maxLength: Math.min(lengthMax, 60) }),
    fc.integer({ min: 1, max: lengthMax }).map((length) => 'x"&<'.repeat(lengthMax).slice(0, length)),
  );
const filled = (lengthMax: number) => text(lengthMax).map((value) => (value.trim() === '' ? 'x' : value));

/** Cards that every platform must be able to show. */
export const anyCard: fc.Arbitrary<Card> = fc
  .record(
    {
      title: filled(150),
      tone: fc.constantFrom('neutral', 'working', 'good', 'warning', 'bad'),
      audience: fc.constantFrom('asker', 'channel'),
      text: fc.array(text(3000), { maxLength: 5 }),
      progress: fc.record({ percent: fc.integer({ min: 0, max: 100 }), label: text(80) }),
      fields: fc.array(fc.record({ label: filled(40), value: text(2000) }), { maxLength: 10 }),
      table: fc.integer({ min: 1, max: 20 }).chain((width) =>
        fc.record({
          columns: fc.array(text(20), { minLength: width, maxLength: width }),
          rows: fc.array(fc.array(text(80), { minLength: width, maxLength: width }), { maxLength: 50 }),
        }),
      ),
      sections: fc.array(
        fc.record({ title: filled(60), rows: fc.array(fc.tuple(filled(80), text(200)), { maxLength: 12 }) }),
        { maxLength: 4 },
      ),
      picture: fc.record({ path: filled(100), apiPath: filled(100), altText: filled(100) }),
      link: fc.record({
        label: filled(75),
        url: fc.oneof(fc.webUrl({ withFragments: true, validSchemes: ['https', 'http'] }), text(300)),
      }),
      copyLine: text(300),
      buttons: fc.array(
        fc.record(
          {
            label: filled(75),
            line: filled(2000),
            style: fc.constantFrom('default', 'primary', 'danger'),
            opens: fc.constantFrom('failover', 'approve', 'reject', 'snooze'),
          },
          { requiredKeys: ['label', 'line', 'style'] },
        ),
        { maxLength: 5 },
      ),
      footer: text(300),
    },
    { requiredKeys: ['title', 'tone', 'audience'] },
  )
  .filter((card) => brokenLimits(card).length === 0);

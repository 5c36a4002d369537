import { createRequire } from 'node:module';
import type { Page } from 'playwright-core';
import { launchBrowser, type Theme } from '../fixtures/browser.ts';

export type Pressed = {
  readonly type: string;
  readonly title: string;
  readonly verb?: string;
  readonly data: Record<string, unknown>;
};
export type Drawn = {
  /** What is wrong with how it looks, in words. */
  readonly faults: readonly string[];
  readonly text: string;
  readonly linkCount: number;
  readonly heightPixels: number;
};

export type Look = { readonly theme: Theme; readonly widthPixels: number };

/** Microsoft's own renderer in a browser, in Teams' colours. */
export type CardBrowser = {
  readonly draw: (card: object, look: Look) => Promise<Drawn>;
  /** One after the other, in one go. */
  readonly drawAll: (cards: readonly object[], look: Look) => Promise<readonly Drawn[]>;
  /** Presses every button of every card, in order. */
  readonly pressAll: (cards: readonly object[], look: Look) => Promise<readonly (readonly Pressed[])[]>;
  /** Fills in inputs by label and presses a button of the card that was drawn last; undefined when an input forbids it. */
  readonly press: (title: string, answers?: Readonly<Record<string, string>>) => Promise<Pressed | undefined>;
  readonly picture: (file: string) => Promise<void>;
  readonly close: () => Promise<void>;
};

export async function openCardBrowser(): Promise<CardBrowser> {
  const browser = await launchBrowser();
  const page = await browser.newPage();
  page.setDefaultTimeout(15_000);
  await page.setContent('<!doctype html><html><body style="margin:0"><div id="card"></div></body></html>');
  const script = createRequire(import.meta.url).resolve('adaptivecards/dist/adaptivecards.min.js');
  await page.addScriptTag({ path: script });
  await page.evaluate(inPage);
  return {
    draw: async (card, look) => (await all(page, 'draw', [card], look))[0] as Drawn,
    drawAll: async (cards, look) => (await all(page, 'draw', cards, look)) as Drawn[],
    pressAll: async (cards, look) => (await all(page, 'press', cards, look)) as Pressed[][],
    press: (title, answers = {}) => press(page, title, answers),
    picture: async (file) => {
      await page.locator('#card').screenshot({ path: file });
    },
    close: () => browser.close(),
  };
}

async function all(page: Page, what: 'draw' | 'press', cards: readonly object[], look: Look): Promise<unknown[]> {
  await page.setViewportSize({ width: look.widthPixels, height: 900 });
  const orders = JSON.stringify(cards.map((card) => ({ card, theme: look.theme, width: look.widthPixels })));
  return page.evaluate(`${orders}.map(window.${what})`);
}

async function press(
  page: Page,
  title: string,
  answers: Readonly<Record<string, string>>,
): Promise<Pressed | undefined> {
  await page.evaluate('window.pressed = undefined');
  for (const [label, answer] of Object.entries(answers)) {
    const input = page.getByLabel(label, { exact: false }).first();
    const tag = await input.evaluate('(element) => element.tagName + ":" + element.type');
    if (tag === 'SELECT:select-one') await input.selectOption(answer);
    else if (String(tag).startsWith('INPUT:radio')) await page.getByLabel(answer).check();
    else await input.fill(answer);
  }
  await page.getByRole('button', { name: title, exact: true }).click();
  return (await page.evaluate('window.pressed')) as Pressed | undefined;
}

/** Runs inside the browser; as text, because it is not ours to type-check there. */
const inPage = `(() => {
    const style = (background, color, border) => ({
      backgroundColor: background, borderColor: border ?? background,
      foregroundColors: {
        default: { default: color[0], subtle: color[1] }, accent: { default: color[2], subtle: color[2] },
        good: { default: color[3], subtle: color[3] }, warning: { default: color[4], subtle: color[4] },
        attention: { default: color[5], subtle: color[5] }, dark: { default: color[0], subtle: color[1] }, light: { default: color[0], subtle: color[1] },
      },
    });
    const light = ['#242424', '#616161', '#4f52b2', '#13631d', '#7a4a00', '#a11a1f'];
    const dark = ['#ffffff', '#adadad', '#9ea2ff', '#92c353', '#f8d22a', '#f9526b'];
    // On a phone Teams puts buttons below each other.
    const hostConfig = (theme, isPhone) => ({
      supportsInteractivity: true,
      fontFamily: 'Segoe UI, DejaVu Sans, sans-serif',
      fontTypes: { default: { fontFamily: 'Segoe UI, DejaVu Sans, sans-serif' }, monospace: { fontFamily: 'Consolas, DejaVu Sans Mono, monospace' } },
      fontSizes: { small: 12, default: 14, medium: 16, large: 18, extraLarge: 24 },
      spacing: { small: 6, default: 10, medium: 14, large: 18, extraLarge: 24, padding: 12 },
      actions: { maxActions: 6, spacing: 'default', buttonSpacing: 8, actionsOrientation: isPhone ? 'vertical' : 'horizontal', actionAlignment: 'left' },
      containerStyles: theme === 'light'
        ? { default: style('#ffffff', light), emphasis: style('#f0f0f0', light), good: style('#e7f2da', light), warning: style('#fbf6d9', light), attention: style('#fcf4f6', light, '#e8b5bd'), accent: style('#e8ebfa', light) }
        : { default: style('#292929', dark), emphasis: style('#1f1f1f', dark), good: style('#0d2e0d', dark), warning: style('#463100', dark), attention: style('#3b1519', dark), accent: style('#2f2f4a', dark) },
    });
    window.hostConfig = hostConfig;
    // A crude reader of markdown, as eager as any client's: what it turns into a link or bold type, a client might.
    AdaptiveCards.AdaptiveCard.onProcessMarkdown = (text, result) => {
      result.outputHtml = text.replace(/\\[([^\\]]*)\\]\\(([^)]*)\\)/g, '<a href="$2">$1</a>').replace(/\\*\\*([^*]+)\\*\\*/g, '<b>$1</b>');
      result.didProcess = true;
    };
      window.draw = ({ card, theme, width }) => {
    const adaptive = new AdaptiveCards.AdaptiveCard();
    adaptive.hostConfig = new AdaptiveCards.HostConfig(window.hostConfig(theme, width < 480));
    adaptive.onExecuteAction = (action) => {
      window.pressed = { type: action.getJsonTypeName(), title: action.title, verb: action.verb, data: action.data };
    };
    const context = new AdaptiveCards.SerializationContext(AdaptiveCards.Versions.v1_5);
    adaptive.parse(card, context);
    const faults = [];
    for (let index = 0; index < context.eventCount; index += 1) faults.push(context.getEventAt(index).message);
    const place = document.getElementById('card');
    place.replaceChildren(adaptive.render());
    place.style.width = width + 'px';
    place.style.background = theme === 'light' ? '#ffffff' : '#292929';
    for (const element of place.querySelectorAll('*')) {
      const box = element.getBoundingClientRect();
      const name = (element.className || element.tagName) + ': ' + (element.textContent ?? '').slice(0, 40);
      if (box.width > 0 && (box.right > width + 1 || box.left < -1)) faults.push('beyond the edge: ' + name);
      const isText = element.matches('.ac-richTextBlock, .ac-textBlock');
      if (isText && ((element.textContent ?? '').trim() === '' || box.height === 0)) faults.push('empty: ' + name);
      if (isText && element.scrollWidth > element.clientWidth + 1) faults.push('overflows: ' + name);
      if (element.matches('.ac-container') && element.childElementCount === 0) faults.push('empty: ' + name);
      if (element.matches('button') && element.textContent.trim() === '') faults.push('a button without words');
    }
    return { faults, text: place.innerText, linkCount: place.querySelectorAll('a').length, heightPixels: place.offsetHeight };
  };
    window.press = (order) => {
      window.draw(order);
      return [...document.querySelectorAll('#card button')].map((button) => {
        window.pressed = undefined;
        button.click();
        return window.pressed;
      });
    };
  })()`;

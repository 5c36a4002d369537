import type { ThemeChoice } from './model.ts';

const storageKey = 'lifeboat-theme';
const choices = ['system', 'light', 'dark'] as const satisfies readonly ThemeChoice[];

/** What was chosen in this browser before. */
export function storedTheme(): ThemeChoice {
  try {
    const stored = localStorage.getItem(storageKey);
    return choices.find((choice) => choice === stored) ?? 'system';
  } catch {
    // A browser that keeps nothing for us: the system's choice is a good one.
    return 'system';
  }
}

/** Draws the page in the theme, and keeps the choice for the next time where the browser lets us. */
export function applyTheme(theme: ThemeChoice): void {
  if (theme === 'system') delete document.documentElement.dataset.theme;
  else document.documentElement.dataset.theme = theme;
  try {
    localStorage.setItem(storageKey, theme);
  } catch {
    // Not kept: it holds for as long as the page is open.
  }
}

/** The one after it, for a button that goes round. */
export function nextTheme(theme: ThemeChoice): ThemeChoice {
  return choices[(choices.indexOf(theme) + 1) % choices.length] ?? 'system';
}

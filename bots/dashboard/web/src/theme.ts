// Dark or light: as the system prefers until somebody chooses.

import { signal } from '@preact/signals';

export type Theme = 'dark' | 'light';

export const theme = signal<Theme>(document.documentElement.dataset['theme'] === 'dark' ? 'dark' : 'light');

matchMedia('(prefers-color-scheme: dark)').addEventListener('change', ({ matches }) => {
  if (chosen() === undefined) apply(matches ? 'dark' : 'light');
});

/** The other one, from now on. */
export function toggle(): void {
  const next = theme.peek() === 'dark' ? 'light' : 'dark';
  try {
    localStorage.setItem('theme', next);
  } catch {
    // It lasts as long as the page, then.
  }
  apply(next);
}

function chosen(): string | undefined {
  try {
    return localStorage.getItem('theme') ?? undefined;
  } catch {
    return undefined;
  }
}

function apply(next: Theme): void {
  document.documentElement.dataset['theme'] = next;
  theme.value = next;
}

/** The value of a colour of the style sheet, for what is drawn on a canvas. */
export const colour = (name: string): string =>
  getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();

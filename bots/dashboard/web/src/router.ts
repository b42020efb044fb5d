// Where the page is: a path and its query, in the address bar.

import { computed, signal } from '@preact/signals';

const place = signal(new URL(location.href));

export const path = computed(() => place.value.pathname);
export const query = computed(() => place.value.searchParams);

addEventListener('popstate', () => {
  place.value = new URL(location.href);
});

/** Goes to another place. */
export function go(to: string, { replace = false, keepScroll = false } = {}): void {
  if (replace) history.replaceState(null, '', to);
  else history.pushState(null, '', to);
  place.value = new URL(location.href);
  if (!replace && !keepScroll) {
    scrollTo(0, 0);
    // Readers of screens go on where the new page begins.
    document.querySelector<HTMLElement>('main')?.focus({ preventScroll: true });
  }
}

/** Changes parts of the query; what is empty leaves it. */
export function setQuery(parts: Record<string, string>, replace = true): void {
  const url = new URL(location.href);
  for (const [name, value] of Object.entries(parts)) {
    if (value === '') url.searchParams.delete(name);
    else url.searchParams.set(name, value);
  }
  go(url.pathname + url.search, { replace, keepScroll: true });
}

/** Links of this page lead within it; those that people open elsewhere do not. */
export function follow(event: MouseEvent): void {
  const link = (event.target as Element | null)?.closest?.('a');
  if (
    !link ||
    link.origin !== location.origin ||
    link.target ||
    link.hasAttribute('download') ||
    link.pathname.startsWith('/api/')
  )
    return;
  if (event.defaultPrevented || event.button !== 0 || event.metaKey || event.ctrlKey || event.shiftKey || event.altKey)
    return;
  // Anchors within a page are the browser's.
  if (link.hash && link.pathname === location.pathname) return;
  event.preventDefault();
  go(link.pathname + link.search);
}

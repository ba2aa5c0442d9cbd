// Pages by URL: every filter is in it, so that what one sees can be sent to somebody.

import { useSyncExternalStore } from 'react';

const listeners = new Set<() => void>();

function subscribe(listener: () => void): () => void {
  listeners.add(listener);
  window.addEventListener('popstate', listener);
  return () => {
    listeners.delete(listener);
    window.removeEventListener('popstate', listener);
  };
}

const here = () => window.location.pathname + window.location.search;

export interface Place { path: string; params: URLSearchParams }

let place: { href: string; place: Place } | undefined;

function current(): Place {
  const href = here();
  if (place?.href !== href) {
    place = { href, place: { path: window.location.pathname, params: new URLSearchParams(window.location.search) } };
  }
  return place!.place;
}

export function usePlace(): Place {
  return useSyncExternalStore(subscribe, current);
}

export function navigate(to: string, how: 'push' | 'replace' = 'push'): void {
  if (to === here()) return;
  if (how === 'push') window.history.pushState(null, '', to);
  else window.history.replaceState(null, '', to);
  for (const listener of [...listeners]) listener();
  if (how === 'push' && !to.startsWith(`${place?.place.path ?? ''}?`)) window.scrollTo(0, 0);
}

/** Returns a query string with parameters changed; an empty value removes its parameter. */
export function withParams(params: URLSearchParams, changes: Record<string, string | undefined>): string {
  const next = new URLSearchParams(params);
  for (const [key, value] of Object.entries(changes)) {
    if (value) next.set(key, value);
    else next.delete(key);
  }
  const text = next.toString().replaceAll('%2C', ',').replaceAll('%2F', '/');
  return text ? `?${text}` : '';
}

/** Returns the parameters that the hub is asked with; it refuses those it does not know. */
export function only(params: URLSearchParams, names: string[]): URLSearchParams {
  return new URLSearchParams([...params].filter(([name]) => names.includes(name)));
}

/** Returns a comma list with a word added, or removed if it is there. */
export function toggled(list: string | null, word: string): string {
  const words = (list ?? '').split(',').filter(Boolean);
  return (words.includes(word) ? words.filter((other) => other !== word) : [...words, word]).join(',');
}

/** For links: the browser keeps its own ways (new tab, copy), a plain click stays on the page. */
export function follow(event: React.MouseEvent, to: string): void {
  if (event.defaultPrevented || event.button !== 0 || event.metaKey || event.ctrlKey || event.shiftKey || event.altKey) return;
  event.preventDefault();
  navigate(to);
}

/** Returns the parts of a path, decoded; one that is no encoding is what it says. */
export function decoded(path: string): string[] {
  return path.split('/').filter(Boolean).map((part) => {
    try {
      return decodeURIComponent(part);
    } catch {
      return part;
    }
  });
}

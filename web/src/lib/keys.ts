// Keys: one, or `g` and one.

import { useEffect, useRef } from 'react';
import { navigate } from './router';

export const KEYS: [string, string][] = [
  ['/', 'Search clusters'],
  ['g f', 'Go to Fleet'],
  ['g c', 'Go to Clusters'],
  ['g a', 'Go to Applications'],
  ['g t', 'Go to Activity'],
  ['← ↑ → ↓', 'Move between tiles of the fleet'],
  ['Enter', 'Open what has the focus'],
  ['d', 'Dark or light'],
  ['?', 'This help'],
  ['Esc', 'Close, or leave the search'],
];

const GO: Record<string, string> = { f: '/', c: '/clusters', a: '/apps', t: '/activity' };
/** The second key has to come within this time. */
const PAIR_MS = 1000;

export function useKeys(actions: { search: () => void; help: () => void; theme: () => void }): void {
  const last = useRef(actions);
  last.current = actions;
  useEffect(() => {
    let goAt = 0;
    const onKey = (event: KeyboardEvent) => {
      const target = event.target as HTMLElement;
      const isTyping = target.isContentEditable || /^(INPUT|TEXTAREA|SELECT)$/.test(target.tagName);
      if (event.ctrlKey || event.metaKey || event.altKey || event.isComposing) return;
      if (isTyping) {
        if (event.key === 'Escape') target.blur();
        return;
      }
      const to = GO[event.key];
      if (event.timeStamp - goAt < PAIR_MS && to) {
        goAt = 0;
        navigate(to);
      } else if (event.key === 'g') {
        goAt = event.timeStamp;
        return;
      } else if (event.key === '/') last.current.search();
      else if (event.key === '?') last.current.help();
      else if (event.key === 'd') last.current.theme();
      else return;
      event.preventDefault();
    };
    document.addEventListener('keydown', onKey);
    return () => document.removeEventListener('keydown', onKey);
  }, []);
}

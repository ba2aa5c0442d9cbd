// The last day of a cluster as stretches of one state each.

import { stateOf } from './states';
import type { State, StateAt } from './types';

export interface Stretch { state: State; from: number; to: number; reason?: string }

/** Returns stretches that fill `[from, to]`, oldest first; before the first entry nothing is known. */
export function stretches(history: StateAt[], from: number, to: number): Stretch[] {
  const found: Stretch[] = [];
  const add = (stretch: Stretch) => {
    const last = found.at(-1);
    if (last && last.state === stretch.state) last.to = stretch.to;
    else if (stretch.to > stretch.from) found.push(stretch);
  };
  const sorted = history.map((entry) => ({ ...entry, time: Date.parse(entry.at) })).sort((a, b) => a.time - b.time);
  sorted.forEach((entry, index) => {
    const begin = Math.max(from, entry.time);
    const end = Math.min(to, sorted[index + 1]?.time ?? to);
    if (end > begin) add({ state: stateOf(entry.state), from: begin, to: end, reason: entry.reason });
  });
  const first = found[0];
  if (first && first.from > from) found.unshift({ state: 'Unknown', from, to: first.from });
  return found;
}

/** Returns how far back to look: as far as is known, at least ten minutes and at most a day. */
export function span(history: StateAt[], now: number): number {
  const first = Math.min(...history.map((entry) => Date.parse(entry.at)), now);
  return Math.min(Math.max(now - first, 10 * 60_000), 24 * 3600_000);
}

// What each state means and what to do about it: one sentence each, shown wherever the state is.

import type { State } from './types';

export interface Meaning {
  /** For sorting: worst first. */
  rank: number;
  meaning: string;
  next: string;
}

export const STATES: Record<State, Meaning> = {
  Offline: { rank: 0, meaning: 'Was reached once and is not now. It keeps running what it has.', next: 'See since when, and look at its link.' },
  Degraded: { rank: 1, meaning: 'Reached; something is wrong that does not go away by itself.', next: 'Open its problem for the cause and a remedy.' },
  Pending: { rank: 2, meaning: 'Asks to join and is not accepted.', next: 'Accept it, if it is yours.' },
  Joining: { rank: 3, meaning: 'Accepted, and never heard yet.', next: 'Wait, or look at the log of its agent.' },
  Progressing: { rank: 4, meaning: 'Reached; a change is on its way.', next: 'Wait: it ends by itself.' },
  Unknown: { rank: 5, meaning: 'This console does not know what the hub says.', next: 'Upgrade this console.' },
  Ready: { rank: 6, meaning: 'Reached; all its Applications are Synced and Healthy.', next: 'Nothing to do.' },
};

/** Worst first. */
export const ALL_STATES = (Object.keys(STATES) as State[]).sort((a, b) => STATES[a].rank - STATES[b].rank);

export function stateOf(word: string): State {
  return word in STATES ? (word as State) : 'Unknown';
}

/** Words of Applications and objects, as people read them: good, moving, bad, or not known. */
export type Tone = 'good' | 'moving' | 'bad' | 'warn' | 'unknown';

const TONES: Record<string, Tone> = {
  Synced: 'good', Healthy: 'good', Succeeded: 'good', Ready: 'good', Online: 'good',
  Progressing: 'moving', Running: 'moving', Joining: 'moving',
  OutOfSync: 'warn', Suspended: 'warn', Missing: 'warn', Terminating: 'warn', Pending: 'warn',
  Degraded: 'bad', Failed: 'bad', Error: 'bad', SyncFailed: 'bad', RenderFailed: 'bad', Offline: 'bad',
};

export function toneOf(word: string): Tone {
  return TONES[word] ?? 'unknown';
}

// How long ago, in words that fit a table.

/** Returns an age such as `4 s`, `12 min`, `3 h`, `2 d`. */
export function age(seconds: number): string {
  if (seconds < 1) return 'now';
  if (seconds < 100) return `${Math.floor(seconds)} s`;
  if (seconds < 100 * 60) return `${Math.floor(seconds / 60)} min`;
  if (seconds < 48 * 3600) return `${Math.floor(seconds / 3600)} h`;
  return `${Math.floor(seconds / 86400)} d`;
}

export function ago(seconds: number): string {
  return seconds < 1 ? 'now' : `${age(seconds)} ago`;
}

export function secondsSince(timestamp: string, now: number): number {
  return Math.max(0, (now - Date.parse(timestamp)) / 1000);
}

/** Returns how faded a tile is: knowledge ages in steps, so that a fleet does not repaint every second. */
export function fading(lastSeen: number, now: number): 0 | 1 | 2 | 3 {
  if (lastSeen === 0) return 0;
  const seconds = now / 1000 - lastSeen;
  if (seconds < 3 * 60) return 0;
  if (seconds < 15 * 60) return 1;
  return seconds < 4 * 3600 ? 2 : 3;
}

const DATE = new Intl.DateTimeFormat(undefined, { dateStyle: 'medium', timeStyle: 'medium' });
const CLOCK = new Intl.DateTimeFormat(undefined, { hour: '2-digit', minute: '2-digit', second: '2-digit', hour12: false });

export function full(timestamp: string): string {
  const date = new Date(timestamp);
  return Number.isNaN(date.getTime()) ? timestamp : DATE.format(date);
}

export function clock(timestamp: string): string {
  const date = new Date(timestamp);
  return Number.isNaN(date.getTime()) ? timestamp : CLOCK.format(date);
}

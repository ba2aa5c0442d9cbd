// How far an Application that its owners sync by hand is behind its branch, in words.

import { age, full, secondsSince } from './time';
import type { Behind } from './types';

/** Returns for instance `9 commits for 11 d`. */
export function sentenceOfGap({ commits, isMore, since }: Behind, now: number): string {
  const many = commits === undefined ? 'behind' : `${isMore ? 'over ' : ''}${commits} ${commits === 1 && !isMore ? 'commit' : 'commits'}`;
  return since ? `${many} for ${age(secondsSince(since, now))}` : many;
}

/** Whether it should have been synced by now. */
export function isOverdue({ dueAt }: Behind, now: number): boolean {
  return dueAt !== undefined && Date.parse(dueAt) <= now;
}

/** Returns the whole of it, to be read when pointed at. */
export function titleOfGap({ since, dueAt }: Behind): string {
  const first = since ? `The branch took the first of them on ${full(since)}.` : '';
  return [first, dueAt ? `To be synced by ${full(dueAt)}.` : 'There is no deadline.'].filter(Boolean).join(' ');
}

// What changes, as it changes: one stream, for what is in sight. A hidden tab has none, and begins anew when it is seen.

import { useEffect, useRef, useState, useSyncExternalStore } from 'react';
import { READ } from './api';
import type { FleetCounters, RowsChanged } from './types';

export interface Listener {
  onFleet?: (counters: FleetCounters) => void;
  onRows?: (rows: RowsChanged) => void;
  onSeen?: (seen: [string, number][]) => void;
}

/** Counters alone: no cluster has this name. */
export const NO_ROWS = '?names=-';

let isLive: boolean | undefined;
const watchers = new Set<() => void>();
function tell(live: boolean | undefined): void {
  if (isLive === live) return;
  isLive = live;
  for (const watcher of [...watchers]) watcher();
}

/** Whether changes come in; undefined while that is not known. */
export function useIsLive(): boolean | undefined {
  return useSyncExternalStore(
    (watcher) => {
      watchers.add(watcher);
      return () => watchers.delete(watcher);
    },
    () => isLive,
  );
}

/** Listens to the changes of a query; `null` listens to none. */
export function useChanges(query: string | null, listener: Listener): void {
  const last = useRef(listener);
  last.current = listener;
  const [isSeen, setSeen] = useState(!document.hidden);
  useEffect(() => {
    const look = () => setSeen(!document.hidden);
    document.addEventListener('visibilitychange', look);
    return () => document.removeEventListener('visibilitychange', look);
  }, []);
  useEffect(() => {
    if (query === null || !isSeen) return;
    const source = new EventSource(`${READ}/changes${query}`);
    source.onopen = () => tell(true);
    source.onerror = () => tell(false);
    const on = <T>(name: string, call: (data: T) => void) =>
      source.addEventListener(name, (event) => call(JSON.parse((event as MessageEvent<string>).data) as T));
    on<FleetCounters>('fleet', (data) => last.current.onFleet?.(data));
    on<RowsChanged>('rows', (data) => last.current.onRows?.(data));
    on<[string, number][]>('seen', (data) => last.current.onSeen?.(data));
    return () => {
      source.close();
      tell(undefined);
    };
  }, [query, isSeen]);
}

/** Returns the time, anew every `ms`. */
export function useNow(ms = 1000): number {
  const [now, setNow] = useState(Date.now);
  useEffect(() => {
    const timer = setInterval(() => {
      if (!document.hidden) setNow(Date.now());
    }, ms);
    return () => clearInterval(timer);
  }, [ms]);
  return now;
}

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

/** How long to wait before a stream that was refused is opened again. */
const PAUSE_MS = 2_000;
const PAUSE_MAX_MS = 30_000;

export interface Stream { close(): void }

/**
 * Keeps a stream open. A browser opens one again by itself when it breaks, and gives up for good when it is refused: by
 * the console while the hub is away, say. Then it is opened anew, at first soon and then ever later.
 */
export function keepOpen(open: () => EventSource, isOpen: (live: boolean) => void): Stream {
  let source: EventSource;
  let timer: ReturnType<typeof setTimeout> | undefined;
  let pause = PAUSE_MS;
  const begin = () => {
    timer = undefined;
    const mine = open();
    source = mine;
    mine.onopen = () => {
      pause = PAUSE_MS;
      isOpen(true);
    };
    mine.onerror = () => {
      isOpen(false);
      if (mine.readyState !== 2 /* CLOSED */ || timer !== undefined) return;
      timer = setTimeout(begin, pause);
      pause = Math.min(pause * 2, PAUSE_MAX_MS);
    };
  };
  begin();
  return {
    close: () => {
      clearTimeout(timer);
      source.onopen = source.onerror = null;
      source.close();
    },
  };
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
    const open = () => {
      const source = new EventSource(`${READ}/changes${query}`);
      const on = <T>(name: string, call: (data: T) => void) =>
        source.addEventListener(name, (event) => call(JSON.parse((event as MessageEvent<string>).data) as T));
      on<FleetCounters>('fleet', (data) => last.current.onFleet?.(data));
      on<RowsChanged>('rows', (data) => last.current.onRows?.(data));
      on<[string, number][]>('seen', (data) => last.current.onSeen?.(data));
      return source;
    };
    const stream = keepOpen(open, tell);
    return () => {
      stream.close();
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

// Documents of the hub for pages: fetched when the path changes, shown at once when they were seen before.

import { useCallback, useEffect, useRef, useState } from 'react';
import { READ, Refusal, request } from './api';

/** Documents that were shown; the oldest goes. Going back shows them at once, and asks again. */
const shown = new Map<string, unknown>();
const SHOWN_MAX = 12;

function remember(path: string, document: unknown): void {
  shown.delete(path);
  shown.set(path, document);
  const oldest = shown.keys().next();
  if (shown.size > SHOWN_MAX && !oldest.done) shown.delete(oldest.value);
}

export interface Data<T> {
  data?: T;
  error?: Refusal;
  /** Whether the data are of another path, while those of this one are on their way. */
  isStale: boolean;
  reload: () => void;
  change: (how: (data: T) => T) => void;
}

/** Returns the document at a path of the read model; `null` asks nothing. */
export function useData<T>(path: string | null): Data<T> {
  const [state, setState] = useState<{ path: string | null; data?: T; error?: Refusal }>({ path: null });
  const [turn, setTurn] = useState(0);
  const asked = useRef(0);
  useEffect(() => {
    if (path === null) return;
    const known = shown.get(path) as T | undefined;
    if (known !== undefined) setState((old) => (old.path === path ? old : { path, data: known }));
    const ending = new AbortController();
    const number = ++asked.current;
    request<T>(READ + path, { signal: ending.signal }).then(
      (data) => {
        if (number !== asked.current) return;
        remember(path, data);
        setState({ path, data });
      },
      (error: unknown) => {
        if (ending.signal.aborted || number !== asked.current) return;
        const refusal = error instanceof Refusal ? error : new Refusal(0, String(error));
        setState((old) => ({ path, data: old.path === path ? old.data : undefined, error: refusal }));
      },
    );
    return () => ending.abort();
  }, [path, turn]);
  const reload = useCallback(() => setTurn((turn) => turn + 1), []);
  const change = useCallback((how: (data: T) => T) => setState((old) => (old.data === undefined ? old : { ...old, data: how(old.data) })), []);
  return { data: state.data, error: state.error, isStale: state.path !== path, reload, change };
}

/** Returns a function that calls the last one given to it, not more often than every `ms`. */
export function useThrottled(call: () => void, ms: number): () => void {
  const last = useRef(call);
  last.current = call;
  const timer = useRef<ReturnType<typeof setTimeout> | undefined>(undefined);
  const calledAt = useRef(0);
  useEffect(() => () => clearTimeout(timer.current), []);
  return useCallback(() => {
    if (timer.current !== undefined) return;
    const wait = Math.max(0, calledAt.current + ms - Date.now());
    timer.current = setTimeout(() => {
      timer.current = undefined;
      calledAt.current = Date.now();
      last.current();
    }, wait);
  }, [ms]);
}

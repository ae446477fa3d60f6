import { type DependencyList, useCallback, useEffect, useRef, useState } from "react";
import { isCancelled, type Problem, problemOf } from "../api/problem.ts";

/** What is being loaded: a value, or why there is none. The last value stays while it is loaded again. */
export interface Loaded<T> {
  value?: T;
  problem?: Problem;
  loading: boolean;
  reload: () => void;
  /** Replaces the value by what is known to be newer. */
  set: (value: T) => void;
}

/** Loads when the page opens and whenever a dependency changes; gives up what nobody waits for any more. */
export function useLoad<T>(load: (signal: AbortSignal) => Promise<T>, dependencies: DependencyList): Loaded<T> {
  const [state, setState] = useState<{ value?: T; problem?: Problem; loading: boolean }>({ loading: true });
  const [round, setRound] = useState(0);
  const latest = useRef(load);
  latest.current = load;
  useEffect(() => {
    const control = new AbortController();
    setState((state) => ({ ...state, loading: true }));
    latest.current(control.signal).then(
      (value) => !control.signal.aborted && setState({ value, loading: false }),
      (error: unknown) => {
        if (control.signal.aborted || isCancelled(error)) return;
        setState((state) => ({ ...state, problem: problemOf(error), loading: false }));
      },
    );
    return () => control.abort();
  }, [...dependencies, round]);
  const reload = useCallback(() => setRound((round) => round + 1), []);
  const set = useCallback((value: T) => setState({ value, loading: false }), []);
  return { ...state, reload, set };
}

/** Every item of a list that is told in pages. */
export async function allPages<T>(
  page: (pageToken: string) => Promise<{ items: T[]; nextPageToken: string }>,
  most = 10_000,
): Promise<T[]> {
  const all: T[] = [];
  let token = "";
  do {
    const { items, nextPageToken } = await page(token);
    all.push(...items);
    token = nextPageToken;
  } while (token && all.length < most);
  return all;
}

import { useSyncExternalStore } from "react";

/** Where the key stays: this tab, until it is closed. */
const PLACE = "pulse.key";

let wanted = false;
let generation = 0;
const listeners = new Set<() => void>();

/** The key that was entered in this tab; empty when there is none. */
export function apiKey(): string {
  return sessionStorage.getItem(PLACE) ?? "";
}

/** The server did not take this key. What was entered since then stands. */
export function refuseKey(key: string) {
  if (wanted || key !== apiKey()) return;
  wanted = true;
  tell();
}

/** Takes a key; everything is loaded again with it. */
export function enterKey(key: string) {
  if (key) sessionStorage.setItem(PLACE, key);
  else sessionStorage.removeItem(PLACE);
  wanted = false;
  generation += 1;
  tell();
}

/** Whether a key has to be entered, and how often one was. */
export function useKey(): { wanted: boolean; generation: number } {
  const state = useSyncExternalStore(subscribe, () => `${wanted ? 1 : 0}:${generation}`);
  return { wanted: state.startsWith("1"), generation };
}

function subscribe(listener: () => void) {
  listeners.add(listener);
  return () => listeners.delete(listener);
}

function tell() {
  for (const listener of listeners) listener();
}

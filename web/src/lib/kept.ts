import { useCallback, useState } from "react";

/** What this browser remembers under a name; the initial value where it may not remember anything. */
export function kept<T>(name: string, initial: T): T {
  try {
    const text = localStorage.getItem(`pulse.${name}`);
    return text === null ? initial : (JSON.parse(text) as T);
  } catch {
    return initial;
  }
}

/** Remembers it for the next visit. */
export function keep(name: string, value: unknown) {
  try {
    localStorage.setItem(`pulse.${name}`, JSON.stringify(value));
  } catch {
    // Full or forbidden: it is a convenience only.
  }
}

/** State that the browser remembers. */
export function useKept<T>(name: string, initial: T): [T, (value: T) => void] {
  const [value, setValue] = useState(() => kept(name, initial));
  const set = useCallback(
    (value: T) => {
      keep(name, value);
      setValue(value);
    },
    [name],
  );
  return [value, set];
}

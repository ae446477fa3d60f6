import { type Duration, durationMs, type Timestamp, timestampMs } from "@bufbuild/protobuf/wkt";

const numbers = new Intl.NumberFormat("en");
const times = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "short" });

/** `12,345`. */
export function count(number: number | bigint): string {
  return numbers.format(number);
}

/** `1 row`, `2 rows`. */
export function counted(number: number | bigint, one: string, many = `${one}s`): string {
  return `${count(number)} ${Number(number) === 1 ? one : many}`;
}

/** A span in the unit that people would say: `0.4 ms`, `87 ms`, `3.2 s`, `4 min 12 s`. */
export function span(milliseconds: number): string {
  if (milliseconds < 10) return `${Math.max(0, milliseconds).toFixed(1)} ms`;
  if (milliseconds < 1000) return `${Math.round(milliseconds)} ms`;
  if (milliseconds < 60_000) return `${(milliseconds / 1000).toFixed(1)} s`;
  const seconds = Math.round(milliseconds / 1000);
  return `${Math.floor(seconds / 60)} min ${seconds % 60} s`;
}

/** A span of the contract. */
export function duration(value: Duration | undefined): string {
  return value ? span(durationMs(value)) : "";
}

/** An instant in the reader's own zone. */
export function when(value: Timestamp | undefined): string {
  return value ? times.format(timestampMs(value)) : "";
}

/** How long ago, in a word or two. */
export function ago(milliseconds: number, now = Date.now()): string {
  const seconds = Math.max(0, (now - milliseconds) / 1000);
  if (seconds < 60) return "just now";
  if (seconds < 3600) return `${Math.floor(seconds / 60)} min ago`;
  if (seconds < 86_400) return `${Math.floor(seconds / 3600)} h ago`;
  if (seconds < 7 * 86_400) return counted(Math.floor(seconds / 86_400), "day") + " ago";
  return new Date(milliseconds).toLocaleDateString();
}

/** `87 %` of a number from 0 to 1. */
export function percent(fraction: number): string {
  return `${Math.round(fraction * 100)} %`;
}

/** `1.2 MiB`. */
export function bytes(size: number): string {
  if (size < 1024) return `${size} B`;
  if (size < 1024 * 1024) return `${(size / 1024).toFixed(1)} KiB`;
  return `${(size / 1024 / 1024).toFixed(1)} MiB`;
}

/** The word behind the value of an enum: `READ_ONLY` becomes `read only`. */
export function word(name: string | undefined): string {
  return (name ?? "").toLowerCase().replaceAll("_", " ");
}

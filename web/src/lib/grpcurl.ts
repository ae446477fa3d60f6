import { apiKey } from "../api/key.ts";

/** The command that makes the same call from a shell. The key is never part of it. */
export function grpcurl(method: string, request: Record<string, unknown> | string): string {
  const plain = location.protocol === "http:" ? "-plaintext " : "";
  const key = apiKey() ? '-H "authorization: Bearer $PULSE_API_KEY" ' : "";
  const port = location.port || (location.protocol === "http:" ? "80" : "443");
  const body = typeof request === "string" ? request : JSON.stringify(request);
  return `grpcurl ${plain}${key}-d ${quoted(body)} ${location.hostname}:${port} pulse.v1.${method}`;
}

/** One word for a POSIX shell, whatever is in it. */
export function quoted(text: string): string {
  return `'${text.replaceAll("'", String.raw`'\''`)}'`;
}

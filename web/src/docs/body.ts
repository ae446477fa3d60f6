import { type DescMethod, fromJson, type Message } from "@bufbuild/protobuf";

/** Why a text is no request of a call, told to a person. */
export class BodyError extends Error {}

/** The request that a text stands for. */
export function parsed(method: DescMethod, body: string): Message {
  let value;
  try {
    value = JSON.parse(body || "{}");
  } catch (error) {
    throw new BodyError(`This is not JSON: ${told(error)}.`);
  }
  try {
    return fromJson(method.input, value);
  } catch (error) {
    throw new BodyError(`This is no ${method.input.name}: ${told(error)}.`);
  }
}

/** The words of an error, without those that say where in a library it happened. */
function told(error: unknown): string {
  const words = error instanceof Error ? error.message : String(error);
  return words
    .replace(/^cannot decode message \S+ from JSON: /, "")
    .replace(/^cannot decode field (?:\S+\.)?(\w+) from JSON: /, "$1: ")
    .replace(/^key "(.+)" is unknown$/, "there is no field $1")
    .replace(/\.$/, "");
}

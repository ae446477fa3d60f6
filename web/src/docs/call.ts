import { type DescMethod, type DescMethodServerStreaming, type DescMethodUnary, type Message, toJson } from "@bufbuild/protobuf";
import { transport } from "../api/client.ts";
import { parsed } from "./body.ts";

/** Makes a call with a request in JSON; its answers come in JSON too, with the names of the contract. */
export async function* call(method: DescMethod, body: string, signal: AbortSignal): AsyncGenerator<unknown> {
  const request = parsed(method, body);
  const json = (message: Message) => toJson(method.output, message, { useProtoFieldName: true });
  if (method.methodKind === "unary") {
    yield json((await transport.unary(method as DescMethodUnary, signal, undefined, undefined, request)).message);
  } else {
    const { message } = await transport.stream(method as DescMethodServerStreaming, signal, undefined, undefined, one(request));
    for await (const answer of message) yield json(answer);
  }
}

async function* one<T>(message: T): AsyncGenerator<T> {
  yield message;
}

import {
  createRegistry, type DescEnum, type DescField, type DescMessage, type DescMethod, type DescService, getOption, hasOption,
} from "@bufbuild/protobuf";
import { COMMENTS } from "../../gen/comments.ts";
import { http } from "../../gen/google/api/annotations_pb.ts";
import type { HttpRule } from "../../gen/google/api/http_pb.ts";
import { file_pulse_v1_connection_service } from "../../gen/pulse/v1/connection_service_pb.ts";
import { file_pulse_v1_error_reason } from "../../gen/pulse/v1/error_reason_pb.ts";
import { file_pulse_v1_knowledge_service } from "../../gen/pulse/v1/knowledge_service_pb.ts";
import { file_pulse_v1_query_service } from "../../gen/pulse/v1/query_service_pb.ts";
import { file_pulse_v1_workflow_service } from "../../gen/pulse/v1/workflow_service_pb.ts";

/** A message or an enum. */
export type Type = DescMessage | DescEnum;

const FILES = [
  file_pulse_v1_connection_service, file_pulse_v1_query_service, file_pulse_v1_workflow_service, file_pulse_v1_knowledge_service,
  file_pulse_v1_error_reason,
];

/** Everything that the contract declares. */
const registry = createRegistry(...FILES, ...FILES.flatMap((file) => file.dependencies));

/** Its services, in the order in which they are met. */
export const SERVICES: DescService[] = FILES.flatMap((file) => file.services);

/** The service of this short name. */
export function serviceOf(name: string): DescService | undefined {
  return SERVICES.find((service) => service.name === name);
}

/** The type of this short name. */
export function typeOf(name: string): Type | undefined {
  return registry.getMessage(`pulse.v1.${name}`) ?? registry.getEnum(`pulse.v1.${name}`);
}

/** What the contract says about it, in paragraphs. */
export function commentOf(what: Type | DescField | DescMethod | DescService): string[] {
  const name = what.kind === "field" || what.kind === "rpc" ? `${what.parent.typeName}.${what.name}` : what.typeName;
  return paragraphs(name);
}

/** The same about a value of an enum. */
export function commentOfValue(parent: DescEnum, name: string): string[] {
  return paragraphs(`${parent.typeName}.${name}`);
}

function paragraphs(name: string): string[] {
  return COMMENTS[name]?.split("\n\n") ?? [];
}

/** A call over REST, as the gateway takes it. */
export interface Binding {
  verb: string;
  path: string;
  /** What the body holds: the whole request, one field of it, or nothing. */
  body: string;
}

/** The ways to make a call over REST. */
export function bindingsOf(method: DescMethod): Binding[] {
  if (!hasOption(method, http)) return [];
  const rule = getOption(method, http);
  return [rule, ...rule.additionalBindings].flatMap(bindingOf);
}

function bindingOf({ pattern, body }: HttpRule): Binding[] {
  if (pattern.case === undefined || pattern.case === "custom") return [];
  return [{ verb: pattern.case.toUpperCase(), path: pattern.value, body }];
}

/** A field's type in words, and the type of the contract that it leads to. */
export function kindOf(field: DescField): { words: string; type?: Type } {
  switch (field.fieldKind) {
    case "message": return named("", field.message);
    case "enum": return named("", field.enum);
    case "scalar": return { words: `${field.presence === EXPLICIT && !field.oneof ? "optional " : ""}${SCALARS[field.scalar]}` };
    case "map": {
      const value = field.mapKind === "message" ? field.message : field.mapKind === "enum" ? field.enum : undefined;
      const words = `map of ${SCALARS[field.mapKey]} to `;
      return value ? named(words, value) : { words: `${words}${field.scalar === undefined ? "" : SCALARS[field.scalar]}` };
    }
    case "list": {
      const item = field.listKind === "message" ? field.message : field.listKind === "enum" ? field.enum : undefined;
      return item ? named("repeated ", item) : { words: `repeated ${field.scalar === undefined ? "" : SCALARS[field.scalar]}` };
    }
  }
}

/** `google.protobuf` has its types told elsewhere. */
function named(words: string, type: Type): { words: string; type?: Type } {
  return type.file.proto.package === "pulse.v1" ? { words, type } : { words: `${words}${type.typeName}` };
}

/** A field that knows whether it was set (`FeatureSet.FieldPresence.EXPLICIT`). */
const EXPLICIT = 1;

/** Scalar types by their numbers in descriptors. */
const SCALARS: Record<number, string> = {
  1: "double", 2: "float", 3: "int64", 4: "uint64", 5: "int32", 6: "fixed64", 7: "fixed32", 8: "bool", 9: "string", 12: "bytes",
  13: "uint32", 15: "sfixed32", 16: "sfixed64", 17: "sint32", 18: "sint64",
};

/** Whether a call answers with many messages. */
export function isStream(method: DescMethod): boolean {
  return method.methodKind === "server_streaming";
}

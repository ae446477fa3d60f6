// A plugin of buf that keeps what the generated code leaves out: the comments of the contract, by full name.

import { readFileSync } from "node:fs";
import { create, fromBinary, toBinary } from "@bufbuild/protobuf";
import { CodeGeneratorRequestSchema, CodeGeneratorResponse_Feature, CodeGeneratorResponseSchema } from "@bufbuild/protobuf/wkt";

/** What may be declared within a file, a message, an enum or a service: the field's number, its name, and what is within. */
const WITHIN_ENUM = [[2, "value", []]];
const WITHIN_MESSAGE = [[2, "field", []], [4, "enumType", WITHIN_ENUM]];
WITHIN_MESSAGE.push([3, "nestedType", WITHIN_MESSAGE]);
const WITHIN_FILE = [[4, "messageType", WITHIN_MESSAGE], [5, "enumType", WITHIN_ENUM], [6, "service", [[2, "method", []]]]];

const request = fromBinary(CodeGeneratorRequestSchema, readFileSync(0));
const comments = Object.assign({}, ...request.protoFile.filter((file) => file.package.startsWith("pulse.")).map(commentsOf));
const content = `/** The comments of the contract, by the full name of what they are about. */
export const COMMENTS: Record<string, string> = ${JSON.stringify(comments, null, 1)};
`;
const file = Object.keys(comments).length > 0 ? [{ name: "comments.ts", content }] : [];
const supportedFeatures = BigInt(CodeGeneratorResponse_Feature.PROTO3_OPTIONAL);
process.stdout.write(toBinary(CodeGeneratorResponseSchema, create(CodeGeneratorResponseSchema, { file, supportedFeatures })));

function commentsOf(file) {
  const texts = new Map(file.sourceCodeInfo?.location.map(({ path, leadingComments }) => [path.join(), leadingComments]));
  const comments = {};
  tell(file, file.package, [], WITHIN_FILE);
  return comments;

  function tell(parent, name, path, kinds) {
    for (const [number, key, within] of kinds) {
      parent[key].forEach((one, index) => {
        const [itsName, itsPath] = [`${name}.${one.name}`, [...path, number, index]];
        const text = texts.get(itsPath.join());
        // Each paragraph on one line.
        if (text) comments[itsName] = text.trim().split(/\n\s*\n/).map((part) => part.trim().replaceAll(/\s+/g, " ")).join("\n\n");
        tell(one, itsName, itsPath, within);
      });
    }
  }
}

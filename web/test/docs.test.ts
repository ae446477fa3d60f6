import { describe, expect, it } from "vitest";
import { bindingsOf, commentOf, commentOfValue, kindOf, SERVICES, typeOf } from "../src/docs/contract.ts";
import { parsed } from "../src/docs/body.ts";
import { EXAMPLES } from "../src/docs/examples.ts";

const METHODS = SERVICES.flatMap((service) => service.methods);
const named = (name: string) => METHODS.find((method) => method.name === name)!;

describe("the contract", () => {
  it("says something about every call, field and value, and how it is called over REST", () => {
    const silent: string[] = [];
    for (const method of METHODS) {
      if (commentOf(method).length === 0 || bindingsOf(method).length === 0) silent.push(method.name);
      for (const field of [...method.input.fields, ...method.output.fields]) {
        if (commentOf(field).length === 0) silent.push(`${field.parent.name}.${field.name}`);
        const { type } = kindOf(field);
        if (type && typeOf(type.name) !== type) silent.push(type.name);
      }
    }
    const reasons = typeOf("ErrorReason");
    if (reasons?.kind === "enum") silent.push(...reasons.values.map(({ name }) => name).filter((name) => !commentOfValue(reasons, name).length));
    expect(silent).toEqual([]);
    expect(bindingsOf(named("StartWorkflow")).map(({ verb, path }) => `${verb} ${path}`)).toEqual([
      "POST /api/v1/workflows", "POST /api/v1/workflows/start-with-connection",
    ]);
  });

  it("has an example of every call, which is a request of it", () => {
    expect(Object.keys(EXAMPLES).sort()).toEqual(METHODS.map((method) => `${method.parent.name}.${method.name}`).sort());
    for (const method of METHODS) {
      const example = EXAMPLES[`${method.parent.name}.${method.name}`]!({ connection: "c", workflow: "w" });
      expect(parsed(method, JSON.stringify(example)).$typeName).toBe(method.input.typeName);
    }
  });

  it("names fields as it declares them", () => {
    const words = (name: string, field: string) => kindOf(named(name).input.fields.find((one) => one.name === field)!).words;
    expect([words("StartWorkflow", "question"), words("StartWorkflow", "execute"), words("ExecuteQuery", "timeout"), words("ExecuteQuery", "parameters")])
      .toEqual(["string", "optional bool", "google.protobuf.Duration", "repeated "]);
  });
});

describe("a body", () => {
  const complaint = (name: string, body: string) => {
    try {
      parsed(named(name), body);
    } catch (error) {
      return (error as Error).message;
    }
    return "";
  };

  it("is refused with the field that is wrong", () => {
    expect(complaint("ListConnections", "")).toBe("");
    expect(complaint("ListConnections", "{")).toMatch(/^This is not JSON: /);
    expect(complaint("ListConnections", '{"pagesize": 1}')).toBe("This is no ListConnectionsRequest: there is no field pagesize.");
    expect(complaint("ListConnections", '{"page_size": "many"}')).toMatch(/^This is no ListConnectionsRequest: page_size: expected number/);
    expect(complaint("ListWorkflows", '{"status": "LATE"}')).toMatch(/^This is no ListWorkflowsRequest: .*LATE/);
  });
});

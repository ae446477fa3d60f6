import { create } from "@bufbuild/protobuf";
import { describe, expect, it } from "vitest";
import { TableSchema } from "../gen/pulse/v1/connection_pb.ts";
import { KnowledgeSchema } from "../gen/pulse/v1/knowledge_pb.ts";
import { aliases, cleaned, columnOf, draftOf, meaningOf, nameOf, withColumn, withMeaning, words } from "../src/knowledge/document.ts";

describe("knowledge", () => {
  const orders = create(TableSchema, { schema: "sales", name: "orders" });
  const draft = draftOf(create(KnowledgeSchema, { tables: [{ table: "ORDERS", synonyms: ["purchase"] }] }));

  it("finds what is said of a table and of a column, whatever the case", () => {
    expect(meaningOf(draft, orders).synonyms).toEqual(["purchase"]);
    const meaning = withColumn(meaningOf(draft, orders), { ...columnOf(meaningOf(draft, orders), "total"), description: "gross" });
    expect(columnOf(meaning, "TOTAL").description).toBe("gross");
    const changed = withMeaning(draft, orders, meaning);
    expect([changed.tables.length, changed.tables[0]?.columns[0]?.column]).toEqual([1, "total"]);
  });

  it("saves nothing that says nothing", () => {
    const blank = create(TableSchema, { schema: "main", name: "customers" });
    const meaning = meaningOf(draft, blank);
    expect(nameOf(blank)).toBe("customers");
    const looked = withMeaning(draft, blank, withColumn(meaning, columnOf(meaning, "id")));
    expect(cleaned(looked).tables.map(({ table }) => table)).toEqual(["ORDERS"]);
  });

  it("reads lists as they are written", () => {
    expect(words.read(" price, , unit cost ,")).toEqual(["price", "unit cost"]);
    const read = aliases.read("UK = United Kingdom\nnothing yet\nodd = a = b\n = x");
    expect(read.map(({ alias, value }) => [alias, value])).toEqual([["UK", "United Kingdom"], ["odd", "a = b"]]);
    expect(aliases.write(read)).toBe("UK = United Kingdom\nodd = a = b");
  });
});

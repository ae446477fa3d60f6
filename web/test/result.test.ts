import { create } from "@bufbuild/protobuf";
import { describe, expect, it } from "vitest";
import { ColumnSchema, DataType, ValueSchema } from "../gen/pulse/v1/query_pb.ts";
import { type Cell, cellOf, shortTextOf, type Table, textOf } from "../src/result/cell.ts";
import { csvHead, csvLine, jsonNames, jsonRow, tabbed } from "../src/result/export.ts";
import { momentOf, shapeOf } from "../src/result/shape.ts";
import { nextOrder, sorted } from "../src/result/sort.ts";

const column = (name: string, type = DataType.STRING) => create(ColumnSchema, { name, type });

function table(columns: [string, DataType][], rows: Cell[][]): Table {
  return { columns: columns.map(([name, type]) => column(name, type)), rows };
}

describe("cells", () => {
  it("are exact", () => {
    const value = (kind: Parameters<typeof create<typeof ValueSchema>>[1]) => cellOf(create(ValueSchema, kind));
    expect(value({ kind: { case: "int64Value", value: 9007199254740993n } })).toBe(9007199254740993n);
    expect(value({ kind: { case: "int64Value", value: -5n } })).toBe(-5);
    expect(value({ kind: { case: "uint64Value", value: 18446744073709551615n } })).toBe(18446744073709551615n);
    expect(value({ kind: { case: "decimalValue", value: "12.30" } })).toBe("12.30");
    expect(value({ kind: { case: "nullValue", value: 0 } })).toBe(null);
  });

  it("are text of one line in a table, and whole otherwise", () => {
    expect(textOf(-0)).toBe("-0");
    expect(textOf(new Uint8Array([0, 255]))).toBe("\\x00ff");
    expect(textOf([1, null, "a"])).toBe("{1, NULL, a}");
    expect(shortTextOf("a\nb")).toBe("a b");
    expect(shortTextOf("x".repeat(400))).toHaveLength(301);
  });
});

describe("downloads", () => {
  it("keep NULL apart from the empty string in CSV", () => {
    expect(csvHead([column("a"), column('b "c"')])).toBe('a,"b ""c"""\r\n');
    expect(csvLine([null, "", "x,y", "line\nline", 1.5])).toBe(',"","x,y","line\nline",1.5\r\n');
  });

  it("keep long numbers in JSON, and every column", () => {
    const columns = [column("n", DataType.INT64), column("n", DataType.DECIMAL), column("", DataType.JSON), column("d", DataType.DOUBLE)];
    const names = jsonNames(columns);
    expect(names).toEqual(["n", "n_2", "column_3", "d"]);
    expect(jsonRow(names, columns, [9007199254740993n, "0.10", '{"a": 1.50}', Infinity])).toBe(
      '{"n": 9007199254740993, "n_2": 0.10, "column_3": {"a": 1.50}, "d": "Infinity"}',
    );
  });

  it("are pasted into a spreadsheet cell by cell", () => {
    expect(tabbed([column("a"), column("b")], [["x\ty", null]])).toBe("a\tb\nx y\t");
  });
});

describe("sorting", () => {
  const numbers = table([["n", DataType.DECIMAL]], [["10.5"], [null], ["9"], ["-1"]]);

  it("compares numbers as numbers, with NULL last either way", () => {
    expect(sorted(numbers, { column: 0, descending: false })).toEqual([3, 2, 0, 1]);
    expect(sorted(numbers, { column: 0, descending: true })).toEqual([0, 2, 3, 1]);
    expect(sorted(numbers, undefined)).toEqual([0, 1, 2, 3]);
  });

  it("compares integers beyond JavaScript's exactly", () => {
    const large = table([["n", DataType.INT64]], [[9007199254740993n], [9007199254740992n], [1]]);
    expect(sorted(large, { column: 0, descending: false })).toEqual([2, 1, 0]);
  });

  it("goes round: ascending, descending, as it came", () => {
    const first = nextOrder(undefined, 1);
    const second = nextOrder(first, 1);
    expect([first, second, nextOrder(second, 1)]).toEqual([{ column: 1, descending: false }, { column: 1, descending: true }, undefined]);
  });
});

describe("the shape of a result", () => {
  const [text, integer, date] = [DataType.STRING, DataType.INT64, DataType.DATE];

  it("is a number for one row of figures", () => {
    expect(shapeOf(table([["n", integer]], [[5]])).views[0]).toBe("number");
  });

  it("is a line over time, whichever way time is told", () => {
    const rows = (first: Cell, second: Cell): Cell[][] => [[first, 1], [second, 2]];
    for (const [type, name, one, two] of [
      [date, "day", "2025-01-01", "2025-01-02"], [text, "x", "2025-01", "2025-02"], [integer, "year", 2024, 2025],
      [DataType.OTHER, "strftime()", "2025-01", "2025-02"], [DataType.ZONED_TIMESTAMP, "at", "2025-01-01T00:00:00Z", "2025-01-01T01:00:00Z"],
    ] as const) {
      const shape = shapeOf(table([[name, type], ["n", integer]], rows(one, two)));
      expect([shape.views[0], shape.x, shape.temporal, shape.y], name).toEqual(["line", 0, true, [1]]);
    }
  });

  it("is bars for words and figures, and only a table for what cannot be drawn", () => {
    expect(shapeOf(table([["status", text], ["n", integer]], [["a", 1], ["b", 2]])).views[0]).toBe("bar");
    expect(shapeOf(table([["a", text], ["b", text]], [["a", "b"], ["c", "d"]])).views).toEqual(["table"]);
    expect(shapeOf(table([["name", text], ["customer_id", integer]], [["a", 1], ["b", 2]])).views).toEqual(["table"]);
    expect(shapeOf(table([["n", integer]], [])).views).toEqual(["table"]);
  });

  it("reads moments in UTC, and nothing else as one", () => {
    expect(momentOf("2025-03")).toBe(Date.UTC(2025, 2, 1));
    expect(momentOf("2025-03-04 05:06:07")).toBe(Date.UTC(2025, 2, 4, 5, 6, 7));
    expect([momentOf("March"), momentOf(12), momentOf(null)].every(Number.isNaN)).toBe(true);
  });
});

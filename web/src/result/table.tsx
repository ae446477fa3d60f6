import { useVirtualizer } from "@tanstack/react-virtual";
import { type KeyboardEvent, memo, type MouseEvent, useCallback, useEffect, useMemo, useRef, useState } from "react";
import type { Column } from "../../gen/pulse/v1/query_pb.ts";
import { copy } from "../parts/copy.tsx";
import { type Cell, isNumeric, sample, shortTextOf, type Table, textOf, typeName } from "./cell.ts";
import { nextOrder, type Order, sorted } from "./sort.ts";

const ROW_HEIGHT = 28;
/** Rows drawn above and below those in sight. */
const OVERSCAN = 6;

/** A result as a grid: only the rows in sight exist, so that 100,000 scroll as easily as ten. */
export function ResultTable({ table, height }: { table: Table; height: number }) {
  const [order, setOrder] = useState<Order>();
  const [active, setActive] = useState<{ row: number; column: number }>();
  const [opened, setOpened] = useState(false);
  const frame = useRef<HTMLDivElement>(null);
  const rows = useMemo(() => sorted(table, order), [table, order]);
  const widths = useMemo(() => columnWidths(table), [table]);
  const numeric = useMemo(() => table.columns.map((_, index) => isNumeric(table, index)), [table]);
  // As many rows are drawn wherever the grid stands, so that those that leave on one side come back on the other: their
  // elements are used again, only the text changes.
  const places = Math.min(rows.length, Math.ceil(height / ROW_HEIGHT) + 1 + 2 * OVERSCAN);
  const virtual = useVirtualizer({
    count: rows.length,
    getScrollElement: () => frame.current,
    estimateSize: () => ROW_HEIGHT,
    rangeExtractor: ({ startIndex }) => {
      const first = Math.max(0, Math.min(startIndex - OVERSCAN, rows.length - places));
      return Array.from({ length: places }, (_, place) => first + place);
    },
  });
  const lines = virtual.getVirtualItems();
  const numberWidth = `${String(rows.length).length + 2}ch`;
  const template = `${numberWidth} ${widths.map((width) => `${width}ch`).join(" ")}`;
  const total = `calc(${numberWidth} + ${widths.reduce((sum, width) => sum + width, 0)}ch)`;
  const sort = useCallback((column: number) => setOrder((order) => nextOrder(order, column)), []);
  const activeCell = active && table.rows[rows[active.row] ?? -1]?.[active.column];

  function move(event: KeyboardEvent) {
    const at = active ?? { row: 0, column: 0 };
    const page = Math.max(1, Math.floor((frame.current?.clientHeight ?? 300) / ROW_HEIGHT) - 2);
    const steps: Record<string, [number, number]> = {
      ArrowDown: [1, 0], ArrowUp: [-1, 0], ArrowRight: [0, 1], ArrowLeft: [0, -1],
      PageDown: [page, 0], PageUp: [-page, 0],
    };
    const step = steps[event.key];
    if ((event.ctrlKey || event.metaKey) && event.key === "c" && activeCell !== undefined && !getSelection()?.toString()) {
      void copy(activeCell === null ? "" : textOf(activeCell));
    } else if (event.key === "Enter" && active) {
      setOpened(true);
    } else if (event.key === "Home" || event.key === "End") {
      const last = event.key === "End";
      const row = event.ctrlKey ? (last ? rows.length - 1 : 0) : at.row;
      select(row, event.ctrlKey ? at.column : last ? table.columns.length - 1 : 0);
    } else if (step) {
      select(active ? at.row + step[0] : 0, active ? at.column + step[1] : 0);
    } else {
      return;
    }
    event.preventDefault();
  }

  /** The cell that an event happened in. */
  function cellAt({ target }: MouseEvent): { row: number; column: number } | undefined {
    const cell = (target as Element).closest("[role=gridcell]");
    const line = cell?.parentElement;
    if (!cell || !line) return undefined;
    return { row: Number(line.getAttribute("aria-rowindex")) - 2, column: [...line.children].indexOf(cell) - 1 };
  }

  function select(row: number, column: number) {
    const within = (number: number, count: number) => Math.max(0, Math.min(count - 1, number));
    const to = { row: within(row, rows.length), column: within(column, table.columns.length) };
    setActive(to);
    virtual.scrollToIndex(to.row);
  }

  useEffect(() => {
    // The cell that the keyboard reached is brought into sight sideways as well.
    if (active) frame.current?.querySelector("[data-active]")?.scrollIntoView({ block: "nearest", inline: "nearest" });
  }, [active]);

  return (
    <>
      <div
        ref={frame}
        className="grid"
        role="grid"
        tabIndex={0}
        aria-label="Result"
        aria-rowcount={rows.length + 1}
        aria-colcount={table.columns.length}
        aria-activedescendant={active && `cell-${active.row}-${active.column}`}
        style={{ maxHeight: height }}
        onKeyDown={move}
      >
        <Heads columns={table.columns} numeric={numeric} template={template} order={order} onSort={sort} />
        <div className="grid-body" role="rowgroup" style={{ height: virtual.getTotalSize(), width: total }}
          onClick={(event) => setActive(cellAt(event) ?? active)} onDoubleClick={(event) => cellAt(event) && setOpened(true)}>
          {lines.map(({ index, start }) => (
            <Line key={index % places} index={index} start={start} template={template} numeric={numeric}
              cells={table.rows[rows[index] ?? -1] ?? NO_CELLS} active={active?.row === index ? active.column : -1} />
          ))}
        </div>
      </div>
      {opened && active && activeCell !== undefined && (
        <Opened name={table.columns[active.column]?.name ?? ""} cell={activeCell} onClose={() => {
          setOpened(false);
          frame.current?.focus();
        }} />
      )}
    </>
  );
}

/** Scrolling leaves them as they are. */
const Heads = memo(function Heads({ columns, numeric, template, order, onSort }: {
  columns: Column[];
  numeric: boolean[];
  template: string;
  order: Order | undefined;
  onSort: (column: number) => void;
}) {
  return (
    <div className="grid-head" role="row" aria-rowindex={1} style={{ gridTemplateColumns: template }}>
      <div className="grid-number" role="presentation" />
      {columns.map((column, index) => (
        <Head key={index} column={column} numeric={numeric[index] ?? false} order={order?.column === index ? order : undefined}
          onSort={() => onSort(index)} />
      ))}
    </div>
  );
});

function Head({ column, numeric, order, onSort }: { column: Column; numeric: boolean; order: Order | undefined; onSort: () => void }) {
  const type = typeName(column);
  const sort = order ? (order.descending ? "descending" : "ascending") : "none";
  return (
    <div role="columnheader" aria-sort={sort} className={numeric ? "numeric" : ""}>
      <button type="button" onClick={onSort} title={`Sort by ${column.name}`}>
        <span className="grid-name">{column.name || "(no name)"}</span>
        <span className="grid-order" aria-hidden>{order ? (order.descending ? "▼" : "▲") : ""}</span>
      </button>
      <span className="grid-type" title={type}>{type}</span>
    </div>
  );
}

const NO_CELLS: Cell[] = [];

interface LineProps {
  index: number;
  start: number;
  template: string;
  numeric: boolean[];
  cells: Cell[];
  active: number;
}

const Line = memo(function Line({ index, start, template, numeric, cells, active }: LineProps) {
  return (
    <div className="grid-row" role="row" aria-rowindex={index + 2}
      style={{ gridTemplateColumns: template, transform: `translateY(${start}px)` }}>
      <div className="grid-number" role="rowheader">{index + 1}</div>
      {numeric.map((isNumber, at) => {
        const cell = cells[at] ?? null;
        const kind = `${isNumber ? "numeric" : ""} ${cell === null ? "null" : ""}`;
        return (
          <div key={at} id={at === active ? `cell-${index}-${at}` : undefined} role="gridcell" className={kind}
            data-active={at === active || undefined}>
            {cell === "" ? <span className="empty-mark">empty</span> : shortTextOf(cell)}
          </div>
        );
      })}
    </div>
  );
});

/** A cell in full. */
function Opened({ name, cell, onClose }: { name: string; cell: Cell; onClose: () => void }) {
  const dialog = useRef<HTMLDialogElement>(null);
  useEffect(() => dialog.current?.showModal(), []);
  return (
    <dialog ref={dialog} className="dialog" aria-label={`Value of ${name}`} onClose={onClose}>
      <h2>{name}</h2>
      <pre className="cell-full" tabIndex={0}>{textOf(cell)}</pre>
      <div className="actions">
        <button type="button" onClick={() => void copy(textOf(cell))}>Copy</button>
        <button type="button" className="primary" onClick={() => dialog.current?.close()}>Close</button>
      </div>
    </dialog>
  );
}

/** Widths in characters, from the names and a sample of the rows. */
function columnWidths({ columns, rows }: Table): number[] {
  const some = sample(rows);
  return columns.map((column, index) => {
    const names = Math.max(column.name.length + 3, Math.min(14, typeName(column).length), 5);
    const longest = some.reduce((longest, row) => Math.max(longest, shortTextOf(row[index] ?? null).length + 1), names);
    return Math.min(longest, 42) + 2;
  });
}

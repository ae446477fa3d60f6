import { scaleBand, scaleLinear, scalePoint, scaleUtc } from "d3-scale";
import { area, line } from "d3-shape";
import { type PointerEvent, useMemo, useState } from "react";
import { count } from "../lib/format.ts";
import { useWidth } from "../parts/width.ts";
import { numberOf, shortTextOf, type Table } from "./cell.ts";
import { momentOf, type Shape, type View } from "./shape.ts";

const HEIGHT = 320;
const MARGIN = { top: 12, right: 32, bottom: 44, left: 64 };
/** What an axis writes below its marks. */
const LABEL_CHARS = 14;

type Drawn = Exclude<View, "table" | "number">;

interface Point {
  row: number;
  at: number;
  label: string;
  /** One figure for each series; NaN where there is none. */
  figures: number[];
}

/** A result as a drawing. The table beside it holds the same for those who cannot see it. */
export function Chart({ table, shape, view }: { table: Table; shape: Shape; view: Drawn }) {
  const [frame, width] = useWidth();
  const [pointed, setPointed] = useState<number>();
  const points = useMemo(() => pointsOf(table, shape, view), [table, shape, view]);
  const names = shape.y.map((column) => table.columns[column]?.name ?? "");
  const xName = table.columns[shape.x]?.name ?? "";
  const drawing = useMemo(() => layout(points, shape, view, width), [points, shape, view, width]);
  const { x, y } = drawing;
  const told = pointed === undefined ? undefined : points[pointed];

  function point(event: PointerEvent<SVGSVGElement>) {
    const left = event.clientX - event.currentTarget.getBoundingClientRect().left;
    let nearest: number | undefined;
    points.forEach((candidate, index) => {
      if (nearest === undefined || Math.abs(x(candidate) - left) < Math.abs(x(points[nearest]!) - left)) nearest = index;
    });
    setPointed(nearest);
  }

  return (
    <figure className="chart" ref={frame}>
      <figcaption className="chart-legend">
        {names.map((name, series) => (
          <span key={series}><i className={`swatch series-${series}`} aria-hidden /> {name}</span>
        ))}
        <span className="chart-told" aria-hidden>
          {told && `${xName ? `${xName} ` : ""}${told.label}: ${told.figures.map(figure).join(" · ")}`}
        </span>
      </figcaption>
      <svg width={width} height={HEIGHT} role="img" onPointerMove={point} onPointerLeave={() => setPointed(undefined)}
        aria-label={`${view} chart of ${names.join(", ")} by ${xName}, ${points.length} points`}>
        {drawing.yTicks.map((tick) => (
          <g key={tick} transform={`translate(0 ${y(tick)})`}>
            <line className={tick === 0 ? "axis" : "grid-line"} x1={MARGIN.left} x2={width - MARGIN.right} />
            <text className="tick" x={MARGIN.left - 8} dy="0.32em" textAnchor="end">{compact(tick)}</text>
          </g>
        ))}
        {drawing.xTicks.map(({ at, label }, index) => (
          <text key={index} className="tick" x={at} y={HEIGHT - MARGIN.bottom + 18} textAnchor="middle">
            {label}<title>{label}</title>
          </text>
        ))}
        <text className="axis-name" x={(MARGIN.left + width - MARGIN.right) / 2} y={HEIGHT - 8} textAnchor="middle">{xName}</text>
        {told && view !== "bar" && (
          <line className="pointer" x1={x(told)} x2={x(told)} y1={MARGIN.top} y2={HEIGHT - MARGIN.bottom} />
        )}
        {names.map((_, series) => (
          <Series key={series} series={series} of={names.length} points={points} drawing={drawing} view={view} pointed={pointed} />
        ))}
      </svg>
    </figure>
  );
}

interface SeriesProps {
  series: number;
  of: number;
  points: Point[];
  drawing: Layout;
  view: Drawn;
  pointed: number | undefined;
}

function Series({ series, of, points, drawing: { x, y, band }, view, pointed }: SeriesProps) {
  const has = (point: Point) => !Number.isNaN(point.figures[series]);
  const top = (point: Point) => y(point.figures[series] ?? 0);
  if (view === "bar") {
    const width = Math.max(1, band / of - (of > 1 ? 1 : 0));
    return points.map((point, index) => has(point) && (
      <rect key={index} className={`bar series-${series}${pointed === index ? " pointed" : ""}`}
        x={x(point) - band / 2 + (series * band) / of} width={width}
        y={Math.min(top(point), y(0))} height={Math.max(1, Math.abs(y(0) - top(point)))} />
    ));
  }
  if (view === "scatter") {
    return points.map((point, index) => has(point) && (
      <circle key={index} className={`dot series-${series}`} cx={x(point)} cy={top(point)} r={pointed === index ? 6 : 4} />
    ));
  }
  const path = line<Point>().defined(has).x(x).y(top)(points) ?? "";
  return (
    <>
      {view === "area" && (
        <path className={`area series-${series}`} d={area<Point>().defined(has).x(x).y0(y(0)).y1(top)(points) ?? ""} />
      )}
      <path className={`line series-${series}`} d={path} />
      {points.map((point, index) => (points.length <= 60 || pointed === index) && has(point) && (
        <circle key={index} className={`dot series-${series}`} cx={x(point)} cy={top(point)} r={pointed === index ? 5 : 2.5} />
      ))}
    </>
  );
}

interface Layout {
  x: (point: Point) => number;
  y: (figure: number) => number;
  band: number;
  xTicks: { at: number; label: string }[];
  yTicks: number[];
}

function layout(points: Point[], shape: Shape, view: Drawn, width: number): Layout {
  const across: [number, number] = [MARGIN.left, Math.max(MARGIN.left + 60, width - MARGIN.right)];
  const figures = points.flatMap((point) => point.figures).filter((figure) => !Number.isNaN(figure));
  const fromZero = view === "bar" || view === "area" ? [0] : [];
  let [low, high] = [Math.min(...figures, ...fromZero), Math.max(...figures, ...fromZero)];
  // Lines of figures that are all positive start at zero too, unless that would flatten them.
  if (low > 0 && low < high * 0.6) low = 0;
  if (low === high) [low, high] = low === 0 ? [0, 1] : [Math.min(0, low), Math.max(0, high)];
  const y = scaleLinear([low, high], [HEIGHT - MARGIN.bottom, MARGIN.top]).nice(5);
  const room = Math.max(1, Math.floor((across[1] - across[0]) / 90));
  const yTicks = y.ticks(5);

  if (view === "bar") {
    const scale = scaleBand<number>(points.map((point) => point.row), across).padding(0.2);
    const x = (point: Point) => (scale(point.row) ?? 0) + scale.bandwidth() / 2;
    return { x, y, band: scale.bandwidth(), xTicks: labels(points, x, room), yTicks };
  }
  const extent: [number, number] = [Math.min(...points.map(({ at }) => at)), Math.max(...points.map(({ at }) => at))];
  if (shape.temporal) {
    const scale = scaleUtc(extent, across);
    const format = scale.tickFormat(room);
    const xTicks = scale.ticks(Math.min(room, points.length)).map((tick) => ({ at: scale(tick), label: format(tick) }));
    return { x: (point) => scale(point.at), y, band: 0, xTicks, yTicks };
  }
  if (extent.every((end) => !Number.isNaN(end))) {
    const scale = scaleLinear(extent, across).nice();
    const xTicks = scale.ticks(room).map((tick) => ({ at: scale(tick), label: compact(tick) }));
    return { x: (point) => scale(point.at), y, band: 0, xTicks, yTicks };
  }
  const scale = scalePoint<number>(points.map((point) => point.row), across).padding(0.5);
  const x = (point: Point) => scale(point.row) ?? 0;
  return { x, y, band: 0, xTicks: labels(points, x, room), yTicks };
}

/** As many labels as there is room for. */
function labels(points: Point[], x: (point: Point) => number, room: number) {
  const step = Math.max(1, Math.ceil(points.length / room));
  return points.filter((_, index) => index % step === 0).map((point) => ({
    at: x(point),
    label: point.label.length > LABEL_CHARS ? `${point.label.slice(0, LABEL_CHARS - 1)}…` : point.label,
  }));
}

function pointsOf(table: Table, shape: Shape, view: Drawn): Point[] {
  const points = table.rows.map((row, index) => {
    const cell = row[shape.x] ?? null;
    return {
      row: index,
      at: shape.temporal ? momentOf(cell) : view === "bar" ? index : numberOf(cell),
      label: shortTextOf(cell),
      figures: shape.y.map((column) => numberOf(row[column] ?? null)),
    };
  });
  if (!shape.temporal) return points;
  // Time runs to the right, in whatever order the rows came.
  return points.filter(({ at }) => !Number.isNaN(at)).sort((a, b) => a.at - b.at);
}

function figure(number: number): string {
  return Number.isNaN(number) ? "–" : count(number);
}

const compactly = new Intl.NumberFormat("en", { notation: "compact", maximumFractionDigits: 2 });

function compact(number: number): string {
  return compactly.format(number);
}

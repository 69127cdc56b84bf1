import { useEffect, useRef } from "preact/hooks";
import type uPlot from "uplot";
import "uplot/dist/uPlot.min.css";
import { utc } from "../model/time";

/** A line of a chart. */
export interface Line {
  label: string;
  /** A custom property with its colour, such as `--line-1`. */
  color: string;
  values: (number | null)[];
}

interface Props {
  /** What the chart shows, for its caption and for screen readers. */
  title: string;
  /** The times of the values, in milliseconds since 1970. */
  times: number[];
  lines: Line[];
  /** A value as text. */
  format: (value: number) => string;
  /** Called with the range that the reader has selected by dragging, in milliseconds since 1970. */
  onZoom?: (from: number, to: number) => void;
}

const HEIGHT = 160;

/** The labels of the time axis: the distance of the labels in seconds, their format, and its addition on a new day. */
const TIME_LABELS: uPlot.Axis.Values = [
  [86_400, "{YYYY}-{MM}-{DD}", null, null, null, null, null, null, 0],
  [60, "{HH}:{mm}", "\n{YYYY}-{MM}-{DD}", null, "\n{MM}-{DD}", null, null, null, 1],
  [1, "{HH}:{mm}:{ss}", "\n{YYYY}-{MM}-{DD}", null, "\n{MM}-{DD}", null, null, null, 1],
];

/** The distances of the labels of values. Smaller ones would have the same text. */
const VALUE_STEPS = Array.from({ length: 16 }, (_, power) => [1, 2, 5].map((step) => step * 10 ** power)).flat();
/** The width of a character of a label, and the space around a label, in pixels. */
const CHARACTER = 7.5;
const LABEL_SPACE = 20;

/** How far the axis of values reaches beyond the largest one, so that its point is not cut. */
const HEADROOM = 1.1;

/** The values without neighbours, which are in no line. */
function isolated(plot: uPlot, series: number): number[] {
  const values = plot.data[series] ?? [];
  const isKnown = (index: number) => values[index] !== null && values[index] !== undefined;
  return Array.from(values.keys()).filter((index) => isKnown(index) && !isKnown(index - 1) && !isKnown(index + 1));
}

function showLatest(plot: uPlot) {
  plot.setLegend({ idx: plot.data[0].length - 1 }, false);
}

/** A chart of values over time. Dragging zooms. A table of the latest values follows for readers without sight. */
export function Chart({ title, times, lines, format, onZoom }: Props) {
  const holder = useRef<HTMLDivElement>(null);
  const plot = useRef<uPlot | null>(null);
  const zoom = useRef(onZoom);
  zoom.current = onZoom;
  const text = useRef(format);
  text.current = format;
  const inUtc = utc.value;
  const shape = lines.map((line) => line.label).join("|");
  const data = [times.map((time) => time / 1_000), ...lines.map((line) => line.values)] as uPlot.AlignedData;
  const latest = useRef(data);
  latest.current = data;
  useEffect(() => {
    const element = holder.current;
    if (element === null) {
      return;
    }
    let isGone = false;
    let observer: ResizeObserver | undefined;
    void import("uplot").then(({ default: UPlot }) => {
      if (isGone) {
        return;
      }
      const color = (name: string) => getComputedStyle(element).getPropertyValue(name).trim();
      const axis = { stroke: color("--muted"), grid: { stroke: color("--line"), width: 1 }, ticks: { stroke: color("--line"), width: 1 } };
      const created = new UPlot(
        {
          width: element.clientWidth,
          height: HEIGHT,
          legend: { show: true, live: true },
          cursor: { drag: { x: true, y: false, setScale: false } },
          tzDate: (time) => (inUtc ? UPlot.tzDate(new Date(time * 1_000), "Etc/UTC") : new Date(time * 1_000)),
          series: [
            { label: "Time", value: "{YYYY}-{MM}-{DD} {HH}:{mm}:{ss}" },
            ...lines.map((line) => ({
              label: line.label,
              stroke: color(line.color),
              width: 1.5,
              spanGaps: false,
              points: { show: true, size: 5, filter: isolated },
              value: (_: uPlot, value: number | null) => (value === null ? "–" : text.current(value)),
            })),
          ],
          axes: [
            { ...axis, space: 64, values: TIME_LABELS },
            {
              ...axis,
              incrs: VALUE_STEPS,
              size: (_, labels) => Math.max(0, ...(labels ?? []).map((label) => label.length)) * CHARACTER + LABEL_SPACE,
              values: (_, ticks) => ticks.map((tick) => text.current(tick)),
            },
          ],
          // The last label of the time axis is centred at the end of the axis.
          padding: [8, 28, 0, 0],
          scales: { y: { range: (_, _low, high) => [0, Math.max(high * HEADROOM, 1)] } },
          hooks: {
            // Without a pointer, the legend has the latest values.
            setCursor: [(self) => self.cursor.idx === null && showLatest(self)],
            setSelect: [
              (self) => {
                if (self.select.width > 4) {
                  const at = (x: number) => self.posToVal(x, "x") * 1_000;
                  zoom.current?.(at(self.select.left), at(self.select.left + self.select.width));
                  self.setSelect({ left: 0, top: 0, width: 0, height: 0 }, false);
                }
              },
            ],
          },
        },
        latest.current,
        element,
      );
      plot.current = created;
      showLatest(created);
      observer = new ResizeObserver(() => created.setSize({ width: element.clientWidth, height: HEIGHT }));
      observer.observe(element);
    });
    return () => {
      isGone = true;
      observer?.disconnect();
      plot.current?.destroy();
      plot.current = null;
    };
    // The lines are read again when their names change; their values reach the plot below.
  }, [shape, inUtc]);
  useEffect(() => {
    if (plot.current !== null) {
      plot.current.setData(data);
      showLatest(plot.current);
    }
  }, [data]);
  return (
    <figure class="chart">
      <figcaption>{title}</figcaption>
      <div ref={holder} aria-hidden="true" />
      <table class="visually-hidden">
        <caption>{title}, latest values</caption>
        <tbody>
          {lines.map((line) => {
            const value = line.values.findLast((known) => known !== null);
            return (
              <tr key={line.label}>
                <th scope="row">{line.label}</th>
                <td>{value === undefined || value === null ? "none" : format(value)}</td>
              </tr>
            );
          })}
        </tbody>
      </table>
    </figure>
  );
}

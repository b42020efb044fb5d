// Charts over simulated time, by uPlot. The table behind one is for readers of screens and those who ask.

import { useSignalEffect } from '@preact/signals';
import { useEffect, useRef } from 'preact/hooks';
import uPlot from 'uplot';
import 'uplot/dist/uPlot.min.css';
import { colour, theme } from '../theme.js';

/** One line, area or row of bars. */
export interface Line {
  readonly name: string;
  /** Name of a colour of the style sheet. */
  readonly colour: string;
  readonly kind?: 'line' | 'area' | 'bars' | 'steps';
  readonly format: (value: number) => string;
  readonly scale?: string;
  /** There are no halves of it. */
  readonly whole?: boolean;
}

export type Columns = [time: number[], ...(number | null)[][]];

export interface ChartProps {
  readonly label: string;
  readonly lines: readonly Line[];
  /** Read within an effect: signals in it make the chart move. */
  readonly columns: () => Columns;
  readonly height?: number;
}

export function Chart({ label, lines, columns, height = 240 }: ChartProps) {
  const place = useRef<HTMLDivElement>(null);
  const plot = useRef<uPlot | undefined>(undefined);
  const shape = lines.map((line) => `${line.name}${line.colour}${line.kind}`).join();
  useEffect(() => {
    const host = place.current;
    if (!host) return;
    const chart = new uPlot(options(lines, host.clientWidth, height), columns() as uPlot.AlignedData, host);
    showNewest(chart);
    chart.root.querySelector('canvas')?.setAttribute('aria-hidden', 'true');
    plot.current = chart;
    const observer = new ResizeObserver(() => {
      chart.setSize({ width: host.clientWidth, height });
      requestAnimationFrame(() => plot.current === chart && showNewest(chart));
    });
    observer.observe(host);
    return () => {
      observer.disconnect();
      chart.destroy();
      plot.current = undefined;
    };
  }, [theme.value, shape, height]);
  useSignalEffect(() => {
    const data = columns();
    plot.current?.setData(data as uPlot.AlignedData);
    // The chart looks at the data after this.
    requestAnimationFrame(() => plot.current && showNewest(plot.current));
  });
  const [times] = columns();
  return (
    <figure class="chart" role="img" aria-label={`${label}. ${summary(lines, columns())}`} data-points={times.length}>
      <div ref={place} class="plot" style={{ minHeight: `${height}px` }} />
    </figure>
  );
}

function options(lines: readonly Line[], width: number, height: number): uPlot.Options {
  const [ink, grid] = [colour('muted'), colour('line')];
  const axis = {
    stroke: ink,
    font: '12px system-ui, sans-serif',
    grid: { stroke: grid, width: 1 },
    ticks: { show: false },
  };
  const first = lines[0];
  const bars = lines.some((line) => line.kind === 'bars');
  const scales = [...new Set(lines.map((line) => line.scale ?? 'y'))];
  return {
    width,
    height,
    tzDate: (time) => uPlot.tzDate(new Date(time * 1000), 'Europe/Brussels'),
    cursor: { points: { size: 7 }, drag: { x: false, y: false } },
    hooks: { setCursor: [showNewest] },
    legend: { live: true, markers: { width: 0, fill: (_chart, index) => colour(lines[index - 1]?.colour ?? 'muted') } },
    scales: {
      x: { time: true, range: bars ? months : times },
      ...Object.fromEntries(scales.map((scale) => [scale, { range }])),
    },
    axes: [
      // Bars stand at their own marks.
      {
        ...axis,
        space: 70,
        size: 30,
        values: dates,
        ...(bars ? { splits: (chart: uPlot) => [...(chart.data[0] ?? [])] } : {}),
      },
      ...scales.map((scale, index) => {
        const line = lines.find((one) => (one.scale ?? 'y') === scale) ?? first;
        return {
          ...axis,
          scale,
          side: index === 0 ? 3 : 1,
          size: 64,
          space: 34,
          ...(line?.whole
            ? {
                incrs: [1, 2, 5]
                  .flatMap((step) => [1, 10, 100, 1e3, 1e4, 1e5].map((by) => step * by))
                  .sort((a, b) => a - b),
              }
            : {}),
          grid: index === 0 ? axis.grid : { show: false },
          values: (_chart: uPlot, marks: number[]) => marks.map((mark) => (line ? short(line.format(mark)) : '')),
        } as uPlot.Axis;
      }),
    ],
    series: [
      {
        label: 'Time',
        value: (_chart, time) =>
          time === null
            ? ''
            : new Intl.DateTimeFormat('en-GB', {
                timeZone: 'Europe/Brussels',
                ...(bars
                  ? { month: 'long', year: 'numeric' }
                  : { day: 'numeric', month: 'short', hour: '2-digit', minute: '2-digit' }),
              }).format(time * 1000),
      },
      ...lines.map(series),
    ],
  };
}

function series(line: Line): uPlot.Series {
  const stroke = colour(line.colour);
  const paths =
    line.kind === 'bars'
      ? uPlot.paths.bars?.({ size: [0.7, 40], radius: 0.15 })
      : line.kind === 'steps'
        ? uPlot.paths.stepped?.({ align: 1 })
        : undefined;
  return {
    label: line.name,
    scale: line.scale ?? 'y',
    stroke,
    width: line.kind === 'bars' ? 0 : 2,
    ...(line.kind === 'bars'
      ? { fill: stroke }
      : line.kind === 'area' || line.whole
        ? { fill: `color-mix(in srgb, ${stroke} 18%, transparent)` }
        : {}),
    ...(paths ? { paths } : {}),
    points: { show: false },
    value: (_chart, value) => (value === null ? '' : line.format(value)),
  };
}

/** From zero, unless something is below it, with a little room above. */
function range(_chart: uPlot, low: number | null, high: number | null): uPlot.Range.MinMax {
  if (low === null || high === null || !Number.isFinite(low)) return [0, 1];
  const room = (high - low || Math.abs(high) || 1) * 0.08;
  return [low < 0 ? low - room : 0, high > 0 ? high + room : 0];
}

/** `50 kW` for `50.0 kW`: marks are round numbers. */
const short = (text: string): string => text.replace(/(\.\d*?)0+(?= )/, '$1').replace(/\.(?= )/, '');

/** While nobody points at a place, the legend tells the newest values. */
function showNewest(chart: uPlot): void {
  const points = chart.data[0]?.length ?? 0;
  if (points > 0 && (chart.cursor.idx === null || chart.cursor.idx === undefined))
    chart.setLegend({ idx: points - 1 }, false);
}

const DAY = 86_400;

/** A single point has an hour around it. */
function times(_chart: uPlot, low: number, high: number): uPlot.Range.MinMax {
  return low === high ? [low - 3_600, high + 3_600] : [low, high];
}

/** Bars of months have half a month of room, and are never fewer than six to the width. */
function months(_chart: uPlot, low: number, high: number): uPlot.Range.MinMax {
  return [low - 16 * DAY, Math.max(high, low + 150 * DAY) + 16 * DAY];
}

function dates(chart: uPlot, marks: number[]): string[] {
  const { min = 0, max = 0 } = chart.scales['x'] ?? {};
  const span = (max ?? 0) - (min ?? 0);
  const [hour, day, month] = (
    [
      { hour: '2-digit', minute: '2-digit' },
      { day: 'numeric', month: 'short' },
      { month: 'short', year: '2-digit' },
    ] as const
  ).map((format) => {
    const text = new Intl.DateTimeFormat('en-GB', { timeZone: 'Europe/Brussels', ...format });
    return (mark: number): string => text.format(mark * 1000);
  }) as [(mark: number) => string, (mark: number) => string, (mark: number) => string];
  // Midnights have their date, whatever is between them its hour.
  if (chart.series.some((one) => one.width === 0)) return marks.map(month);
  if (span <= 14 * DAY) return marks.map((mark) => (hour(mark) === '00:00' ? day(mark) : hour(mark)));
  return marks.map(span <= 300 * DAY ? day : month);
}

function summary(lines: readonly Line[], [times, ...values]: Columns): string {
  if (times.length === 0) return 'No data yet.';
  const newest = lines.map((line, index) => {
    const value = values[index]?.at(-1);
    return `${line.name} ${value === null || value === undefined ? 'unknown' : line.format(value)}`;
  });
  return `Newest: ${newest.join(', ')}.`;
}

// Totals over simulated time: what the dashboard has kept, and what comes while the page is open.

import { signal } from '@preact/signals';
import { ask, type Totals } from '../api.js';
import type { Columns } from '../parts/chart.js';

/** Samples of one run, oldest first. */
export interface Series {
  readonly run: number;
  readonly time: number[];
  readonly production_w: number[];
  readonly consumption_w: number[];
  readonly production_wh: number[];
  readonly consumption_wh: number[];
}

const EMPTY: Series = { run: 0, time: [], production_w: [], consumption_w: [], production_wh: [], consumption_wh: [] };
export const series = signal<Series>(EMPTY);

export type Range = '1' | '7' | '30' | 'all';
export const RANGES = [
  ['1', '24 h'],
  ['7', '7 days'],
  ['30', '30 days'],
  ['all', 'All'],
] as const satisfies readonly (readonly [Range, string])[];

const DAY = 86_400;
const MOST = 2_400;

/** Asks for what was before this page. */
export async function load(): Promise<void> {
  try {
    const kept = await ask<Series>('series');
    const now = series.peek();
    if (kept.run < now.run) return;
    const first = kept.run === now.run ? (now.time[0] ?? Infinity) : Infinity;
    const until = kept.time.findIndex((time) => time >= first);
    const before = until < 0 ? kept.time.length : until;
    const join = (name: keyof Omit<Series, 'run'>): number[] => [
      ...kept[name].slice(0, before),
      ...(kept.run === now.run ? now[name] : []),
    ];
    series.value = {
      run: kept.run,
      time: join('time'),
      production_w: join('production_w'),
      consumption_w: join('consumption_w'),
      production_wh: join('production_wh'),
      consumption_wh: join('consumption_wh'),
    };
  } catch {
    // The chart begins with what comes from now on.
  }
}

/** Takes one more sample; the same time again is the same sample. */
export function append(now: Totals): void {
  const known = now.run === series.peek().run ? series.peek() : { ...EMPTY, run: now.run };
  const last = known.time.at(-1);
  // Before the first quarter-hour there is nothing to show.
  if (now.time === 0 || (last !== undefined && now.time <= last)) return;
  const add = (list: number[], value: number): number[] => [...list.slice(-MOST), value];
  series.value = {
    run: now.run,
    time: add(known.time, now.time),
    production_w: add(known.production_w, now.production_w),
    consumption_w: add(known.consumption_w, now.consumption_w),
    production_wh: add(known.production_wh, now.production_wh),
    consumption_wh: add(known.consumption_wh, now.consumption_wh),
  };
}

/** Columns for a chart: consumption and production, as they were or as means of the 24 hours before. */
export function within(all: Series, range: Range, means: boolean): Columns {
  const newest = all.time.at(-1) ?? 0;
  const from = range === 'all' ? -Infinity : newest - Number(range) * DAY;
  // A mean of the first few hours is none of a day, unless there is nothing else yet.
  const least = newest - (all.time[0] ?? 0) > DAY ? DAY / 2 : 0;
  const [time, consumption, production]: [number[], (number | null)[], (number | null)[]] = [[], [], []];
  let behind = 0;
  all.time.forEach((at, index) => {
    while (behind + 1 < index && (all.time[behind + 1] ?? 0) <= at - DAY) behind++;
    if (at < from) return;
    const since = at - (all.time[behind] ?? at);
    const mean = (list: number[]): number | null =>
      since > least ? (((list[index] ?? 0) - (list[behind] ?? 0)) * 3600) / since : null;
    time.push(at);
    consumption.push(means ? mean(all.consumption_wh) : (all.consumption_w[index] ?? null));
    production.push(means ? mean(all.production_wh) : (all.production_w[index] ?? null));
  });
  return [time, consumption, production];
}

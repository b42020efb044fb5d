// A home's energy over time, for a range that is part of the address.

import { signal, useSignalEffect } from '@preact/signals';
import { useMemo } from 'preact/hooks';
import { ApiError, ask, type HistoryPoint, queryOf } from '../api.js';
import { count, dateOf, energy, power } from '../format.js';
import { beat, tick } from '../live/store.js';
import { Card, Choice, State } from '../parts/basics.js';
import { Chart, type Columns, type Line } from '../parts/chart.js';
import { query, setQuery } from '../router.js';

type Step = 'quarter_hour' | 'hour' | 'day' | 'month';
const STEPS = [
  ['quarter_hour', 'Quarter-hours'],
  ['hour', 'Hours'],
  ['day', 'Days'],
  ['month', 'Months'],
] as const satisfies readonly (readonly [Step, string])[];
const SECONDS: Record<Step, number> = { quarter_hour: 900, hour: 3_600, day: 86_400, month: 30 * 86_400 };
const SPANS = [
  ['1', '1 day'],
  ['7', '7 days'],
  ['31', '31 days'],
  ['366', '1 year'],
] as const;
type Span = (typeof SPANS)[number][0];
/** What a chart of this width can show, and a server is asked for in a few pages. */
const MOST_POINTS = 800;
const DAY = 86_400;

interface Shown {
  points: HistoryPoint[];
  error: ApiError | undefined;
  busy: boolean;
}

export function History({ id }: { id: string }) {
  const shown = useMemo(() => signal<Shown>({ points: [], error: undefined, busy: true }), []);
  const range = useMemo(() => signal<{ from: number; until: number; step: Step } | undefined>(undefined), []);
  useSignalEffect(() => {
    beat.value;
    const now = tick.peek();
    if (!now) return;
    const [days, step] = chosen();
    const to = query.value.get('to');
    // A day that somebody chose stays; else the range ends now, and moves with the steps that are shown.
    const until = to
      ? Date.parse(`${to}T23:59:59Z`) / 1000
      : Math.floor(now.time / SECONDS[step]) * SECONDS[step] + SECONDS[step];
    const from = Math.max(until - Number(days) * DAY, now.startTime);
    const known = range.peek();
    if (known?.from !== from || known.until !== until || known.step !== step) range.value = { from, until, step };
  });
  useSignalEffect(() => {
    const wanted = range.value;
    if (!wanted) return;
    const control = new AbortController();
    shown.value = { ...shown.peek(), busy: true };
    void read(id, wanted, control.signal).then(
      (points) => (shown.value = { points, error: undefined, busy: false }),
      (error: unknown) => {
        if (!control.signal.aborted)
          shown.value = {
            points: shown.peek().points,
            error: error instanceof ApiError ? error : new ApiError(0, 'INTERNAL', String(error)),
            busy: false,
          };
      },
    );
    return () => control.abort();
  });
  const [days, step] = chosen();
  const lines = step === 'quarter_hour' || step === 'hour' ? POWER : ENERGY;
  const columns = useMemo(() => (): Columns => columnsOf(shown.value.points, range.value?.step ?? 'hour'), []);
  const { points, error, busy } = shown.value;
  const quarters = points.reduce((sum, one) => sum + one.quarter_hours, 0);
  const csv =
    range.value &&
    `/api/home_history.csv?${new URLSearchParams({ home_id: id, from_time: String(range.value.from), until_time: String(range.value.until), resolution: range.value.step })}`;
  return (
    <Card
      title="History"
      wide
      side={
        <span class="muted">{range.value && `${dateOf(range.value.from)} to ${dateOf(range.value.until - 1)}`}</span>
      }
    >
      <div class="tools">
        <Choice
          label="Range"
          of={SPANS}
          value={days}
          onChoose={(value) => setQuery({ range: value, step: stepFor(value, step) })}
        />
        <Choice
          label="Step"
          of={STEPS.filter(([key]) => (Number(days) * DAY) / SECONDS[key] <= MOST_POINTS)}
          value={step}
          onChoose={(value) => setQuery({ step: value })}
        />
        <label class="until">
          Until{' '}
          <input
            type="date"
            value={query.value.get('to') ?? ''}
            onChange={({ currentTarget }) => setQuery({ to: currentTarget.value })}
          />
        </label>
        {query.value.get('to') && (
          <button type="button" class="link-like" onClick={() => setQuery({ to: '' })}>
            Follow the clock
          </button>
        )}
        {csv && (
          <a class="button" href={csv} download>
            CSV
          </a>
        )}
      </div>
      {points.length === 0 && (
        <State busy={busy} error={error} empty>
          Nothing is stored for this time.
        </State>
      )}
      {points.length > 0 && (
        <>
          {error && <State busy={false} error={error} />}
          <Chart label="Energy of this home over time" lines={lines} columns={columns} height={280} />
          <p class="muted basis">
            {count(quarters)} quarter-hours stored; highest import {power(Math.max(...points.map((one) => one.peak_w)))}
            .
          </p>
        </>
      )}
    </Card>
  );
}

function chosen(): [Span, Step] {
  const days = (SPANS.find(([key]) => key === query.value.get('range'))?.[0] ?? '7') as Span;
  const step = STEPS.find(([key]) => key === query.value.get('step'))?.[0] ?? 'hour';
  return [days, stepFor(days, step)];
}

/** The step that was chosen, or the finest that is not too fine for the range. */
function stepFor(days: string, step: Step): Step {
  const fits = (one: Step): boolean => (Number(days) * DAY) / SECONDS[one] <= MOST_POINTS;
  return fits(step) ? step : (STEPS.find(([key]) => fits(key))?.[0] ?? 'month');
}

async function read(
  id: string,
  { from, until, step }: { from: number; until: number; step: Step },
  signal: AbortSignal,
): Promise<HistoryPoint[]> {
  const points: HistoryPoint[] = [];
  for (let cursor = ''; ;) {
    const page = await ask<{ points: HistoryPoint[]; next_cursor: string }>(
      queryOf('get_home_history', {
        home_id: id,
        from_time: from,
        until_time: until,
        resolution: step,
        page_size: 100,
        cursor,
      }),
      { signal },
    );
    points.push(...page.points);
    cursor = page.next_cursor;
    if (cursor === '' || points.length >= MOST_POINTS) return points;
  }
}

const POWER: Line[] = [
  { name: 'Consumption', colour: 'consumption', format: power },
  { name: 'Production', colour: 'production', kind: 'area', format: power },
  { name: 'Grid', colour: 'muted', format: power },
];
const ENERGY: Line[] = [
  { name: 'Consumption', colour: 'consumption', format: energy },
  { name: 'Production', colour: 'production', kind: 'area', format: energy },
  { name: 'Import', colour: 'takes', format: energy },
  { name: 'Export', colour: 'gives', format: energy },
];

/** Powers while a step is an hour at most, energies beyond; what is missing is a gap. */
function columnsOf(points: HistoryPoint[], step: Step): Columns {
  const times: number[] = [];
  const rows: (number | null)[][] = step === 'quarter_hour' || step === 'hour' ? [[], [], []] : [[], [], [], []];
  points.forEach((one, index) => {
    const before = points[index - 1];
    if (before && one.time - before.time > SECONDS[step] * 1.5) {
      times.push(before.time + SECONDS[step]);
      rows.forEach((row) => row.push(null));
    }
    times.push(one.time);
    const watts = (wattHours: number): number => wattHours * (3_600 / SECONDS[step]);
    const values =
      rows.length === 3
        ? [watts(one.consumption_wh), watts(one.production_wh), watts(one.import_wh - one.export_wh)]
        : [one.consumption_wh, one.production_wh, one.import_wh, one.export_wh];
    values.forEach((value, at) => rows[at]?.push(value));
  });
  return [times, ...rows];
}

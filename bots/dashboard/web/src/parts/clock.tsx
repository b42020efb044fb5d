// The simulated time, and how fast it goes.

import { clockOf, count, isoDay, partsOf } from '../format.js';
import { beat, fast, tick } from '../live/store.js';

/** The clock as people of the simulated world see it; the hour only while it can be read. */
export function ClockStrip() {
  const now = tick.value;
  if (!now) return <p class="clock waiting">No clock yet</p>;
  const { weekday, day, year } = partsOf(now.time);
  return (
    <p class={`clock ${now.paused ? 'paused' : ''}`}>
      <time dateTime={isoDay(now.time)}>
        <span class="weekday">{weekday}, </span>
        {day} <span class="year">{year}</span>
        {!fast.value && <span class="hour"> {clockOf(now.time)}</span>}
      </time>
      <span class="speed">{now.paused ? 'paused' : `${count(now.speed)}×`}</span>
    </p>
  );
}

/** The sky of this hour: how light it is, and where sun or moon stands. Not shown where a day lasts seconds. */
export function DayNight() {
  const now = tick.value;
  if (!now || fast.value) return null;
  const [hour = 0, minute = 0] = clockOf(now.time).split(':').map(Number);
  const turn = (hour + minute / 60) / 24;
  const height = Math.sin((turn - 0.25) * 2 * Math.PI);
  const isDay = height > 0;
  // The moon goes the way that the sun went, half a day later.
  const along = ((turn * 2 + (isDay ? 0.5 : 1.5)) % 2) - 1;
  const [x, y] = [60 + along * 52, 42 - Math.abs(height) * 28];
  return (
    <svg class="sky" viewBox="0 0 120 48" role="img" aria-label={isDay ? 'Day' : 'Night'}>
      <rect class="night" width="120" height="48" rx="8" />
      <rect class="day" width="120" height="48" rx="8" opacity={Math.min(1, Math.max(0, 0.5 + height * 2))} />
      <path class="course" d="M8 42C30 4 90 4 112 42" />
      <circle class={isDay ? 'sun' : 'moon'} cx={x} cy={y} r="7" />
    </svg>
  );
}

/** How much of the year has passed. */
export function YearBar() {
  beat.value;
  const now = tick.peek();
  if (!now) return null;
  const year = Number(isoDay(now.time).slice(0, 4));
  const [from, until] = [Date.UTC(year, 0, 1), Date.UTC(year + 1, 0, 1)].map((time) => time / 1000) as [number, number];
  const passed = Math.min(100, Math.max(0, ((now.time - from) / (until - from)) * 100));
  return (
    <div class="year" role="img" aria-label={`${Math.round(passed)} percent of ${year} have passed`}>
      <svg viewBox="0 0 100 2" preserveAspectRatio="none" aria-hidden="true">
        <rect width="100" height="2" class="rest" />
        <rect width={passed} height="2" class="done" />
      </svg>
      <div class="months" aria-hidden="true">
        {[...'JFMAMJJASOND'].map((month, index) => (
          <span key={index}>{month}</span>
        ))}
      </div>
    </div>
  );
}

// The simulated time, and how fast it goes.

import { count, dateOf, clockOf, isoDay } from '../format.js';
import { beat, fast, tick } from '../live/store.js';

/** The clock as people of the simulated world see it; the hour only while it can be read. */
export function ClockStrip() {
  const now = tick.value;
  if (!now) return <p class="clock waiting">No clock yet</p>;
  return (
    <p class={`clock ${now.paused ? 'paused' : ''}`}>
      <time dateTime={isoDay(now.time)}>
        {dateOf(now.time)}
        {!fast.value && <span class="hour"> {clockOf(now.time)}</span>}
      </time>
      <span class="speed">{now.paused ? 'paused' : `${count(now.speed)}×`}</span>
    </p>
  );
}

/** Where the sun stands, roughly: what the colour of the sky says at a glance. Not shown where a day lasts a second. */
export function DayNight() {
  const now = tick.value;
  if (!now || fast.value) return null;
  const [hour = 0, minute = 0] = clockOf(now.time).split(':').map(Number);
  const turn = (hour + minute / 60) / 24;
  const light = Math.max(0, Math.sin((turn - 0.25) * 2 * Math.PI));
  const [x, y] = [8 + turn * 104, 40 - Math.sin((turn - 0.25) * 2 * Math.PI) * 26];
  return (
    <svg class="sky" viewBox="0 0 120 56" role="img" aria-label={light > 0 ? 'Day' : 'Night'}>
      <path class="course" d="M8 40c0-26 0 26 0 0" />
      <line class="horizon" x1="4" x2="116" y1="40" y2="40" />
      <circle class={light > 0 ? 'sun' : 'moon'} cx={x} cy={y} r="7" />
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

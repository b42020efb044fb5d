// Where a home's power comes from and goes to, in this quarter-hour.

import { percent, power } from '../format.js';

interface FlowProps {
  production: number;
  consumption: number;
  battery: number;
  grid: number;
  charge: number;
  hasSolar: boolean;
  hasBattery: boolean;
}

/** Width of a stream: what can be told apart at a glance. */
const thick = (watts: number): number => (watts === 0 ? 0 : 3 + Math.min(12, Math.sqrt(Math.abs(watts)) / 6));

export function Flow({ production, consumption, battery, grid, charge, hasSolar, hasBattery }: FlowProps) {
  const said = `Production ${power(production)}, consumption ${power(consumption)}, battery ${battery >= 0 ? 'charges' : 'gives'} ${power(Math.abs(battery))}, grid ${grid >= 0 ? 'gives' : 'takes'} ${power(Math.abs(grid))}`;
  return (
    <div class="flow">
      <svg viewBox="0 0 420 250" role="img" aria-label={said}>
        <Stream d="M96 62 C170 62 160 125 210 125" watts={production} tone="production" />
        <Stream d="M210 125 C260 125 250 62 324 62" watts={consumption} tone="consumption" />
        <Stream
          d={battery >= 0 ? 'M210 125 C160 125 170 188 96 188' : 'M96 188 C170 188 160 125 210 125'}
          watts={battery}
          tone="battery"
        />
        <Stream
          d={grid >= 0 ? 'M324 188 C250 188 260 125 210 125' : 'M210 125 C260 125 250 188 324 188'}
          watts={grid}
          tone={grid >= 0 ? 'takes' : 'gives'}
        />
        <circle class="hub" cx="210" cy="125" r="11" />
        <Box
          x={0}
          y={24}
          name="Sun"
          value={hasSolar ? power(production) : 'no panels'}
          tone="production"
          off={!hasSolar}
        />
        <Box x={310} y={24} name="Home" value={power(consumption)} tone="consumption" off={false} />
        <Box
          x={0}
          y={150}
          name={hasBattery ? `Battery ${percent(charge)}` : 'Battery'}
          value={hasBattery ? `${battery > 0 ? '+' : ''}${power(battery)}` : 'none'}
          tone="battery"
          off={!hasBattery}
        />
        <Box
          x={310}
          y={150}
          name={grid >= 0 ? 'From the grid' : 'To the grid'}
          value={power(Math.abs(grid))}
          tone={grid >= 0 ? 'takes' : 'gives'}
          off={false}
        />
      </svg>
    </div>
  );
}

function Stream({ d, watts, tone }: { d: string; watts: number; tone: string }) {
  if (watts === 0) return <path class="stream none" d={d} />;
  return (
    <g class={tone}>
      <path class="stream bed" d={d} stroke-width={thick(watts)} />
      <path class="stream" d={d} stroke-width={Math.max(2, thick(watts) / 3)} />
    </g>
  );
}

function Box({
  x,
  y,
  name,
  value,
  tone,
  off,
}: {
  x: number;
  y: number;
  name: string;
  value: string;
  tone: string;
  off: boolean;
}) {
  return (
    <g class={`box ${tone} ${off ? 'off' : ''}`} transform={`translate(${x} ${y})`} aria-hidden="true">
      <rect width="110" height="76" rx="10" />
      <rect class="edge" x="12" y="10" width="22" height="4" rx="2" />
      <text class="name" x="12" y="34">
        {name}
      </text>
      <text class="value" x="12" y="60">
        {value}
      </text>
    </g>
  );
}

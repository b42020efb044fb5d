// Small things that pages are made of.

import type { ComponentChildren } from 'preact';
import type { ApiError } from '../api.js';

/** One figure with its name. */
export function Tile({
  name,
  value,
  note,
  tone,
}: {
  name: string;
  value: ComponentChildren;
  note?: ComponentChildren;
  tone?: string;
}) {
  return (
    <div class={`tile ${tone ?? ''}`}>
      <dt>{name}</dt>
      <dd>
        <span class="figure">{value}</span>
        {note && <span class="note">{note}</span>}
      </dd>
    </div>
  );
}

/** A part of a page with a heading. */
export function Card({
  title,
  side,
  children,
  wide,
  id,
}: {
  title: string;
  side?: ComponentChildren;
  children: ComponentChildren;
  wide?: boolean;
  id?: string;
}) {
  const name = id ?? title.toLowerCase().replaceAll(/\W+/g, '-');
  return (
    <section class={`card ${wide ? 'wide' : ''}`} aria-labelledby={`${name}-title`}>
      <header>
        <h2 id={`${name}-title`}>{title}</h2>
        {side}
      </header>
      {children}
    </section>
  );
}

/** What is shown instead of an answer: nothing yet, an error, or nothing there. */
export function State({
  busy,
  error,
  empty,
  children,
}: {
  busy: boolean;
  error: ApiError | undefined;
  empty?: boolean;
  children?: ComponentChildren;
}) {
  if (error) {
    return (
      <div class="state error" role="alert">
        <strong>{error.status === 404 ? 'There is no such thing.' : 'This could not be loaded.'}</strong>{' '}
        {sentence(error.message)}
        {(error.status === 0 || error.status >= 500) && <span class="muted"> It is tried again by itself.</span>}
      </div>
    );
  }
  if (busy) {
    return (
      <div class="state" role="status">
        <span class="spinner" aria-hidden="true" /> Loading
      </div>
    );
  }
  return empty ? <div class="state">{children}</div> : null;
}

/** As people write it. */
const sentence = (text: string): string => `${text.charAt(0).toUpperCase()}${text.slice(1).replace(/\.?$/, '.')}`;

/** One of several, as links would be: it is part of the address. */
export function Choice<T extends string>({
  label,
  of,
  value,
  onChoose,
}: {
  label: string;
  of: readonly (readonly [T, string])[];
  value: T;
  onChoose: (value: T) => void;
}) {
  return (
    <div class="choice" role="group" aria-label={label}>
      {of.map(([key, name]) => (
        <button key={key} type="button" aria-pressed={key === value} onClick={() => onChoose(key)}>
          {name}
        </button>
      ))}
    </div>
  );
}

/** A bar whose length says a share; the number stands beside it. */
export function Bar({ share, tone }: { share: number; tone?: string }) {
  return (
    <svg class={`bar ${tone ?? ''}`} viewBox="0 0 100 4" preserveAspectRatio="none" aria-hidden="true">
      <rect width="100" height="4" class="rest" />
      <rect width={Math.min(100, Math.max(0, share * 100))} height="4" class="done" />
    </svg>
  );
}

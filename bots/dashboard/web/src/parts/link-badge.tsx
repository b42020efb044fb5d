// How the data comes, and why so.

import { useRef, useState } from 'preact/hooks';
import { link, type Link } from '../live/link.js';
import { lost } from '../live/store.js';

const NAMES: Record<Link['via'], string> = {
  webtransport: 'WebTransport',
  events: 'Event stream',
  nothing: 'Not connected',
};

export function LinkBadge() {
  const now = link.value;
  const [open, setOpen] = useState(false);
  const button = useRef<HTMLButtonElement>(null);
  const close = (): void => {
    setOpen(false);
    button.current?.focus();
  };
  return (
    <div class="link" data-via={now.via} onKeyDown={(event) => event.key === 'Escape' && open && close()}>
      <button
        ref={button}
        type="button"
        class="badge"
        aria-expanded={open}
        aria-controls="link-more"
        onClick={() => setOpen(!open)}
      >
        <span class="dot" aria-hidden="true" />
        <span aria-live="polite">{NAMES[now.via]}</span>
        {now.roundTripMs !== undefined && (
          <span class="rtt">{now.roundTripMs.toFixed(now.roundTripMs < 10 ? 1 : 0)} ms</span>
        )}
      </button>
      <div id="link-more" class="popover" hidden={!open}>
        <LinkStory link={now} />
      </div>
    </div>
  );
}

function LinkStory({ link: now }: { link: Link }) {
  if (now.via === 'webtransport') {
    return (
      <>
        <p>
          Live data comes straight from the gateway <strong>{now.gateway}</strong> over WebTransport: QUIC, from the
          browser itself.
        </p>
        <p class="muted">
          Every half second the page asks for a sign of life.{' '}
          {lost.value > 0 && `${lost.value} values were passed over for newer ones.`}
        </p>
      </>
    );
  }
  return (
    <>
      <p>
        {now.via === 'events'
          ? 'Live data comes through the dashboard as server-sent events, four times a second.'
          : 'Neither the gateway nor the dashboard answers. What is shown is what was known last.'}
      </p>
      <p>{now.reason}</p>
      {now.remedy && <p class="muted">{now.remedy}</p>}
    </>
  );
}

/** Says above a page that what it shows is not live. */
export function Notice() {
  const now = link.value;
  if (now.via === 'webtransport' || (now.via === 'nothing' && now.reason === 'Connecting.')) return null;
  return (
    <div class={`notice ${now.via}`} role="status">
      <strong>{now.via === 'events' ? 'Live by event stream.' : 'Not live.'}</strong> {now.reason} {now.remedy}
    </div>
  );
}
